//! Signed notes (c2sp.org/signed-note): reading, verifying, signing.
//!
//! ```text
//! text of the note, ending in a line feed
//!                                              (an empty line)
//! — <key name> base64(key id ‖ signature)      one or more
//! ```
//!
//! Nothing in a note may be believed before [`Note::verify`] has returned.

use std::fmt;

use aws_lc_rs::signature::{self as alg, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::{Fault, KeyAlgorithm, Printable, PublicKey, Signer};

use super::NoteSigner;

/// The largest note that is read.
pub const MAX_NOTE: u64 = 128 << 10;
/// The most signatures in one; the specification asks for 16.
const MAX_SIGNATURES: usize = 64;
/// SPKI of an Ed25519 key, before its 32 bytes (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

/// Why a note is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// It is not a signed note.
    #[error("it is not a signed note: {0}")]
    Malformed(&'static str),
    /// No trusted key signed it.
    #[error(
        "it is signed by {}, expected a signature by {expected}",
        if found.is_empty() { "nobody".into() } else { found.iter().map(|n| Printable(n).to_string()).collect::<Vec<_>>().join(" and ") }
    )]
    NotSigned {
        /// Who signed it, as `name+id`.
        found: Vec<String>,
        /// Who should have, as `name+id`.
        expected: String,
    },
    /// A signature in a trusted key's name is wrong.
    #[error(
        "the signature by {} is not valid: the text was changed, or signed by another key",
        Printable(key)
    )]
    BadSignature {
        /// Whose, as `name+id`.
        key: String,
    },
    /// Its text is not a checkpoint.
    #[error("its text is not a checkpoint: {0}")]
    NotACheckpoint(&'static str),
    /// The checkpoint of another log.
    #[error("it is a checkpoint of the log {}, expected {}", Printable(found), Printable(expected))]
    OtherOrigin {
        /// Its origin.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A key that cannot be used.
    #[error("the key cannot be used for notes: {}", Printable(.0))]
    Key(String),
}

/// What a key signs, as the specification numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureType {
    /// 0x01: Ed25519 over the text, as Rekor v2 signs.
    Ed25519,
    /// 0x02: ECDSA over the text, as Rekor v1 signs.
    Ecdsa,
    /// 0x04: a witness's Ed25519 over the text and a time (c2sp.org/tlog-cosignature).
    Cosignature,
}

impl SignatureType {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Ecdsa => 2,
            Self::Cosignature => 4,
        }
    }
}

/// A public key that signs notes under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    kind: SignatureType,
    key: PublicKey,
}

impl VerifierKey {
    /// A log's key: the kind of key decides how it signs.
    ///
    /// # Errors
    /// [`NoteError::Key`] for a name or key that notes do not have.
    pub fn of_log(name: &str, key: PublicKey) -> Result<Self, NoteError> {
        let kind = match key.algorithm() {
            KeyAlgorithm::Ed25519 => SignatureType::Ed25519,
            _ => SignatureType::Ecdsa,
        };
        Self::new(name, key, kind)
    }

    /// A witness's key.
    ///
    /// # Errors
    /// [`NoteError::Key`] for a name or key that witnesses do not have.
    pub fn of_witness(name: &str, key: PublicKey) -> Result<Self, NoteError> {
        Self::new(name, key, SignatureType::Cosignature)
    }

