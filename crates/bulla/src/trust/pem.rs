//! PEM files: text around labelled blocks (RFC 7468).
//!
//! The library reads one block; a file may hold several, with explanations between them, as OpenSSL
//! and certificate authorities write it.

use der::pem::Decoder;
use zeroize::Zeroizing;

use crate::error::Fault;
use crate::limits::Limits;

/// One block of a PEM file, still encoded.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    text: &'a str,
}

/// The blocks of a file, in order.
pub(super) fn blocks<'a>(text: &'a str, limits: &Limits) -> Result<Vec<Block<'a>>, Fault> {
    if text.len() as u64 > limits.pem_bytes {
        return Err(Fault::key(format!(
            "it is larger than {} bytes, the most that is read of a key or certificate file",
            limits.pem_bytes
        )));
    }
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let broken = || Fault::key("it has a PEM block that is cut off or broken");
        let (label, body) = after.split_once("-----").ok_or_else(broken)?;
        let end = format!("-----END {label}-----");
        let (body, after) = body.split_once(&end).ok_or_else(broken)?;
        // From "-----BEGIN " to the end of "-----END …-----".
        let whole = "-----BEGIN ".len() + label.len() + "-----".len() + body.len() + end.len();
        let start = text.len() - rest.len() + rest.find("-----BEGIN ").unwrap_or(0);
        let text = text.get(start..start + whole).ok_or_else(broken)?;
        blocks.push(Block { label, text });
        rest = after;
    }
    Ok(blocks)
}

impl Block<'_> {
    /// The bytes inside.
    pub(super) fn decode(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let label = self.label;
        if self.text.contains("Proc-Type:") {
            return Err(Fault::Key {
                detail: format!(
                    "its {label} is encrypted in OpenSSL's old way, without a standard"
                ),
                hint: Some("convert it once: openssl pkcs8 -topk8 -in OLD.pem -out NEW.pem"),
            });
        }
        let broken = |e: der::pem::Error| Fault::key(format!("its {label} is not valid PEM: {e}"));
        // 64 columns by the standard, 76 by some tools: what the first line has.
        let width = self.text.lines().nth(1).map_or(64, |line| line.trim_end().len().max(64));
        let mut decoder = Decoder::new_wrapped(self.text.as_bytes(), width).map_err(broken)?;
        let mut bytes = Zeroizing::new(vec![0; decoder.remaining_len()]);
        decoder.decode(&mut bytes).map_err(broken)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_blocks_with_text_between() {
        let text = "Bag Attributes\n-----BEGIN A-----\nAAEC\n-----END A-----\nmore\n-----BEGIN B C-----\nAw==\n-----END B C-----\n";
        let blocks = blocks(text, &Limits::default()).unwrap();
        let found: Vec<_> =
            blocks.iter().map(|b| (b.label, b.decode().unwrap().to_vec())).collect();
        assert_eq!(found, [("A", vec![0, 1, 2]), ("B C", vec![3])]);
    }

    #[test]
    fn broken_blocks_are_faults() {
        for text in
            ["-----BEGIN A", "-----BEGIN A-----\nAA", "-----BEGIN A-----\nAA==\n-----END B-----"]
        {
            assert!(blocks(text, &Limits::default()).is_err(), "{text}");
        }
        let bad = blocks("-----BEGIN A-----\n!!!!\n-----END A-----", &Limits::default()).unwrap();
        assert!(bad[0].decode().is_err());
    }
}
