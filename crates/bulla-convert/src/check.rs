//! Whether one model is what a conversion makes of another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;

use serde::Serialize;

use crate::config::{self, CONFIG};
use crate::conversion::Conversion;
use crate::dtype::Dtype;
use crate::error::Error;
use crate::files::Reader;
use crate::limits::{CHUNK_BYTES, CONFIG_BYTES, DIFFERENCES};
use crate::model::{Model, Place};
use crate::stream::Stream;
use bulla::text::Quoted;

/// Converts the parent in memory and compares it with the child: bit for bit, each byte read once, in
/// little memory, and with all differences.
///
/// * Tensors are matched by name, in whatever files they are. One that the conversion does not concern has
///   to be the same.
/// * `__metadata__` has to be the same (taken over all shards), but for `format`: it names the library that
///   wrote the file, not the model, and each writes its own.
/// * An index of shards has to list every tensor that the parent's lists (all, if the parent has none)
///   and the right file for each. Several shards need one, unless the parent's have none. Its `metadata` is not
///   looked at: what is there is often wrong, and nothing is loaded by it.
/// * Every other file has to be the same. In `config.json`, a conversion of types may also change
///   `torch_dtype` and `dtype`, to the type that it makes.
///
/// # Errors
/// An [`Error`] if a file cannot be read or changes meanwhile, comes or goes. That the models differ is in the [`Report`].
pub fn check(
    parent: &Model<'_>,
    child: &Model<'_>,
    conversion: Conversion,
) -> Result<Report, Error> {
    let mut check = Check::new(parent, child, conversion);
    check.tensors(parent, child, conversion)?;
    check.metadata(parent, child);
    check.index(parent, child);
    check.companions(parent, child, conversion)?;
    let report = check.finish()?;
    // What was there at the beginning is what is there now.
    parent.files.check_unchanged()?;
    child.files.check_unchanged()?;
    Ok(report)
}

/// What a comparison found.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[must_use]
#[non_exhaustive]
pub struct Report {
    /// The differences: first of tensors, then of the rest. At most 100.
    pub differences: Vec<Difference>,
    /// How many more there are.
    pub more: u64,
    /// Tensors of the parent.
    pub tensors: u64,
    /// Bytes of the child's tensors and companion files that were the same as they should be.
    pub bytes: u64,
    /// Finite numbers that the conversion made infinite, because the smaller type cannot hold them.
    pub overflowed: u64,
}

impl Report {
    /// Whether the child is what the conversion makes of the parent.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty() && self.more == 0
    }

    fn add(&mut self, difference: Difference) {
        if self.differences.len() < DIFFERENCES {
            self.differences.push(difference);
        } else {
            self.more += 1;
        }
    }
}