    /// Any key.
    ///
    /// # Errors
    /// [`NoteError::Key`] for a name or key that does not go with this type.
    pub fn new(name: &str, key: PublicKey, kind: SignatureType) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            let what =
                format!("{name:?} is not a name: it is empty, or has a blank or a plus sign");
            return Err(NoteError::Key(what));
        }
        let fits = match kind {
            SignatureType::Ed25519 | SignatureType::Cosignature => {
                key.algorithm() == KeyAlgorithm::Ed25519
            }
            SignatureType::Ecdsa => {
                matches!(key.algorithm(), KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384)
            }
        };
        if !fits {
            let found = key.algorithm();
            let what = format!("it is an {found} key, expected ed25519, ecdsa-p256 or ecdsa-p384");
            return Err(NoteError::Key(what));
        }
        let hash = match kind {
            // Sigstore's choice and the specification's: the hash of the key alone.
            SignatureType::Ecdsa => bulla::Digest::sha256(key.spki_der()),
            _ => {
                let mut named = format!("{name}\n").into_bytes();
                named.push(kind.byte());
                named.extend_from_slice(material(&key, kind));
                bulla::Digest::sha256(&named)
            }
        };
        let id = hash.as_bytes().first_chunk::<4>().copied().unwrap_or_default();
        Ok(Self { name: name.to_owned(), id, kind, key })
    }

    /// Reads a vkey: `<name>+<id>+base64(<type> ‖ <key>)`.
    ///
    /// # Errors
    /// [`NoteError::Key`] when it is none.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let wrong = |what: &str| NoteError::Key(what.to_owned());
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong("it is not of the form name+id+base64"));
        };
        let bytes = STANDARD.decode(encoded).map_err(|_| wrong("its third part is not base64"))?;
        let (kind, material) = match bytes.split_first() {
            Some((1, key)) => (SignatureType::Ed25519, key),
            Some((2, key)) => (SignatureType::Ecdsa, key),
            Some((4, key)) => (SignatureType::Cosignature, key),
            _ => return Err(wrong("its type is not 1 (Ed25519), 2 (ECDSA) or 4 (cosignature)")),
        };
        let key = match kind {
            SignatureType::Ecdsa => PublicKey::from_spki_der(material),
            _ if material.len() != 32 => return Err(wrong("an Ed25519 key has 32 bytes")),
            _ => PublicKey::from_spki_der(&[&ED25519_SPKI, material].concat()),
        };
        let key = Self::new(name, key.map_err(|fault| NoteError::Key(fault.to_string()))?, kind)?;
        if hex::encode(key.id) != id {
            return Err(NoteError::Key(format!(
                "its id is {id:?}, expected {}",
                hex::encode(key.id)
            )));
        }
        Ok(key)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// What it signs.
    #[must_use]
    pub fn kind(&self) -> SignatureType {
        self.kind
    }

    /// The key itself.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// `name+id`
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}+{}", self.name, hex::encode(self.id))
    }

    /// Whether a signature, without its key id, is this key's over a text.
    #[must_use]
    pub fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        let (verifier, timed): (&'static dyn VerificationAlgorithm, _) =
            match (self.kind, self.key.algorithm()) {
                (SignatureType::Ed25519, _) => (&alg::ED25519, None),
                (SignatureType::Ecdsa, KeyAlgorithm::EcdsaP384) => {
                    (&alg::ECDSA_P384_SHA384_ASN1, None)
                }
                (SignatureType::Ecdsa, _) => (&alg::ECDSA_P256_SHA256_ASN1, None),
                (SignatureType::Cosignature, _) => {
                    let Some((time, signature)) = signature.split_first_chunk::<8>() else {
                        return false;
                    };
                    let time = u64::from_be_bytes(*time);
                    if i64::try_from(time).is_err() {
                        return false;
                    }
                    (&alg::ED25519, Some((cosigned(text, time), signature)))
                }
            };
        let (text, signature) = match &timed {
            Some((text, signature)) => (text.as_slice(), *signature),
            None => (text, signature),
        };
        UnparsedPublicKey::new(verifier, material(&self.key, self.kind))
            .verify(text, signature)
            .is_ok()
    }
}

/// As a vkey.
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[self.kind.byte()], material(&self.key, self.kind)].concat();
        write!(f, "{}+{}", self.label(), STANDARD.encode(bytes))
    }
}

/// The key as notes encode it: 32 bytes, or an SPKI.
fn material(key: &PublicKey, kind: SignatureType) -> &[u8] {
    let spki = key.spki_der();
    match kind {
        SignatureType::Ecdsa => spki,
        _ => spki.strip_prefix(&ED25519_SPKI).unwrap_or(spki),
    }
}

/// What a witness signs for a note's text (c2sp.org/tlog-cosignature, "Ed25519 signed message").
pub(crate) fn cosigned(text: &[u8], time: u64) -> Vec<u8> {
    [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat()
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// A signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Its id.
    pub id: [u8; 4],
    /// The signature.
    pub bytes: Vec<u8>,
}

impl NoteSignature {
    /// Reads a line, without its line feed.
    ///
    /// # Errors
    /// [`NoteError::Malformed`]
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::Malformed;
        let rest = line.strip_prefix("— ").ok_or(wrong("a signature line begins with a dash"))?;
        let (name, encoded) =
            rest.split_once(' ').ok_or(wrong("a signature line has a name and a signature"))?;
        if !is_key_name(name) {
            return Err(wrong("a key's name is empty, or has a blank or a plus sign"));
        }
        let bytes = STANDARD.decode(encoded).map_err(|_| wrong("a signature is not in base64"))?;
        match bytes.split_first_chunk::<4>() {
            Some((id, bytes)) if !bytes.is_empty() => {
                Ok(Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
            }
            _ => Err(wrong("a signature is too short")),
        }
    }

    fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.id == key.id
    }
}

/// The line, without a line feed.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_slice(), &self.bytes].concat();
        write!(f, "— {} {}", self.name, STANDARD.encode(bytes))
    }
}

