//! Caps on everything that comes from outside.
//!
//! Every size, depth and loop that an untrusted file decides is bounded by a field here, so that a
//! hostile signature costs the verifier a known amount and no more. The defaults fit a model of a
//! hundred thousand files with room to spare; a caller with a larger model raises one by name.

use crate::error::Fault;

/// What is the most that will be read, parsed or walked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a signature file. A bundle of 100,000 files has about 19 MB.
    pub bundle_bytes: u64,
    /// Bytes of a `claims.jsonl`.
    pub claims_bytes: u64,
    /// Lines of it that are read.
    pub claims_lines: usize,
    /// Bytes of one statement in it.
    pub claim_bytes: usize,
    /// Bytes of all signatures and claims that are read to find a model's ancestors.
    pub lineage_bytes: u64,
    /// Bytes of a key or certificate file.
    pub pem_bytes: u64,
    /// Certificates in a bundle or in one PEM file.
    pub certificates: usize,
    /// Transparency-log entries, and timestamps, of one signature.
    pub evidence: usize,
    /// Bytes of a trusted root.
    pub trusted_root_bytes: u64,
    /// Certificates between the signer and the root, both counted.
    pub path_length: usize,
    /// Signature checks that the search for a certificate path may cost.
    pub path_checks: usize,
    /// Entries (files, directories and links) that a walk may meet.
    pub entries: usize,
    /// Entries among them that are met through followed links, which can multiply what is there.
    pub linked_entries: usize,
    /// Bytes of all their names together.
    pub name_bytes: usize,
    /// Bytes of all files that are measured together.
    pub model_bytes: u64,
    /// Directories below one another.
    pub depth: usize,
    /// Bytes of unsigned files that are hashed only to recognise a renamed file.
    pub rename_search_bytes: u64,
    /// Bytes of one file that [`VerifiedModel::open_verified`](crate::VerifiedModel::open_verified)
    /// will hold in memory.
    pub in_memory_bytes: u64,
}

impl Limits {
    pub(crate) fn check_model_size(&self, size: u64) -> Result<(), Fault> {
        if size > self.model_bytes {
            return Err(Fault::ModelTooLarge { size, limit: self.model_bytes });
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bundle_bytes: 64 << 20,
            claims_bytes: 64 << 20,
            claims_lines: 10_000,
            claim_bytes: 4 << 20,
            lineage_bytes: 4 << 30,
            pem_bytes: 1 << 20,
            certificates: 16,
            evidence: 16,
            trusted_root_bytes: 4 << 20,
            path_length: 8,
            path_checks: 64,
            entries: 1_000_000,
            linked_entries: 200_000,
            name_bytes: 256 << 20,
            model_bytes: 16 << 40,
            depth: 128,
            rename_search_bytes: 16 << 30,
            in_memory_bytes: 64 << 30,
        }
    }
}

/// Longest path of a file in a model, in bytes: Linux's `PATH_MAX`.
pub(crate) const PATH_BYTES: usize = 4096;
/// Longest component of such a path, in bytes.
pub(crate) const NAME_BYTES: usize = 255;
/// Directories that may be opened to resolve all the links of a model.
pub(crate) const LINK_WORK: usize = 4_000_000;
/// Bytes of a certificate: decoding a name or a list of extensions can cost their square.
pub(crate) const CERTIFICATE_BYTES: usize = 16 << 10;
/// Bytes and lines of a log's checkpoint, with the signatures of its witnesses.
pub(crate) const CHECKPOINT_BYTES: usize = 16 << 10;
pub(crate) const CHECKPOINT_LINES: usize = 64;
/// Hashes of an inclusion proof: a log of 2^64 entries has no more.
pub(crate) const PROOF_HASHES: usize = 64;
/// How far this machine's clock may be behind those that say when.
pub(crate) const CLOCK_SKEW: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);
/// Bytes of an RFC 3161 timestamp, with its certificates.
pub(crate) const TIMESTAMP_BYTES: usize = 64 << 10;
/// Extensions of a certificate.
pub(crate) const CERTIFICATE_EXTENSIONS: usize = 64;
/// Bytes of a key hint, and of a key in its place.
pub(crate) const KEY_HINT_BYTES: usize = 8 << 10;
/// Characters of somebody else's text that are repeated in a message.
pub(crate) const QUOTED_CHARS: usize = 300;
/// Links that may be followed from one name to its file, as the Linux kernel has it.
pub(crate) const LINK_HOPS: usize = 40;
/// Bytes of a digest cache.
pub(crate) const CACHE_BYTES: u64 = 256 << 20;
/// Files in a digest cache, before those of other models are let go.
pub(crate) const CACHE_ENTRIES: usize = 1_000_000;
/// Parts that a model can be measured in.
pub(crate) const PARTS: u32 = 65_536;
/// Files and shards of a model that is measured in parts.
pub(crate) const PARTIAL_RESOURCES: u64 = 4_000_000;
/// Bytes of a resource's name, URI or media type, and of other short texts in a statement.
pub(crate) const DESCRIPTOR_TEXT_BYTES: usize = 4096;
/// Characters of a resource's content in base64; in-toto asks for less than 1 kB of bytes.
pub(crate) const DESCRIPTOR_CONTENT_BYTES: usize = 16 << 10;
/// Resources in one list of a statement.
pub(crate) const DESCRIPTORS: usize = 10_000;
/// Subjects of a statement.
pub(crate) const STATEMENT_SUBJECTS: usize = 1024;
/// Models and data in one lineage.
pub(crate) const LINEAGE_HOPS: usize = 10_000;
/// Files and folders beside one another where ancestors are looked for.
pub(crate) const LINEAGE_PLACES: usize = 10_000;
/// Claims of all models of a lineage together.
pub(crate) const LINEAGE_CLAIMS: usize = 100_000;