/// Something in which the child is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Difference {
    /// A tensor that the child lacks.
    TensorMissing {
        /// Its name.
        tensor: String,
    },
    /// A tensor that only the child has.
    TensorExtra {
        /// Its name.
        tensor: String,
    },
    /// Another type of elements.
    DtypeDiffers {
        /// Its name.
        tensor: String,
        /// What the conversion makes.
        expected: Dtype,
        /// What the child has.
        found: Dtype,
    },
    /// Another shape.
    ShapeDiffers {
        /// Its name.
        tensor: String,
        /// The parent's.
        expected: Vec<u64>,
        /// The child's.
        found: Vec<u64>,
    },
    /// Other bytes.
    ValueDiffers {
        /// Its name.
        tensor: String,
        /// The first element that differs, counted from 0 in the order of the file.
        element: u64,
        /// What the conversion makes: the number with its bits, or only these.
        expected: String,
        /// What the child has.
        found: String,
    },
    /// An entry of `__metadata__`.
    MetadataDiffers {
        /// Its key.
        key: String,
        /// The parent's values, none or one unless its shards disagree.
        expected: Vec<String>,
        /// The child's.
        found: Vec<String>,
    },
    /// Several shards and no index: the child cannot be loaded as one model.
    IndexMissing,
    /// The index lacks a tensor: it would not be loaded.
    IndexLacks {
        /// Its name.
        tensor: String,
    },
    /// The index has a tensor that is nowhere.
    IndexExtra {
        /// Its name.
        tensor: String,
    },
    /// The index says that a tensor is where it is not.
    IndexWrong {
        /// Its name.
        tensor: String,
        /// The file that has it.
        expected: String,
        /// The file that the index names.
        found: String,
    },
    /// A companion file that the child lacks.
    FileMissing {
        /// Its path.
        path: String,
    },
    /// A companion file that only the child has.
    FileExtra {
        /// Its path.
        path: String,
    },
    /// A companion file with other bytes.
    FileDiffers {
        /// Its path.
        path: String,
        /// The first byte that differs, counted from 0; the end of the shorter file if that is all.
        at: u64,
    },
    /// A member of `config.json` other than the type that was converted.
    ConfigDiffers {
        /// Which: `hidden_size`, `text_config.rope_theta`.
        field: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TensorMissing { tensor } => write!(f, "tensor {} is missing", Quoted(tensor)),
            Self::TensorExtra { tensor } => {
                write!(f, "tensor {} is not in the parent", Quoted(tensor))
            }
            Self::DtypeDiffers { tensor, expected, found } => {
                write!(f, "tensor {} is {found}, not {expected}", Quoted(tensor))
            }
            Self::ShapeDiffers { tensor, expected, found } => {
                write!(f, "tensor {} has shape {found:?}, not {expected:?}", Quoted(tensor))
            }
            Self::ValueDiffers { tensor, element, expected, found } => {
                let tensor = Quoted(tensor);
                write!(f, "tensor {tensor} has {found} as element {element}, not {expected}")
            }
            Self::MetadataDiffers { key, expected, found } => {
                let (found, expected) = (found.join("\n"), expected.join("\n"));
                let (found, expected) = (Quoted(&found), Quoted(&expected));
                write!(f, "__metadata__ has {found} as {}, not {expected}", Quoted(key))
            }
            Self::IndexMissing => write!(f, "there are several shards and no index of them"),
            Self::IndexLacks { tensor } => {
                write!(f, "the index of shards lacks tensor {}", Quoted(tensor))
            }
            Self::IndexExtra { tensor } => {
                write!(f, "the index of shards has tensor {}, which is nowhere", Quoted(tensor))
            }
            Self::IndexWrong { tensor, expected, found } => {
                let (tensor, expected, found) = (Quoted(tensor), Quoted(expected), Quoted(found));
                write!(f, "the index of shards has tensor {tensor} in {found}; it is in {expected}")
            }
            Self::FileMissing { path } => write!(f, "{} is missing", Quoted(path)),
            Self::FileExtra { path } => write!(f, "{} is not in the parent", Quoted(path)),
            Self::FileDiffers { path, at } => {
                write!(f, "{} differs from byte {at} on", Quoted(path))
            }
            Self::ConfigDiffers { field } => {
                write!(f, "{} differs in {CONFIG}, and only the type may", Quoted(field))
            }
        }
    }
}

struct Check<'a> {
    stream: Stream<'a>,
    child: Reader<'a>,
    buffer: Vec<u8>,
    report: Report,
}

impl<'a> Check<'a> {
    fn new(parent: &'a Model<'a>, child: &'a Model<'a>, conversion: Conversion) -> Self {
        Self {
            stream: Stream::new(parent, conversion),
            child: child.reader(),
            buffer: vec![0; CHUNK_BYTES * 2],
            report: Report::default(),
        }
    }

    /// There is a report only of files that did not change while they were read.
    fn finish(mut self) -> Result<Report, Error> {
        self.stream.reader.finish()?;
        self.child.finish()?;
        self.report.overflowed = self.stream.overflowed;
        Ok(self.report)
    }

    fn tensors(
        &mut self,
        parent: &Model<'_>,
        child: &Model<'_>,
        conversion: Conversion,
    ) -> Result<(), Error> {
        // In the order of the parent's bytes, so that the disk is read from front to back.
        let mut places: Vec<&Place> = parent.tensors.values().collect();
        places.sort_by_key(|place| (place.file, place.offset));
        for place in places {
            self.report.tensors += 1;
            let tensor = &place.tensor;
            let name = || tensor.name.clone();
            let Some(theirs) = child.tensors.get(&tensor.name) else {
                self.report.add(Difference::TensorMissing { tensor: name() });
                continue;
            };
            let (expected, found) = (conversion.apply(tensor.dtype), theirs.tensor.dtype);
            if expected != found {
                self.report.add(Difference::DtypeDiffers { tensor: name(), expected, found });
            }
            if tensor.shape != theirs.tensor.shape {
                let (expected, found) = (tensor.shape.clone(), theirs.tensor.shape.clone());
                self.report.add(Difference::ShapeDiffers { tensor: name(), expected, found });
            } else if expected == found {
                self.values(place, theirs)?;
            }
        }
        for name in child.tensors.keys().filter(|name| !parent.tensors.contains_key(*name)) {
            self.report.add(Difference::TensorExtra { tensor: name.clone() });
        }
        Ok(())
    }

