//! Digests and the algorithms that make them.

use std::fmt;

use blake2::Digest as _;
use bulla_hash::sha256::{self, Engine};

/// A hash algorithm of the [OMS algorithm registry](https://github.com/sigstore/model-transparency).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashAlgorithm {
    /// SHA-256 (FIPS 180-4), `sha256`. The default, and the only one that every verifier knows.
    Sha256,
    /// BLAKE2b with 512 bits (RFC 7693), `blake2b`.
    Blake2b,
    /// BLAKE3 with 256 bits, `blake3`.
    Blake3,
}

impl HashAlgorithm {
    /// All of them, in the registry's order.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Blake2b, Self::Blake3];

    /// The identifier in the registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Blake2b => "blake2b",
            Self::Blake3 => "blake3",
        }
    }

    /// The algorithm with this identifier; `None` for any other spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }

    /// Length of a digest, in bytes.
    #[must_use]
    pub fn output_len(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 32,
            Self::Blake2b => 64,
        }
    }

    /// Starts a computation.
    #[must_use]
    pub fn hasher(self) -> Hasher {
        Hasher(match self {
            Self::Sha256 => {
                State::Sha256(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256))
            }
            Self::Blake2b => State::Blake2b(Box::default()),
            Self::Blake3 => State::Blake3(Box::default()),
        })
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A computation under way: feed it bytes with [`update`](Self::update).
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(aws_lc_rs::digest::Context),
    Blake2b(Box<blake2::Blake2b512>),
    Blake3(Box<blake3::Hasher>),
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256(_) => "Sha256",
            Self::Blake2b(_) => "Blake2b",
            Self::Blake3(_) => "Blake3",
        })
    }
}

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(h) => h.update(bytes),
            State::Blake2b(h) => h.update(bytes),
            State::Blake3(h) => {
                h.update(bytes);
            }
        }
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(h) => Digest::new(HashAlgorithm::Sha256, h.finish().as_ref()),
            State::Blake2b(h) => Digest::new(HashAlgorithm::Blake2b, &h.finalize()),
            State::Blake3(h) => Digest::new(HashAlgorithm::Blake3, h.finalize().as_bytes()),
        }
    }
}

/// A computation over a file under way, which goes on beside those over other files.
pub(crate) struct FileHasher(FileState);

enum FileState {
    /// In a lane of the engine.
    Sha256(sha256::Stream),
    /// By itself.
    Other(Hasher),
}

impl FileHasher {
    pub(crate) fn new(algorithm: HashAlgorithm) -> Self {
        Self(match algorithm {
            HashAlgorithm::Sha256 => FileState::Sha256(sha256::Stream::default()),
            other => FileState::Other(other.hasher()),
        })
    }

    /// How fast so many go together, for [`Queue::new`](bulla_hash::schedule::Queue::new).
    pub(crate) fn speeds(algorithm: HashAlgorithm, engine: &Engine) -> Vec<usize> {
        match algorithm {
            HashAlgorithm::Sha256 => {
                (0..=sha256::MOST_LANES).map(|streams| engine.speed(streams)).collect()
            }
            // These are as fast alone.
            HashAlgorithm::Blake2b | HashAlgorithm::Blake3 => vec![0, 1],
        }
    }

    /// Adds bytes to each.
    pub(crate) fn update_all(engine: &Engine, beside: &mut [(&mut Self, &[u8])]) {
        let mut lanes = Vec::with_capacity(beside.len());
        for (hasher, bytes) in beside {
            match &mut hasher.0 {
                FileState::Sha256(stream) => lanes.push((stream, *bytes)),
                FileState::Other(hasher) => hasher.update(bytes),
            }
        }
        engine.update(&mut lanes);
    }

    /// The digests, in the same order.
    pub(crate) fn finish_all(engine: &Engine, hashers: Vec<Self>) -> Vec<Digest> {
        let mut streams = Vec::with_capacity(hashers.len());
        let mut others = Vec::new();
        for hasher in hashers {
            match hasher.0 {
                FileState::Sha256(stream) => streams.push(stream),
                FileState::Other(hasher) => others.push(hasher.finish()),
            }
        }
        // They are all of one kind.
        let digests = engine.finish(streams);
        digests.iter().map(|d| Digest::new(HashAlgorithm::Sha256, d)).chain(others).collect()
    }
}

/// A digest with its algorithm. Its length always fits the algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: HashAlgorithm,
    bytes: [u8; 64],
}

impl Digest {
    /// Takes a digest that was computed elsewhere.
    pub(crate) fn from_bytes(algorithm: HashAlgorithm, value: &[u8]) -> Self {
        Self::new(algorithm, value)
    }

    fn new(algorithm: HashAlgorithm, value: &[u8]) -> Self {
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(value) {
            *to = *from;
        }
        Self { algorithm, bytes }
    }

    /// The SHA-256 digest of some bytes.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut h = HashAlgorithm::Sha256.hasher();
        h.update(bytes);
        h.finish()
    }

    /// Reads lower-case hexadecimal of exactly the algorithm's length; anything else is `None`
    /// (upper case, too: two spellings of one digest are two names for one thing).
    #[must_use]
    pub fn from_hex(algorithm: HashAlgorithm, text: &str) -> Option<Self> {
        if text.len() != 2 * algorithm.output_len() || text.bytes().any(|b| b.is_ascii_uppercase())
        {
            return None;
        }
        hex::decode(text).ok().map(|bytes| Self::new(algorithm, &bytes))
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The raw digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.algorithm.output_len()).unwrap_or_default()
    }

    /// Lower-case hexadecimal.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.as_bytes())
    }
}

/// `sha256:…`
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: HashAlgorithm, bytes: &[u8]) -> String {
        let mut h = algorithm.hasher();
        h.update(bytes);
        h.finish().to_hex()
    }

    /// "abc": FIPS 180-4 example, RFC 7693 appendix A, BLAKE3 reference implementation.
    #[test]
    fn published_values() {
        assert_eq!(
            of(HashAlgorithm::Sha256, b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            of(HashAlgorithm::Blake2b, b"abc"),
            "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1\
             7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
        );
        assert_eq!(
            of(HashAlgorithm::Blake3, b"abc"),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
    }

    #[test]
    fn hex_is_lower_case_and_exact() {
        let hex = "ab".repeat(32);
        assert!(Digest::from_hex(HashAlgorithm::Sha256, &hex).is_some());
        assert!(Digest::from_hex(HashAlgorithm::Sha256, &hex.to_uppercase()).is_none());
        assert!(Digest::from_hex(HashAlgorithm::Sha256, &hex[2..]).is_none());
        assert!(Digest::from_hex(HashAlgorithm::Blake2b, &hex).is_none());
        assert!(Digest::from_hex(HashAlgorithm::Sha256, &"zz".repeat(32)).is_none());
    }
}
