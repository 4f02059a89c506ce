//! The types of a tensor's elements.

use std::fmt;

/// The type of a tensor's elements, as safetensors names them.
///
/// The order is the format's, by growing alignment: its serializer writes the tensors of the last
/// type first. The list is ours rather than the `safetensors` crate's because a type that a new
/// version puts in between must not change the bytes that a conversion writes; a test compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // their names say it
#[non_exhaustive]
pub enum Dtype {
    Bool,
    F4,
    F6E2m3,
    F6E3m2,
    U8,
    I8,
    F8E5m2,
    F8E4m3,
    F8E8m0,
    F8E4m3Fnuz,
    F8E5m2Fnuz,
    I16,
    U16,
    F16,
    Bf16,
    I32,
    U32,
    F32,
    C64,
    F64,
    I64,
    U64,
}

/// Each with its name and the bits of one element.
const TABLE: [(Dtype, &str, u64); 22] = [
    (Dtype::Bool, "BOOL", 8),
    (Dtype::F4, "F4", 4),
    (Dtype::F6E2m3, "F6_E2M3", 6),
    (Dtype::F6E3m2, "F6_E3M2", 6),
    (Dtype::U8, "U8", 8),
    (Dtype::I8, "I8", 8),
    (Dtype::F8E5m2, "F8_E5M2", 8),
    (Dtype::F8E4m3, "F8_E4M3", 8),
    (Dtype::F8E8m0, "F8_E8M0", 8),
    (Dtype::F8E4m3Fnuz, "F8_E4M3FNUZ", 8),
    (Dtype::F8E5m2Fnuz, "F8_E5M2FNUZ", 8),
    (Dtype::I16, "I16", 16),
    (Dtype::U16, "U16", 16),
    (Dtype::F16, "F16", 16),
    (Dtype::Bf16, "BF16", 16),
    (Dtype::I32, "I32", 32),
    (Dtype::U32, "U32", 32),
    (Dtype::F32, "F32", 32),
    (Dtype::C64, "C64", 64),
    (Dtype::F64, "F64", 64),
    (Dtype::I64, "I64", 64),
    (Dtype::U64, "U64", 64),
];

impl Dtype {
    /// The type of this name; `None` if the format has no such type.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        TABLE.iter().find(|entry| entry.1 == name).map(|entry| entry.0)
    }

    /// Its name in a header: `F32`, `BF16`.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|entry| entry.0 == self).map_or("", |entry| entry.1)
    }

    /// Bits of one element: 4 to 64. Elements of less than a byte are packed.
    #[must_use]
    pub fn bits(self) -> u64 {
        TABLE.iter().find(|entry| entry.0 == self).map_or(8, |entry| entry.2)
    }

    /// What PyTorch and `config.json` call it, for the types that a conversion can make.
    #[must_use]
    pub(crate) fn torch_name(self) -> Option<&'static str> {
        match self {
            Self::F16 => Some("float16"),
            Self::Bf16 => Some("bfloat16"),
            Self::F32 => Some("float32"),
            _ => None,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Dtype {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_of_the_safetensors_crate() {
        let theirs: Vec<safetensors::Dtype> = TABLE
            .iter()
            .map(|entry| serde_json::from_str(&format!("{:?}", entry.1)).unwrap())
            .collect();
        for (ours, theirs) in TABLE.iter().zip(&theirs) {
            assert_eq!(ours.2, theirs.bitsize() as u64, "{}", ours.1);
            assert_eq!(ours.0.bits(), ours.2);
            assert_eq!(Dtype::parse(ours.0.name()), Some(ours.0));
        }
        assert!(theirs.is_sorted() && TABLE.iter().map(|entry| entry.0).is_sorted());
        assert_eq!(Dtype::parse("f32"), None);
    }
}
