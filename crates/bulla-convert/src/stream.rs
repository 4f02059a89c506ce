//! A model's tensors as they are after a conversion, piece by piece.

use std::ops::ControlFlow;

use crate::conversion::Conversion;
use crate::error::Error;
use crate::files::Reader;
use crate::header::Tensor;
use crate::limits::CHUNK_BYTES;
use crate::model::{Model, Place};
use crate::numbers;

/// Reads tensors and converts them. Holds two pieces, however large a tensor is.
pub(crate) struct Stream<'a> {
    pub(crate) reader: Reader<'a>,
    conversion: Conversion,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Finite numbers that became infinite so far.
    pub(crate) overflowed: u64,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(model: &'a Model<'a>, conversion: Conversion) -> Self {
        Self {
            reader: model.reader(),
            conversion,
            input: vec![0; CHUNK_BYTES],
            output: vec![0; CHUNK_BYTES * 2],
            overflowed: 0,
        }
    }

    /// Hands over all bytes of a tensor, converted, in order and in pieces of whole elements, each with
    /// where it begins; ends early when told to.
    pub(crate) fn each(
        &mut self,
        place: &Place,
        mut take: impl FnMut(u64, &[u8]) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let (tensor, mut done) = (&place.tensor, 0);
        let becomes = self.conversion.apply(tensor.dtype);
        let scaled = |bytes: u64| scale(bytes, tensor, becomes.bits());
        while done < tensor.bytes() {
            let bytes = (tensor.bytes() - done).min(CHUNK_BYTES as u64);
            let Some(input) = piece(&mut self.input, bytes) else { break };
            self.reader.read(place.file, place.offset + done, input)?;
            let result = if becomes == tensor.dtype {
                input
            } else {
                let Some(output) = piece(&mut self.output, scaled(bytes)) else { break };
                self.overflowed += numbers::convert(self.conversion, input, output);
                output
            };
            if take(scaled(done), result)?.is_break() {
                break;
            }
            done += bytes;
        }
        Ok(())
    }
}

/// How many bytes a tensor has after a conversion.
pub(crate) fn converted_bytes(tensor: &Tensor, conversion: Conversion) -> u64 {
    scale(tensor.bytes(), tensor, conversion.apply(tensor.dtype).bits())
}

/// So many bytes of a tensor with elements of other width. Only whole bytes are converted.
fn scale(bytes: u64, tensor: &Tensor, bits: u64) -> u64 {
    if bits == tensor.dtype.bits() { bytes } else { bytes / (tensor.dtype.bits() / 8) * (bits / 8) }
}

fn piece(buffer: &mut [u8], bytes: u64) -> Option<&mut [u8]> {
    usize::try_from(bytes).ok().and_then(|bytes| buffer.get_mut(..bytes))
}