    /// Two tensors of the same shape and, when converted, of the same type.
    fn values(&mut self, place: &Place, theirs: &Place) -> Result<(), Error> {
        let Self { stream, child, buffer, report } = self;
        stream.each(place, |at, expected| {
            let Some(found) = buffer.get_mut(..expected.len()) else {
                return Ok(ControlFlow::Break(()));
            };
            child.read(theirs.file, theirs.offset + at, found)?;
            let Some(byte) = first_difference(expected, found) else {
                report.bytes += expected.len() as u64;
                return Ok(ControlFlow::Continue(()));
            };
            let (tensor, bits) = (theirs.tensor.name.clone(), theirs.tensor.dtype.bits());
            let element = (at + byte as u64) * 8 / bits;
            let (expected, found) =
                [expected, found].map(|bytes| show(theirs.tensor.dtype, bytes, byte)).into();
            report.add(Difference::ValueDiffers { tensor, element, expected, found });
            Ok(ControlFlow::Break(()))
        })
    }

    fn metadata(&mut self, parent: &Model<'_>, child: &Model<'_>) {
        let keys: BTreeSet<_> = parent.metadata.keys().chain(child.metadata.keys()).collect();
        for key in keys.into_iter().filter(|key| *key != "format") {
            let (expected, found) = (parent.metadata.get(key), child.metadata.get(key));
            if expected != found {
                let [expected, found] =
                    [expected, found].map(|values| values.into_iter().flatten().cloned().collect());
                self.report.add(Difference::MetadataDiffers { key: key.clone(), expected, found });
            }
        }
    }

    fn index(&mut self, parent: &Model<'_>, child: &Model<'_>) {
        let Some(index) = &child.index else {
            let never_had_one = parent.index.is_none() && parent.shards().count() > 1;
            if child.shards().count() > 1 && !never_had_one {
                self.report.add(Difference::IndexMissing);
            }
            return;
        };
        for (tensor, found) in index {
            let tensor = || tensor.clone();
            match child.tensors.get(&tensor()).map(|place| child.file_of(place)) {
                None => self.report.add(Difference::IndexExtra { tensor: tensor() }),
                Some(file) if file == found => {}
                Some(file) => {
                    let (expected, found) = (file.to_owned(), found.clone());
                    self.report.add(Difference::IndexWrong { tensor: tensor(), expected, found });
                }
            }
        }
        let listed = |name: &String| parent.index.as_ref().is_none_or(|map| map.contains_key(name));
        for tensor in child.tensors.keys().filter(|name| !index.contains_key(*name)) {
            if listed(tensor) {
                self.report.add(Difference::IndexLacks { tensor: tensor.clone() });
            }
        }
    }

    fn companions(
        &mut self,
        parent: &Model<'_>,
        child: &Model<'_>,
        conversion: Conversion,
    ) -> Result<(), Error> {
        let mut theirs: BTreeMap<&str, (usize, u64)> = child
            .companion_files()
            .map(|(number, file)| (file.path.as_str(), (number, file.identity.size)))
            .collect();
        for (number, file) in parent.companion_files() {
            let path = file.path.as_str().to_owned();
            let Some((their_number, their_size)) = theirs.remove(path.as_str()) else {
                self.report.add(Difference::FileMissing { path });
                continue;
            };
            let (ours, theirs) = ((number, file.identity.size), (their_number, their_size));
            let to = conversion.dtypes().and_then(|(_, to)| to.torch_name());
            let fields = match to.filter(|_| path == CONFIG) {
                Some(to) => self.config(ours, theirs, to)?,
                None => None,
            };
            if let Some(fields) = fields {
                for field in fields {
                    self.report.add(Difference::ConfigDiffers { field });
                }
            } else if let Some(at) = self.file(ours, theirs)? {
                self.report.add(Difference::FileDiffers { path, at });
            }
        }
        for path in theirs.into_keys() {
            self.report.add(Difference::FileExtra { path: path.to_owned() });
        }
        Ok(())
    }

