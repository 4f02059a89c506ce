//! The header of a safetensors file: which tensors there are, and where.
//!
//! A file is a length (8 bytes, little-endian), that many bytes of JSON, and the tensors' bytes
//! ([the format](https://github.com/huggingface/safetensors#format)).
//!
//! The `safetensors` crate's `read_metadata` wants the whole file in one slice, merges repeated names
//! without a word, and writes `__metadata__` in a random order. So the header is read and written here;
//! tests hold both against the crate: what is accepted here it accepts, and what is written is to the byte
//! what it writes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};

use bulla::json::Object;

use crate::dtype::Dtype;
use crate::json::Pairs;
use crate::limits::{DIMENSIONS, HEADER_BYTES};
use bulla::text::Quoted;

/// Bytes of the length at the beginning of a file.
pub(crate) const LENGTH_BYTES: usize = 8;
/// The member of the header that is not a tensor.
const METADATA: &str = "__metadata__";

/// What a header says, checked: the tensors' bytes follow one another without overlap and without
/// holes, from the end of the header to the end of the file, and each has as many as its shape needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The file's own remarks (`__metadata__`); empty if there are none.
    pub metadata: BTreeMap<String, String>,
    /// In the order of their bytes; those without any by name.
    pub tensors: Vec<Tensor>,
    /// Where in the file the tensors' bytes begin.
    pub data_start: u64,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tensor {
    /// Its name: any text.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its dimensions, the slowest first; none for a single number.
    pub shape: Vec<u64>,
    /// Where its bytes begin, counted from [`Header::data_start`].
    pub begin: u64,
    /// Where they end.
    pub end: u64,
}

impl Tensor {
    /// How many bytes it has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }
}

/// What is wrong with a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Too short to say how long its header is.
    #[error("the file has {size} bytes, and a safetensors file has at least 8")]
    TooShort {
        /// Bytes in the file.
        size: u64,
    },
    /// More than the format allows.
    #[error("the header is said to have {length} bytes, and at most {HEADER_BYTES} are allowed")]
    TooLong {
        /// Bytes it is said to have.
        length: u64,
    },
    /// Longer than what is there.
    #[error("the header is said to have {length} bytes, and the file has only {size} in all")]
    BeyondFile {
        /// Bytes it is said to have.
        length: u64,
        /// Bytes in the file.
        size: u64,
    },
    /// The caller did not give all of it.
    #[error("only {given} of the {needed} bytes of length and header were given")]
    Incomplete {
        /// Bytes that were given.
        given: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// Not text.
    #[error("the header is not UTF-8 text (at byte {at} of it)")]
    NotUtf8 {
        /// Bytes before that.
        at: usize,
    },
    /// Not an object.
    #[error("the header begins with byte {found:#04x}; it has to begin with '{{'")]
    BadBeginning {
        /// The first byte.
        found: u8,
    },
    /// Empty, or something other than spaces after the object.
    #[error("the header does not end with '}}' and spaces")]
    BadEnd,
    /// Not the JSON of a header.
    #[error("the header is not valid: {0}")]
    Json(String),
    /// A name twice.
    #[error("the header has {} twice", Quoted(.0))]
    Repeated(String),
    /// A type that the format does not have.
    #[error("tensor {} has the unknown type {}", Quoted(tensor), Quoted(dtype))]
    UnknownDtype {
        /// Its name.
        tensor: String,
        /// Its type.
        dtype: String,
    },
    /// More elements or bytes than can be counted.
    #[error("tensor {} has a shape too large to count", Quoted(.0))]
    ShapeOverflow(String),
    /// Half a byte left over.
    #[error("tensor {} does not end with a whole byte", Quoted(.0))]
    PartOfAByte(String),
    /// The end before the beginning.
    #[error("tensor {} ends at {end}, before it begins at {begin}", Quoted(tensor))]
    Reversed {
        /// Its name.
        tensor: String,
        /// Where it begins.
        begin: u64,
        /// Where it ends.
        end: u64,
    },
    /// Other than its shape says.
    #[error("tensor {} has {found} bytes, and its shape and type need {expected}", Quoted(tensor))]
    WrongSize {
        /// Its name.
        tensor: String,
        /// What they need.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// Bytes of two tensors.
    #[error(
        "tensor {} begins at {begin}, before what comes before it ends at {end}",
        Quoted(tensor)
    )]
    Overlap {
        /// The later one.
        tensor: String,
        /// Where it begins.
        begin: u64,
        /// Where those before it end.
        end: u64,
    },
    /// Bytes of no tensor, where anything could hide.
    #[error("the {} bytes from {begin} on belong to no tensor", end.saturating_sub(*begin))]
    Hole {
        /// Where they begin.
        begin: u64,
        /// Where they end.
        end: u64,
    },
    /// Bytes past the end.
    #[error(
        "tensor {} ends at {end}, and the file has {available} bytes of tensors",
        Quoted(tensor)
    )]
    OutOfRange {
        /// Its name.
        tensor: String,
        /// Where it ends.
        end: u64,
        /// Bytes after the header.
        available: u64,
    },
}