/// A note as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Reads a note. Nothing is verified.
    ///
    /// # Errors
    /// [`NoteError::Malformed`]
    pub fn parse(note: &[u8]) -> Result<Self, NoteError> {
        let wrong = NoteError::Malformed;
        if u64::try_from(note.len()).map_or(true, |length| length > MAX_NOTE) {
            return Err(wrong("it is larger than 128 KiB"));
        }
        let note = std::str::from_utf8(note).map_err(|_| wrong("it is not UTF-8"))?;
        if note.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(wrong("it has control characters"));
        }
        let (text, signatures) =
            note.rsplit_once("\n\n").ok_or(wrong("it has no empty line before its signatures"))?;
        if text.is_empty() {
            return Err(wrong("it has no text"));
        }
        let lines =
            signatures.strip_suffix('\n').ok_or(wrong("it does not end with a line feed"))?;
        let signatures = lines.split('\n').take(MAX_SIGNATURES + 1).map(NoteSignature::parse);
        let signatures: Vec<_> = signatures.collect::<Result<_, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(wrong("it has more than 64 signatures"));
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// The text, with its last line feed, if one of these keys signed it; with the keys that did.
    ///
    /// # Errors
    /// When none did, or when a signature in the name of one is wrong.
    pub fn verify<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<(&str, Vec<&'k VerifierKey>), NoteError> {
        let (mut signers, mut expected) = (Vec::new(), Vec::new());
        for key in keys {
            expected.push(key.label());
            let mut theirs = self.signatures.iter().filter(|s| s.is_by(key)).peekable();
            if theirs.peek().is_none() {
                continue;
            }
            if !theirs.all(|s| key.verifies(self.text.as_bytes(), &s.bytes)) {
                return Err(NoteError::BadSignature { key: key.label() });
            }
            signers.push(key);
        }
        if signers.is_empty() {
            let name = |s: &NoteSignature| format!("{}+{}", s.name, hex::encode(s.id));
            return Err(NoteError::NotSigned {
                found: self.signatures.iter().take(4).map(name).collect(),
                expected: if expected.is_empty() { "nobody".into() } else { expected.join(" or ") },
            });
        }
        Ok((&self.text, signers))
    }

    /// The text, which nobody vouches for: to look up by whom it should be signed, or to quote.
    #[must_use]
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// Its signatures, unverified.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
}

/// Signs notes with one of Bulla's signers.
pub struct NoteKey {
    signer: Box<dyn Signer + Send + Sync>,
    key: VerifierKey,
}

impl NoteKey {
    /// A signer under a name; `key` is its public half.
    #[must_use]
    pub fn new(signer: Box<dyn Signer + Send + Sync>, key: VerifierKey) -> Self {
        Self { signer, key }
    }

    /// Its public half.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.key
    }
}

impl fmt::Debug for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteKey({})", self.key)
    }
}

impl NoteSigner for NoteKey {
    fn name(&self) -> &str {
        &self.key.name
    }

