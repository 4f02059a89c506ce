//! DSSE v1.0 envelopes, and the malformed encoding of model-signing 0.2.0.

use std::fmt::Write as _;

/// The one payload type that OMS has (v1.0 §6.7).
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Payloads up to this size are tried under the encoding of 0.2.0, which can quadruple them.
const LEGACY_PAYLOAD_BYTES: usize = 16 << 20;

/// How the signed bytes were framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// DSSE's pre-authentication encoding.
    Dsse,
    /// What model-signing 0.2.0 signed in its place.
    ModelSigning0_2,
}

/// A payload that is not known to be anybody's, with a signature.
#[derive(Clone)]
pub(crate) struct Envelope {
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Envelope({} bytes, not verified)", self.payload.len())
    }
}

impl Envelope {
    pub(super) fn new(payload: Vec<u8>, signature: Vec<u8>) -> Self {
        Self { payload, signature }
    }

    /// In which framing `check(encoding, message, signature)` accepts the signature.
    pub(crate) fn opens(&self, check: impl Fn(Encoding, &[u8], &[u8]) -> bool) -> Option<Encoding> {
        let message = pre_authentication_encoding(&self.payload);
        if check(Encoding::Dsse, &message, &self.signature) {
            return Some(Encoding::Dsse);
        }
        drop(message);
        if self.payload.len() > LEGACY_PAYLOAD_BYTES {
            return None;
        }
        let message = model_signing_0_2_encoding(&self.payload);
        check(Encoding::ModelSigning0_2, &message, &self.signature)
            .then_some(Encoding::ModelSigning0_2)
    }

    /// Hands out the payload, once all checks hold, exactly as it was received: it is never serialised again
    /// (trap 4).
    pub(crate) fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// Payload and signature, for the checks that have to hold before the payload is handed out, and to show with the
    /// words "not verified".
    pub(crate) fn unverified(&self) -> (&[u8], &[u8]) {
        (&self.payload, &self.signature)
    }
}

/// PAE(type, body) of DSSE v1.0, `protocol.md`.
pub(crate) fn pre_authentication_encoding(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// What 0.2.0 signed: another magic word, and Python's `repr` of the payload, with the length of
/// the payload itself.
fn model_signing_0_2_encoding(payload: &[u8]) -> Vec<u8> {
    let quote = if payload.contains(&b'\'') && !payload.contains(&b'"') { '"' } else { '\'' };
    let mut text =
        format!("DSSEV1 {} {PAYLOAD_TYPE} {} b{quote}", PAYLOAD_TYPE.len(), payload.len());
    text.reserve(payload.len() + payload.len() / 8);
    for &byte in payload {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\t' => text.push_str("\\t"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b if char::from(b) == quote => {
                text.push('\\');
                text.push(quote);
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push(quote);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in DSSE's `protocol.md`, with our payload type.
    #[test]
    fn pre_authentication_encoding_as_published() {
        assert_eq!(
            pre_authentication_encoding(b"hello world"),
            b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"
        );
    }

    /// Values from CPython: `repr(b'…')`.
    #[test]
    fn python_repr() {
        let repr = |bytes: &[u8]| {
            let text = String::from_utf8(model_signing_0_2_encoding(bytes)).unwrap();
            text.split_once(&format!(" {} ", bytes.len())).unwrap().1.to_owned()
        };
        assert_eq!(repr(b"{\n \"a\": 1}"), r#"b'{\n "a": 1}'"#);
        assert_eq!(repr(b"it's"), r#"b"it's""#);
        assert_eq!(repr(b"it's \"x\""), r#"b'it\'s "x"'"#);
        assert_eq!(repr(b"\\\t\r\x00\x7f\xff"), r"b'\\\t\r\x00\x7f\xff'");
    }
}