/// How many bytes of JSON follow the length that `start` begins with.
pub(crate) fn header_length(start: &[u8], file_size: u64) -> Result<u64, HeaderError> {
    let Some(length) = start.first_chunk::<LENGTH_BYTES>().filter(|_| file_size >= 8) else {
        return Err(HeaderError::TooShort { size: file_size });
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_BYTES {
        return Err(HeaderError::TooLong { length });
    }
    if length > file_size.saturating_sub(8) {
        return Err(HeaderError::BeyondFile { length, size: file_size });
    }
    Ok(length)
}

/// Reads and checks a header. `start` is the beginning of the file, at least to the end of the header;
/// `file_size` is how many bytes the file has.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse_header(start: &[u8], file_size: u64) -> Result<Header, HeaderError> {
    let length = header_length(start, file_size)?;
    let data_start = length + 8;
    let text = usize::try_from(data_start)
        .ok()
        .and_then(|end| start.get(LENGTH_BYTES..end))
        .ok_or(HeaderError::Incomplete { given: start.len() as u64, needed: data_start })?;
    let raw = parse_json(text)?;

    let mut metadata = BTreeMap::new();
    for (key, value) in raw.metadata.unwrap_or_default() {
        match metadata.entry(key) {
            Entry::Vacant(entry) => entry.insert(value),
            Entry::Occupied(entry) => return Err(HeaderError::Repeated(entry.key().clone())),
        };
    }
    let mut tensors = Vec::with_capacity(raw.tensors.len());
    for (name, info) in raw.tensors {
        tensors.push(checked(name, info)?);
    }
    tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some((again, _)) =
        tensors.iter().skip(1).zip(&tensors).find(|(one, before)| one.name == before.name)
    {
        return Err(HeaderError::Repeated(again.name.clone()));
    }
    tensors.sort_by_key(|tensor| (tensor.begin, tensor.end)); // stable: the rest stays by name
    check_layout(&tensors, file_size.saturating_sub(data_start))?;
    Ok(Header { metadata, tensors, data_start })
}

fn parse_json(text: &[u8]) -> Result<RawHeader, HeaderError> {
    let text =
        std::str::from_utf8(text).map_err(|e| HeaderError::NotUtf8 { at: e.valid_up_to() })?;
    match text.bytes().next() {
        Some(b'{') => {}
        Some(found) => return Err(HeaderError::BadBeginning { found }),
        None => return Err(HeaderError::BadEnd),
    }
    let text = text.trim_end_matches(' ');
    if !text.ends_with('}') {
        return Err(HeaderError::BadEnd);
    }
    let raw: RawHeader =
        serde_json::from_str(text).map_err(|e| HeaderError::Json(e.to_string()))?;
    if raw.repeated_metadata {
        return Err(HeaderError::Repeated(METADATA.into()));
    }
    Ok(raw)
}

/// A tensor whose bytes are as many as its shape needs.
fn checked(name: String, info: Info) -> Result<Tensor, HeaderError> {
    let Some(dtype) = Dtype::parse(&info.dtype) else {
        return Err(HeaderError::UnknownDtype { tensor: name, dtype: info.dtype });
    };
    let bits = info.shape.0.iter().try_fold(1_u64, |n, dimension| n.checked_mul(*dimension));
    let Some(bits) = bits.and_then(|elements| elements.checked_mul(dtype.bits())) else {
        return Err(HeaderError::ShapeOverflow(name));
    };
    if bits % 8 != 0 {
        return Err(HeaderError::PartOfAByte(name));
    }
    let (begin, end) = info.data_offsets;
    let Some(found) = end.checked_sub(begin) else {
        return Err(HeaderError::Reversed { tensor: name, begin, end });
    };
    if found != bits / 8 {
        return Err(HeaderError::WrongSize { tensor: name, expected: bits / 8, found });
    }
    Ok(Tensor { name, dtype, shape: info.shape.0, begin, end })
}

