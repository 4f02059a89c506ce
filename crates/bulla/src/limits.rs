//! Caps on everything that comes from outside.
//!
//! Every size, depth and loop that an untrusted file decides is bounded by a field here, so that a
//! hostile signature costs the verifier a known amount and no more. The defaults fit a model of a
//! hundred thousand files with room to spare; a caller with a larger model raises one by name.

/// What is the most that will be read, parsed or walked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a signature file. A bundle of 100,000 files has about 19 MB.
    pub bundle_bytes: u64,
    /// Bytes of a key or certificate file.
    pub pem_bytes: u64,
    /// Certificates in a bundle or in one PEM file.
    pub certificates: usize,
    /// Certificates between the signer and the root, both counted.
    pub path_length: usize,
    /// Signature checks that the search for a certificate path may cost.
    pub path_checks: usize,
    /// Entries (files, directories and links) that a walk may meet.
    pub entries: usize,
    /// Directories below one another.
    pub depth: usize,
    /// Bytes of unsigned files that are hashed only to recognise a renamed file.
    pub rename_search_bytes: u64,
    /// Bytes of one file that [`VerifiedModel::open_verified`](crate::VerifiedModel::open_verified)
    /// will hold in memory.
    pub in_memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bundle_bytes: 64 << 20,
            pem_bytes: 1 << 20,
            certificates: 16,
            path_length: 8,
            path_checks: 64,
            entries: 4_000_000,
            depth: 128,
            rename_search_bytes: 64 << 30,
            in_memory_bytes: 64 << 30,
        }
    }
}

/// Longest path of a file in a model, in bytes: Linux's `PATH_MAX`.
pub(crate) const PATH_BYTES: usize = 4096;
/// Longest component of such a path, in bytes.
pub(crate) const NAME_BYTES: usize = 255;
/// Links that may be followed from one name to its file, as the Linux kernel has it.
pub(crate) const LINK_HOPS: usize = 40;
