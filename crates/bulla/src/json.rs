//! JSON from outside, read strictly.
//!
//! `serde_json` keeps the last of two equal keys in a map and ignores a repeated unknown one; two
//! readers that keep different ones then disagree on what was signed. So every document is walked
//! once for repeated keys, at any depth, before it is read into a type. `serde_json` itself refuses
//! text that is not UTF-8, more than 128 levels of nesting, and anything after the document.

use std::collections::HashSet;
use std::fmt;

use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::text::Quoted;

/// Keys of one object, unless its reader expects more.
const KEYS: usize = 1024;

/// Reads a document that is one object, refusing repeated keys.
///
/// # Errors
/// One line that says what is wrong and where, in the words of `serde_json`.
pub fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    read_with::<Object<T>>(text, KEYS).map(|Object(value)| value)
}

/// The same for a document whose objects may have so many keys.
///
/// # Errors
/// As [`read`].
pub fn read_large<'a, T: Deserialize<'a>>(text: &'a [u8], keys: usize) -> Result<T, String> {
    read_with::<Object<T>>(text, keys).map(|Object(value)| value)
}

/// The same for a document that may be something else than an object.
///
/// # Errors
/// As [`read`].
pub fn read_any<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    read_with(text, KEYS)
}

/// The same for a document of any kind, whose objects may have so many keys.
///
/// # Errors
/// As [`read`].
pub fn read_any_large<'a, T: Deserialize<'a>>(text: &'a [u8], keys: usize) -> Result<T, String> {
    read_with(text, keys)
}

fn read_with<'a, T: Deserialize<'a>>(text: &'a [u8], keys: usize) -> Result<T, String> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err("it is empty".into());
    }
    if let Err(e) = std::str::from_utf8(text) {
        return Err(format!("it is not UTF-8 text (at byte {})", e.valid_up_to()));
    }
    let mut strict = serde_json::Deserializer::from_slice(text);
    NoRepeatedKeys(keys)
        .deserialize(&mut strict)
        .and_then(|()| strict.end())
        .map_err(|e| e.to_string())?;
    serde_json::from_slice(text).map_err(|e| e.to_string())
}

/// A JSON object, and only that: a derived reader would also take an array with the members' values
/// in order, which no other reader of the format does.
#[derive(Debug, serde::Serialize)]
#[serde(transparent)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct OnlyMaps<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMaps<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        d.deserialize_map(OnlyMaps(PhantomData))
    }
}

/// For `deserialize_with`: a member that is an object.
///
/// # Errors
/// When it is none, or not of this type.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Object::deserialize(d).map(|Object(value)| value)
}

/// For `deserialize_with`: a member that is an object, or null.
///
/// # Errors
/// When it is neither, or not of this type.
pub fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    Option::<Object<T>>::deserialize(d).map(|value| value.map(|Object(value)| value))
}

/// For `deserialize_with`: a member that is a list of objects.
///
/// # Errors
/// When it is none, or one is not of this type.
pub fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::<Object<T>>::deserialize(d)?;
    Ok(list.into_iter().map(|Object(value)| value).collect())
}

#[derive(Clone, Copy)]
struct NoRepeatedKeys(usize);

impl<'de> DeserializeSeed<'de> for NoRepeatedKeys {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoRepeatedKeys {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(self)?;
            if seen.len() >= self.0 {
                return Err(A::Error::custom(format_args!(
                    "an object has more than {} keys",
                    self.0
                )));
            }
            if let Some(key) = seen.replace(key) {
                return Err(A::Error::custom(format_args!(
                    "the key {} stands twice in one object",
                    Quoted(&key)
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::Value;

    fn refused(text: &[u8]) -> String {
        read_any::<Value>(text).expect_err("must be refused")
    }

    #[test]
    fn duplicate_keys_at_any_depth() {
        assert!(refused(br#"{"a":1,"a":2}"#).contains("twice"));
        assert!(refused(br#"{"x":[{"y":{"a":1,"b":0,"a":2}}]}"#).contains("twice"));
        assert!(refused(br#"{"a":1,"\u0061":2}"#).contains("twice"));
        assert!(read_any::<Value>(br#"[{"a":1},{"a":2}]"#).is_ok());
        let key = "k".repeat(100_000);
        assert!(refused(format!(r#"{{"{key}":1,"{key}":2}}"#).as_bytes()).len() < 1000);
    }

    #[test]
    fn an_array_is_not_an_object() {
        #[derive(Debug, Deserialize)]
        struct Outer {
            inner: Object<Inner>,
        }
        #[derive(Debug, Deserialize)]
        struct Inner {
            a: u8,
        }
        assert_eq!(read::<Outer>(br#"{"inner":{"a":1}}"#).unwrap().inner.0.a, 1);
        assert!(read::<Outer>(br#"{"inner":[1]}"#).unwrap_err().contains("expected an object"));
        assert!(read::<Outer>(br#"[{"a":1}]"#).unwrap_err().contains("expected an object"));
    }

    #[test]
    fn bad_documents_are_refused_without_a_panic() {
        assert!(refused(b"").contains("empty"));
        assert!(refused(b" \n").contains("empty"));
        assert!(refused(b"\xff\xfe{}").contains("UTF-8"));
        assert!(refused(b"{}x").contains("trailing"));
        assert!(refused(b"{\"a\":").contains("EOF"));
        let deep = "[".repeat(100_000);
        assert!(refused(deep.as_bytes()).contains("recursion limit"));
        assert!(!refused(b"\xef\xbb\xbf{}").is_empty());
    }
}