/// One after another, all of the file.
fn check_layout(tensors: &[Tensor], available: u64) -> Result<(), HeaderError> {
    let mut position = 0;
    for tensor in tensors {
        if tensor.begin < position {
            let (tensor, begin) = (tensor.name.clone(), tensor.begin);
            return Err(HeaderError::Overlap { tensor, begin, end: position });
        }
        if tensor.end > available {
            let (tensor, end) = (tensor.name.clone(), tensor.end);
            return Err(HeaderError::OutOfRange { tensor, end, available });
        }
        if tensor.begin > position {
            return Err(HeaderError::Hole { begin: position, end: tensor.begin });
        }
        position = tensor.end;
    }
    if position < available {
        return Err(HeaderError::Hole { begin: position, end: available });
    }
    Ok(())
}

/// What the JSON says, with nothing checked.
#[derive(Default)]
struct RawHeader {
    metadata: Option<Vec<(String, String)>>,
    repeated_metadata: bool,
    tensors: Vec<(String, Info)>,
}

/// Members that the format does not have are refused: a conversion would lose them.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Shape,
    data_offsets: (u64, u64),
}

struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawHeader;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut raw = RawHeader::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        let Pairs(metadata) = map.next_value()?;
                        raw.repeated_metadata |= raw.metadata.replace(metadata).is_some();
                    } else {
                        let Object(info) = map.next_value()?;
                        raw.tensors.push((name, info));
                    }
                }
                Ok(raw)
            }
        }
        d.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Dimensions;
        impl<'de> Visitor<'de> for Dimensions {
            type Value = Shape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dimensions")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(dimension) = seq.next_element()? {
                    if shape.len() == DIMENSIONS {
                        return Err(A::Error::custom(format_args!(
                            "a shape has more than {DIMENSIONS} dimensions"
                        )));
                    }
                    shape.push(dimension);
                }
                Ok(Shape(shape))
            }
        }
        d.deserialize_seq(Dimensions)
    }
}

/// The length and the header of a file, as the `safetensors` crate writes them: no spaces but those
/// that make the length a multiple of 8. `tensors` are in the order of their bytes.
///
/// # Errors
/// [`HeaderError::TooLong`] if nobody could read it.
pub(crate) fn encode(
    metadata: &BTreeMap<String, String>,
    tensors: &[Tensor],
) -> Result<Vec<u8>, HeaderError> {
    let mut file = vec![0; LENGTH_BYTES];
    let mut json = serde_json::Serializer::new(&mut file);
    let encoded = (|| {
        let mut map = json.serialize_map(None)?;
        if !metadata.is_empty() {
            map.serialize_entry(METADATA, metadata)?;
        }
        for tensor in tensors {
            map.serialize_entry(&tensor.name, &Written::from(tensor))?;
        }
        map.end()
    })();
    encoded.map_err(|e: serde_json::Error| HeaderError::Json(e.to_string()))?;
    file.resize(file.len().next_multiple_of(LENGTH_BYTES), b' ');
    let length = (file.len() - LENGTH_BYTES) as u64;
    if length > HEADER_BYTES {
        return Err(HeaderError::TooLong { length });
    }
    if let Some(start) = file.first_chunk_mut() {
        *start = length.to_le_bytes();
    }
    Ok(file)
}

#[derive(serde::Serialize)]
struct Written<'a> {
    dtype: Dtype,
    shape: &'a [u64],
    data_offsets: (u64, u64),
}