    /// Where two files, given with their sizes, begin to differ.
    fn file(&mut self, ours: (usize, u64), theirs: (usize, u64)) -> Result<Option<u64>, Error> {
        let common = ours.1.min(theirs.1);
        let mut done = 0;
        let half = self.buffer.len() / 2;
        // Also those without any bytes are looked at: are they still?
        self.stream.reader.read(ours.0, 0, &mut [])?;
        self.child.read(theirs.0, 0, &mut [])?;
        while done < common {
            let bytes = usize::try_from(common - done).unwrap_or(usize::MAX).min(half);
            let (expected, found) = self.buffer.split_at_mut(half);
            let (Some(expected), Some(found)) = (expected.get_mut(..bytes), found.get_mut(..bytes))
            else {
                break;
            };
            self.stream.reader.read(ours.0, done, expected)?;
            self.child.read(theirs.0, done, found)?;
            if let Some(byte) = first_difference(expected, found) {
                return Ok(Some(done + byte as u64));
            }
            done += bytes as u64;
            self.report.bytes += bytes as u64;
        }
        Ok((ours.1 != theirs.1).then_some(common))
    }

    /// The fields in which two configurations differ; `None` if they have to be compared as files.
    fn config(
        &mut self,
        ours: (usize, u64),
        theirs: (usize, u64),
        to: &str,
    ) -> Result<Option<Vec<String>>, Error> {
        if ours.1 > CONFIG_BYTES || theirs.1 > CONFIG_BYTES {
            return Ok(None);
        }
        let expected = self.stream.reader.read_all(ours.0)?;
        let found = self.child.read_all(theirs.0)?;
        if expected == found {
            self.report.bytes += theirs.1;
            return Ok(Some(Vec::new()));
        }
        let fields = config::differing(&expected, &found, to);
        if fields.as_ref().is_some_and(Vec::is_empty) {
            self.report.bytes += theirs.1;
        }
        Ok(fields)
    }
}

/// Where two slices of one length begin to differ.
fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    if a == b { None } else { a.iter().zip(b).position(|(a, b)| a != b) }
}

/// The element that has a byte: as a number, with its bits.
fn show(dtype: Dtype, bytes: &[u8], byte: usize) -> String {
    let size = usize::try_from(dtype.bits() / 8).unwrap_or(1).max(1);
    let start = byte / size * size;
    let element = bytes.get(start..start + size).unwrap_or_default();
    let mut bits = String::from("0x");
    for byte in element.iter().rev() {
        bits.push_str(&format!("{byte:02x}"));
    }
    let mut wide = [0; 8];
    for (to, from) in wide.iter_mut().zip(element) {
        *to = *from;
    }
    #[allow(clippy::cast_possible_truncation)] // to the element's own width
    match (dtype, u64::from_le_bytes(wide)) {
        (Dtype::F16, n) => format!("{} ({bits})", half::f16::from_bits(n as u16)),
        (Dtype::Bf16, n) => format!("{} ({bits})", half::bf16::from_bits(n as u16)),
        (Dtype::F32, n) => format!("{} ({bits})", f32::from_bits(n as u32)),
        (Dtype::F64, n) => format!("{} ({bits})", f64::from_bits(n)),
        _ => bits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
    use bulla::Fault;
    use std::fs;

    #[test]
    fn a_file_that_changes_after_it_was_read() {
        for changed in ["parent", "child"] {
            let folder = tempfile::tempdir().unwrap();
            let model = |name: &str| {
                let file = folder.path().join(name);
                fs::write(&file, b"\x08\0\0\0\0\0\0\0{}      ").unwrap();
                model::tests::open(&file)
            };
            let (parent, child) = (model("parent"), model("child"));
            let mut check = Check::new(&parent, &child, Conversion::Reshard);
            assert_eq!(check.file((0, 16), (0, 16)).unwrap(), None);
            let file = fs::File::options().write(true).open(folder.path().join(changed)).unwrap();
            file.set_len(17).unwrap();
            let result = check.finish();
            assert!(matches!(result, Err(Error::Fault(Fault::Changed { .. }))), "{changed}");
        }
    }
}
