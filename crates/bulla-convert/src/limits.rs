//! Caps on what a safetensors model decides about itself; those on its files are [`bulla::Limits`].

/// Bytes of a safetensors header: the format's own cap.
pub(crate) const HEADER_BYTES: u64 = 100_000_000;
/// Bytes of all headers of a model together, which are held in memory.
pub(crate) const ALL_HEADERS_BYTES: u64 = 128_000_000;
/// Dimensions of a tensor. PyTorch and NumPy have at most 64.
pub(crate) const DIMENSIONS: usize = 64;
/// Bytes of an index of shards.
pub(crate) const INDEX_BYTES: u64 = ALL_HEADERS_BYTES;
/// Bytes of a `config.json` whose fields are looked at.
pub(crate) const CONFIG_BYTES: u64 = 16 << 20;
/// Differences that a report lists; it counts the others.
pub(crate) const DIFFERENCES: usize = 100;
/// Files of a model that are open at once.
pub(crate) const OPEN_FILES: usize = 64;
/// Bytes that are read at once, of whole elements: what becomes of them still fits a core's cache.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Names that a temporary directory may try.
pub(crate) const TEMPORARY_NAMES: u32 = 100;
/// Keys of one object: tensors in an index, labels in a configuration.
pub(crate) const KEYS: usize = 4_000_000;