impl<'a> From<&'a Tensor> for Written<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        let data_offsets = (tensor.begin, tensor.end);
        Self { dtype: tensor.dtype, shape: &tensor.shape, data_offsets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use safetensors::SafeTensors;

    fn file(json: &str, data: usize) -> Vec<u8> {
        let mut file = (json.len() as u64).to_le_bytes().to_vec();
        file.extend(json.as_bytes());
        file.resize(file.len() + data, 0);
        file
    }

    fn parse(json: &str, data: usize) -> Result<Header, HeaderError> {
        let file = file(json, data);
        let parsed = parse_header(&file, file.len() as u64);
        if parsed.is_ok() {
            SafeTensors::read_metadata(&file).expect("the crate must accept what we accept");
        }
        parsed
    }

    fn tensor(shape: &str, dtype: &str, begin: u64, end: u64) -> String {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
    }

    fn one(shape: &str, dtype: &str, begin: u64, end: u64) -> String {
        format!(r#"{{"a":{}}}"#, tensor(shape, dtype, begin, end))
    }

    fn two(first: (u64, u64), second: (u64, u64)) -> String {
        let size = |(begin, end): (u64, u64)| format!("[{}]", end - begin);
        let a = tensor(&size(first), "U8", first.0, first.1);
        let b = tensor(&size(second), "U8", second.0, second.1);
        format!(r#"{{"a":{a},"b":{b}}}"#)
    }

    #[test]
    fn a_good_header() {
        let text = r#"{"__metadata__":{"format":"pt"},"b":{"shape":[],"data_offsets":[12,16],"dtype":"F32"},"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"z":{"dtype":"I8","shape":[0],"data_offsets":[12,12]}}   "#;
        let header = parse(text, 16).unwrap();
        let names: Vec<_> = header.tensors.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["a", "z", "b"]);
        assert_eq!(header.tensors[0].shape, [2, 3]);
        assert_eq!(header.tensors[2].bytes(), 4);
        assert_eq!(header.data_start, 8 + text.len() as u64);
        assert_eq!(header.metadata, BTreeMap::from([("format".into(), "pt".into())]));
        assert_eq!(parse("{}", 0).unwrap().tensors, []);
    }

    #[test]
    fn file_too_short() {
        assert_eq!(parse_header(&[2, 0, 0], 3), Err(HeaderError::TooShort { size: 3 }));
        assert_eq!(parse_header(&[], 0), Err(HeaderError::TooShort { size: 0 }));
        assert_eq!(parse_header(&[0; 8], 7), Err(HeaderError::TooShort { size: 7 }));
    }

    #[test]
    fn header_longer_than_the_format_allows() {
        let start = 100_000_001_u64.to_le_bytes();
        let error = parse_header(&start, u64::MAX).unwrap_err();
        assert_eq!(error, HeaderError::TooLong { length: 100_000_001 });
        let start = u64::MAX.to_le_bytes();
        assert_eq!(parse_header(&start, 8).unwrap_err(), HeaderError::TooLong { length: u64::MAX });
    }

    #[test]
    fn a_header_that_nobody_could_read_is_not_written() {
        let metadata = |bytes| BTreeMap::from([("k".to_owned(), "x".repeat(bytes))]);
        let around = r#"{"__metadata__":{"k":""}}"#.len();
        assert!(encode(&metadata(100_000_000 - around), &[]).is_ok());
        let error = encode(&metadata(100_000_001 - around), &[]).unwrap_err();
        assert_eq!(error, HeaderError::TooLong { length: 100_000_008 });
    }

    #[test]
    fn header_longer_than_the_file() {
        let error = parse_header(&3_u64.to_le_bytes(), 10).unwrap_err();
        assert_eq!(error, HeaderError::BeyondFile { length: 3, size: 10 });
    }

    #[test]
    fn header_not_given_in_full() {
        let error = parse_header(&3_u64.to_le_bytes(), 11).unwrap_err();
        assert_eq!(error, HeaderError::Incomplete { given: 8, needed: 11 });
    }

    #[test]
    fn header_not_utf8() {
        let mut file = file("{\"a\"}", 0);
        file[9] = 0xFF;
        assert_eq!(parse_header(&file, 13), Err(HeaderError::NotUtf8 { at: 1 }));
    }

    #[test]
    fn header_not_beginning_with_a_brace() {
        assert_eq!(parse(" {}", 0), Err(HeaderError::BadBeginning { found: b' ' }));
        assert_eq!(parse("[]", 0), Err(HeaderError::BadBeginning { found: b'[' }));
        assert_eq!(parse("", 0), Err(HeaderError::BadEnd));
    }

    #[test]
    fn header_padded_with_something_else() {
        assert_eq!(parse("{}\n", 0), Err(HeaderError::BadEnd));
        assert_eq!(parse("{}\0", 0), Err(HeaderError::BadEnd));
        assert!(parse("{}     ", 0).is_ok());
    }

    #[test]
    fn header_not_json() {
        for text in
            ["{\"a\":}", "{}{}", "{\"a\":{}}", "{\"\\ud800\":{}}", "{\"a\":[\"U8\",[0],[0,0]]}"]
        {
            assert!(matches!(parse(text, 0), Err(HeaderError::Json(_))), "{text}");
        }
        let numbers = ["[-1]", "[1.0]", "[1e0]", "[\"1\"]", "null", "[18446744073709551616]"];
        for shape in numbers {
            let error = parse(&one(shape, "U8", 0, 1), 1).unwrap_err();
            assert!(matches!(error, HeaderError::Json(_)), "{shape}: {error}");
        }
    }

    #[test]
    fn members_that_the_format_does_not_have() {
        let text = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":0}}"#;
        assert!(matches!(parse(text, 1), Err(HeaderError::Json(e)) if e.contains("more")));
        let text = r#"{"__metadata__":{"a":1}}"#;
        assert!(matches!(parse(text, 0), Err(HeaderError::Json(_))));
    }

    #[test]
    fn a_name_twice() {
        let a = tensor("[1]", "U8", 0, 1);
        let error = parse(&format!(r#"{{"a":{a},"\u0061":{a}}}"#), 1).unwrap_err();
        assert_eq!(error, HeaderError::Repeated("a".into()));
        let error = parse(r#"{"__metadata__":{},"__metadata__":{}}"#, 0).unwrap_err();
        assert_eq!(error, HeaderError::Repeated("__metadata__".into()));
        let error = parse(r#"{"__metadata__":{"k":"1","k":"1"}}"#, 0).unwrap_err();
        assert_eq!(error, HeaderError::Repeated("k".into()));
        let text = r#"{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
        assert!(matches!(parse(text, 1), Err(HeaderError::Json(e)) if e.contains("duplicate")));
    }

    #[test]
    fn a_type_that_the_format_does_not_have() {
        let error = parse(&one("[1]", "F128", 0, 16), 16).unwrap_err();
        assert_eq!(error, HeaderError::UnknownDtype { tensor: "a".into(), dtype: "F128".into() });
    }

    #[test]
    fn types_that_are_not_converted_are_known() {
        for (dtype, shape, end) in [("F8_E4M3", "[3]", 3), ("F4", "[4]", 2), ("F6_E2M3", "[4]", 3)]
        {
            assert!(parse(&one(shape, dtype, 0, end as u64), end).is_ok(), "{dtype}");
        }
        let error = parse(&one("[3]", "F4", 0, 2), 2).unwrap_err();
        assert_eq!(error, HeaderError::PartOfAByte("a".into()));
    }

    #[test]
    fn a_shape_too_large() {
        for shape in
            ["[4294967296,4294967296]", "[18446744073709551615,2,0]", "[2305843009213693952]"]
        {
            let error = parse(&one(shape, "F64", 0, 0), 0).unwrap_err();
            assert_eq!(error, HeaderError::ShapeOverflow("a".into()), "{shape}");
        }
        let shape = format!("[{}]", vec!["1"; 65].join(","));
        let error = parse(&one(&shape, "U8", 0, 1), 1).unwrap_err();
        assert!(matches!(error, HeaderError::Json(e) if e.contains("64 dimensions")));
    }

    #[test]
    fn bytes_that_the_shape_does_not_need() {
        let error = parse(&one("[2]", "F32", 0, 4), 4).unwrap_err();
        let expected = HeaderError::WrongSize { tensor: "a".into(), expected: 8, found: 4 };
        assert_eq!(error, expected);
    }

    #[test]
    fn end_before_beginning() {
        let error = parse(&one("[1]", "U8", 1, 0), 1).unwrap_err();
        assert_eq!(error, HeaderError::Reversed { tensor: "a".into(), begin: 1, end: 0 });
    }

    #[test]
    fn tensors_that_overlap() {
        for (a, b) in [((0, 4), (3, 5)), ((0, 4), (0, 4)), ((0, 4), (2, 2))] {
            let error = parse(&two(a, b), 5).unwrap_err();
            assert!(matches!(error, HeaderError::Overlap { end: 4, .. }), "{error}");
        }
    }

    #[test]
    fn tensors_beyond_the_file() {
        let error = parse(&two((0, 4), (4, 9)), 8).unwrap_err();
        assert_eq!(error, HeaderError::OutOfRange { tensor: "b".into(), end: 9, available: 8 });
    }

    #[test]
    fn bytes_of_no_tensor() {
        let hole = |begin, end| Err(HeaderError::Hole { begin, end });
        assert_eq!(parse(&two((0, 4), (5, 6)), 6), hole(4, 5), "in the middle");
        assert_eq!(parse(&two((1, 4), (4, 6)), 6), hole(0, 1), "at the beginning");
        assert_eq!(parse(&two((0, 4), (4, 6)), 7), hole(6, 7), "at the end");
        assert_eq!(parse("{}", 3), hole(0, 3), "without any tensor");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>, size: u64) {
            let _ = parse_header(&bytes, size);
        }

        /// A good header with one byte changed: what is still accepted, the crate accepts as well.
        #[test]
        fn nothing_is_accepted_that_the_crate_refuses(at in 0..200_usize, byte: u8) {
            let mut file = file(
                r#"{"__metadata__":{"k":"v"},"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#,
                16,
            );
            if let Some(old) = file.get_mut(at) {
                *old = byte;
            }
            if parse_header(&file, file.len() as u64).is_ok() {
                prop_assert!(SafeTensors::read_metadata(&file).is_ok());
            }
        }
    }
}