    fn key_hash(&self) -> [u8; 4] {
        self.key.id
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Fault> {
        let signed = self.signer.sign(bulla::sign::ToSign::Message(text))?;
        if signed.key != self.key.key { Err(Fault::SignerBroken) } else { Ok(signed.signature) }
    }
}

/// Signs a text: the whole note.
///
/// # Errors
/// Those of the signer, and [`Fault::SignerBroken`] if its signature is not one of the key that readers trust.
pub fn sign(text: &str, signer: &dyn NoteSigner, key: &VerifierKey) -> Result<String, Fault> {
    let bytes = signer.sign(text.as_bytes())?;
    let signature = NoteSignature { name: signer.name().to_owned(), id: signer.key_hash(), bytes };
    if !signature.is_by(key) || !key.verifies(text.as_bytes(), &signature.bytes) {
        return Err(Fault::SignerBroken);
    }
    Ok(format!("{text}\n{signature}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulla::{KeyPair, KeySigner};

    /// The example of c2sp.org/signed-note, whose key is in the Go package's documentation's style.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn key(name: &str, algorithm: KeyAlgorithm) -> NoteKey {
        let pair = KeyPair::generate(algorithm).unwrap();
        let key = VerifierKey::of_log(name, pair.public().clone()).unwrap();
        NoteKey::new(Box::new(KeySigner::new(pair)), key)
    }

    /// The note of Go's `golang.org/x/mod/sumdb/note` documentation.
    #[test]
    fn a_note_of_another_implementation() {
        let peter = VerifierKey::parse(PETER).unwrap();
        assert_eq!(peter.to_string(), PETER);
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        let (text, signers) = note.verify([&peter]).unwrap();
        assert!(text.ends_with("problem is.\n"));
        assert_eq!(signers, [&peter]);

        let changed = Note::parse(NOTE.replace("think", "thank").as_bytes()).unwrap();
        assert_eq!(
            changed.verify([&peter]).unwrap_err(),
            NoteError::BadSignature { key: "PeterNeumann+c74f20a3".into() }
        );
    }

    #[test]
    fn what_is_signed_verifies_with_either_kind_of_key_and_no_other() {
        for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384] {
            let signer = key("log.example/one", algorithm);
            let note = sign("text\n", &signer, signer.verifier()).unwrap();
            let parsed = Note::parse(note.as_bytes()).unwrap();
            parsed.verify([signer.verifier()]).unwrap();
            let vkey = signer.verifier().to_string();
            assert_eq!(&VerifierKey::parse(&vkey).unwrap(), signer.verifier());
            let other = key("log.example/one", algorithm);
            assert!(matches!(parsed.verify([other.verifier()]), Err(NoteError::NotSigned { .. })));
        }
    }

    /// Sigstore's Rekor v1: the key's id is that of its SPKI, whatever its name.
    #[test]
    fn an_ecdsa_key_is_known_by_the_hash_of_its_spki() {
        let signer = key("log.example", KeyAlgorithm::EcdsaP256);
        let hash = bulla::Digest::sha256(signer.verifier().public_key().spki_der());
        assert_eq!(signer.key_hash(), hash.as_bytes()[..4]);
    }

    #[test]
    fn other_keys_signatures_are_passed_over() {
        let (one, two) = (key("one", KeyAlgorithm::Ed25519), key("two", KeyAlgorithm::Ed25519));
        let note = sign("text\n", &one, one.verifier()).unwrap();
        let line = sign("text\n", &two, two.verifier()).unwrap();
        let line = line.lines().last().unwrap();
        let both = format!("{note}{line}\n");
        let both = Note::parse(both.as_bytes()).unwrap();
        assert_eq!(both.verify([two.verifier()]).unwrap().1, [two.verifier()]);
        assert_eq!(both.verify([one.verifier(), two.verifier()]).unwrap().1.len(), 2);
        // A right signature does not make up for a wrong one under the same key.
        let spoilt = format!("{note}{}\n", {
            let mut line = NoteSignature::parse(note.lines().last().unwrap()).unwrap();
            line.bytes[7] ^= 1;
            line
        });
        let spoilt = Note::parse(spoilt.as_bytes()).unwrap();
        assert!(matches!(spoilt.verify([one.verifier()]), Err(NoteError::BadSignature { .. })));
    }

    #[test]
    fn a_signer_that_signs_something_else_is_found_out() {
        let (one, two) = (key("same", KeyAlgorithm::Ed25519), key("same", KeyAlgorithm::Ed25519));
        assert!(matches!(sign("text\n", &one, two.verifier()), Err(Fault::SignerBroken)));
    }

    #[test]
    fn malformed_notes() {
        let line = NOTE.lines().last().unwrap();
        for (wrong, what) in [
            (String::new(), "no empty line"),
            ("text\n".into(), "no empty line"),
            (format!("text\n{line}\n"), "no empty line"),
            (format!("\n\n{line}\n"), "no text"),
            (format!("text\n\n{line}"), "line feed"),
            (format!("text\r\n\n{line}\n"), "control"),
            (format!("te\0xt\n\n{line}\n"), "control"),
            ("text\n\n\n".into(), "line feed"),
            (format!("text\n\n{line}\n{}\n", line.replace("— ", "- ")), "dash"),
            (format!("text\n\n{}\n", line.replace("Neumann", "+Neumann")), "plus"),
            (format!("text\n\n{}\n", line.replace("Neumann", "\u{2003}Neumann")), "blank"),
            (format!("text\n\n{line} \n"), "base64"),
            (format!("text\n\n{}\n", line.replace("nAM=", "nAM")), "base64"),
            (format!("text\n\n{}\n", line.replace("nAM=", "nAN=")), "base64"),
            ("text\n\n— name AAAAAA==\n".into(), "short"),
            (format!("text\n\n{}", format!("{line}\n").repeat(65)), "64"),
            (format!("{}\n\n{line}\n", "t".repeat(200_000)), "KiB"),
        ] {
            let error = Note::parse(wrong.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(what), "{wrong:?}: {error}");
        }
        assert!(Note::parse(b"te\xffxt\n\n\xe2\x80\x94 n AAAAAAA=\n").is_err());
        // The last empty line divides.
        let two = format!("a\n\nb\n\n{line}\n");
        assert_eq!(Note::parse(two.as_bytes()).unwrap().unverified_text(), "a\n\nb\n");
    }

    #[test]
    fn malformed_keys() {
        let rest = "c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        for wrong in [
            String::new(),
            "PeterNeumann".into(),
            format!("+{rest}"),
            format!("Peter Neumann+{rest}"),
            format!("PeterNeumann2+{rest}"),
            PETER.replace("c74f20a3", "C74F20A3"),
            PETER.replace("+AR", "+Ah"),
            PETER.replace("TW", "T"),
        ] {
            assert!(VerifierKey::parse(&wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_note_or_not(note: Vec<u8>) {
            let _ = Note::parse(&note);
        }
    }
}
