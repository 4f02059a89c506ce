//! Which conversions there are, and what they are called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::dtype::Dtype;

/// A conversion whose result is decided to the bit by what it starts from.
///
/// An enumeration rather than any pair of types: only these are defined, and a statement cannot name
/// another. Its text is the name in statements.
///
/// ```
/// use bulla_convert::Conversion;
/// assert_eq!("f32-to-bf16".parse(), Ok(Conversion::F32ToBf16));
/// assert_eq!(Conversion::Reshard.to_string(), "reshard");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conversion {
    /// The same tensors in other files.
    Reshard,
    /// Every F32 tensor becomes F16, rounded to nearest, ties to even.
    F32ToF16,
    /// Every F32 tensor becomes BF16, rounded to nearest, ties to even.
    F32ToBf16,
    /// Every BF16 tensor becomes F32, which is exact.
    Bf16ToF32,
    /// Every F16 tensor becomes F32, which is exact.
    F16ToF32,
}

impl Conversion {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::Reshard, Self::F32ToF16, Self::F32ToBf16, Self::Bf16ToF32, Self::F16ToF32];

    /// Its name in statements.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reshard => "reshard",
            Self::F32ToF16 => "f32-to-f16",
            Self::F32ToBf16 => "f32-to-bf16",
            Self::Bf16ToF32 => "bf16-to-f32",
            Self::F16ToF32 => "f16-to-f32",
        }
    }

    /// The type that is converted and the type that it becomes; `None` if no type changes.
    #[must_use]
    pub fn dtypes(self) -> Option<(Dtype, Dtype)> {
        match self {
            Self::Reshard => None,
            Self::F32ToF16 => Some((Dtype::F32, Dtype::F16)),
            Self::F32ToBf16 => Some((Dtype::F32, Dtype::Bf16)),
            Self::Bf16ToF32 => Some((Dtype::Bf16, Dtype::F32)),
            Self::F16ToF32 => Some((Dtype::F16, Dtype::F32)),
        }
    }

    /// What a tensor of this type becomes.
    #[must_use]
    pub fn apply(self, dtype: Dtype) -> Dtype {
        match self.dtypes() {
            Some((from, to)) if from == dtype => to,
            _ => dtype,
        }
    }
}

impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no conversion has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no conversion {}", bulla::text::Quoted(.0))]
pub struct UnknownConversion(String);

impl FromStr for Conversion {
    type Err = UnknownConversion;

    fn from_str(name: &str) -> Result<Self, UnknownConversion> {
        Self::ALL
            .into_iter()
            .find(|conversion| conversion.name() == name)
            .ok_or_else(|| UnknownConversion(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        for conversion in Conversion::ALL {
            assert_eq!(conversion.name().parse(), Ok(conversion));
            let json = serde_json::to_string(&conversion).unwrap();
            assert_eq!(json, format!("\"{conversion}\""));
            assert_eq!(serde_json::from_str::<Conversion>(&json).unwrap(), conversion);
        }
        assert!("F32-to-F16".parse::<Conversion>().is_err());
        assert!(
            "f16-to-bf16".parse::<Conversion>().unwrap_err().to_string().contains("f16-to-bf16")
        );
    }

    #[test]
    fn only_the_named_type_changes() {
        assert_eq!(Conversion::F32ToF16.apply(Dtype::F32), Dtype::F16);
        assert_eq!(Conversion::F32ToF16.apply(Dtype::F64), Dtype::F64);
        assert_eq!(Conversion::F32ToF16.apply(Dtype::Bf16), Dtype::Bf16);
        assert_eq!(Conversion::Reshard.apply(Dtype::F32), Dtype::F32);
    }
}
