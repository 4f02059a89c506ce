//! Checkpoints (c2sp.org/tlog-checkpoint): what a log says of itself at one size, as a signed note.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::Printable;

use super::note::{Note, NoteError, SignatureType, VerifierKey};
use super::tile::decimal;
use super::tree::Hash;

/// A log's origin, size and root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// Lines after these, each with its line feed; the specification advises against any.
    pub extensions: String,
}

impl Checkpoint {
    /// Reads a note's text. It must have been verified before anything is decided on it.
    ///
    /// # Errors
    /// [`NoteError::NotACheckpoint`]
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::NotACheckpoint;
        let mut lines = text.splitn(4, '\n');
        let mut line = || lines.next().filter(|line| !line.is_empty());
        let origin = line().ok_or(wrong("it has no origin"))?;
        let size = line().and_then(decimal).ok_or(wrong("its second line is not a size"))?;
        let root = line().and_then(parse_hash).ok_or(wrong("its third line is not a hash"))?;
        let extensions = lines.next().ok_or(wrong("its third line has no end"))?;
        let complete = extensions.is_empty() || extensions.ends_with('\n');
        if !complete || extensions.starts_with('\n') || extensions.contains("\n\n") {
            return Err(wrong("it has an empty line"));
        }
        Ok(Self { origin: origin.into(), size, root, extensions: extensions.into() })
    }

    /// Reads and verifies a checkpoint of one of these logs.
    ///
    /// # Errors
    /// When it is malformed, another log's, or signed by nobody who may.
    pub fn open(note: &[u8], logs: &[LogKey]) -> Result<Self, NoteError> {
        let note = Note::parse(note)?;
        // Only to find out whose signature it takes.
        let origin = Self::parse(note.unverified_text())?.origin;
        let mut keys = logs.iter().filter(|log| log.speaks_for(&origin)).peekable();
        if keys.peek().is_none() {
            let mut expected: Vec<_> = logs.iter().map(|log| log.origin.clone()).collect();
            expected.dedup();
            return Err(NoteError::OtherOrigin { found: origin, expected: expected.join(" or ") });
        }
        let (text, _) = note.verify(keys.map(|log| &log.key))?;
        Self::parse(text)
    }

    /// The note's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { origin, size, root, extensions } = self;
        format!("{origin}\n{size}\n{}\n{extensions}", show_hash(root))
    }
}

/// A log that is trusted: its origin, and a key that signs its checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    origin: String,
    key: VerifierKey,
}

impl LogKey {
    /// A log whose key is named after it, as the specification advises.
    #[must_use]
    pub fn new(key: VerifierKey) -> Self {
        Self { origin: key.name().to_owned(), key }
    }

    /// A log whose origin is not its key's name.
    #[must_use]
    pub fn with_origin(origin: &str, key: VerifierKey) -> Self {
        Self { origin: origin.to_owned(), key }
    }

    /// Its origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Whether checkpoints of this origin are its. Rekor v1 writes the number of its tree after its name.
    #[must_use]
    pub fn speaks_for(&self, origin: &str) -> bool {
        let tree = || origin.strip_prefix(&self.origin)?.strip_prefix(" - ");
        origin == self.origin
            || (self.key.kind() == SignatureType::Ecdsa
                && tree().is_some_and(|n| decimal(n).is_some()))
    }
}

/// A hash in base64, as checkpoints and proofs write it.
pub(crate) fn show_hash(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

/// Reads [`show_hash`]'s.
pub(crate) fn parse_hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// `size N, root …`
pub(crate) fn show_head(size: u64, root: &Hash) -> String {
    format!("size {size}, root {}", Printable(&show_hash(root)))
}

#[cfg(test)]
mod tests {
    use super::super::note;
    use super::*;
    use bulla::{KeyAlgorithm, KeyPair, KeySigner};

    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn checkpoints() {
        let checkpoint = Checkpoint::parse(TEXT).unwrap();
        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(checkpoint.to_text(), TEXT);
        let extended = format!("{TEXT}one\ntwo\n");
        assert_eq!(Checkpoint::parse(&extended).unwrap().to_text(), extended);
        for wrong in [
            String::new(),
            "\n".into(),
            "origin\n".into(),
            "origin\n1\n".into(),
            TEXT.trim_end().into(),
            TEXT.replace("20852163", "020852163"),
            TEXT.replace("20852163", "+1"),
            TEXT.replace("20852163", "-1"),
            TEXT.replace("20852163", "99999999999999999999"),
            TEXT.replace("CsUY", "Cs"),
            TEXT.replace("2I=", "2J="),
            format!("{TEXT}\n"),
            format!("{TEXT}one\n\n"),
            format!("{TEXT}one"),
            format!("\n{TEXT}"),
        ] {
            assert!(Checkpoint::parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_the_logs_own_key_speaks_for_it() {
        let key = |name: &str, algorithm| {
            let pair = KeyPair::generate(algorithm).unwrap();
            let key = VerifierKey::of_log(name, pair.public().clone()).unwrap();
            note::NoteKey::new(Box::new(KeySigner::new(pair)), key)
        };
        let one = key("log.example/one", KeyAlgorithm::Ed25519);
        let two = key("log.example/two", KeyAlgorithm::Ed25519);
        let trusted = [one.verifier(), two.verifier()].map(|key| LogKey::new(key.clone()));
        let text = |origin: &str| TEXT.replace("example.com/behind-the-sofa", origin);

        let good = note::sign(&text("log.example/one"), &one, one.verifier()).unwrap();
        assert_eq!(Checkpoint::open(good.as_bytes(), &trusted).unwrap().size, 20_852_163);
        // Another trusted log's key.
        let crossed = note::sign(&text("log.example/one"), &two, two.verifier()).unwrap();
        assert!(matches!(
            Checkpoint::open(crossed.as_bytes(), &trusted),
            Err(NoteError::NotSigned { .. })
        ));
        let other = note::sign(&text("log.example/three"), &one, one.verifier()).unwrap();
        let error = Checkpoint::open(other.as_bytes(), &trusted).unwrap_err();
        assert!(matches!(error, NoteError::OtherOrigin { .. }), "{error}");

        // Rekor v1.
        let v1 = key("rekor.example", KeyAlgorithm::EcdsaP256);
        let trusted = [LogKey::new(v1.verifier().clone())];
        for (origin, good) in [
            ("rekor.example", true),
            ("rekor.example - 1193050959916656506", true),
            ("rekor.example - x", false),
            ("rekor.example - ", false),
            ("rekor.example.org", false),
        ] {
            let note = note::sign(&text(origin), &v1, v1.verifier()).unwrap();
            assert_eq!(Checkpoint::open(note.as_bytes(), &trusted).is_ok(), good, "{origin}");
        }
    }
}
