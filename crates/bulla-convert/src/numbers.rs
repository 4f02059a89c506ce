//! The arithmetic: floats of one width into floats of another.
//!
//! Rounding is to nearest, ties to even, subnormals included; what is too large becomes infinity. These
//! are the bits of PyTorch's `.to(torch.float16)` and `.to(torch.bfloat16)`, and no processor or thread
//! changes them.
//!
//! NaN is the exception that has to be decided: PyTorch writes different ones on different processors
//! (0x7FC0 or 0xFFFF for BF16), so there is nothing to agree with. Here a NaN that is made narrower keeps
//! its sign and the upper bits of its payload and becomes quiet, as IEEE 754 recommends and processors do:
//! `torch.nan` becomes 0x7E00 and 0x7FC0. F16 to F32 makes it quiet too. BF16 to F32 is a shift, for BF16 is
//! the upper half of an F32, and keeps even a signalling NaN, as PyTorch does.

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::conversion::Conversion;

/// Elements that are converted at once, on the stack.
const BLOCK: usize = 1024;

/// The bits of the largest finite numbers are below this: what is above became infinity.
const F32_INFINITY: u32 = 0x7F80_0000;
/// 65520: half way between the largest F16 and what would come next, and rounded up.
const F16_OVERFLOW: u32 = 0x477F_F000;
/// The same for BF16.
const BF16_OVERFLOW: u32 = 0x7F7F_8000;

/// Converts little-endian elements into `output`, which has room for just as many. Returns how many
/// finite numbers became infinite.
///
/// For [`Conversion::Reshard`] this is a copy.
pub(crate) fn convert(conversion: Conversion, input: &[u8], output: &mut [u8]) -> u64 {
    match conversion {
        Conversion::Reshard => {
            for (to, from) in output.iter_mut().zip(input) {
                *to = *from;
            }
            0
        }
        Conversion::F32ToF16 => {
            let (input, output) = (input.as_chunks().0, output.as_chunks_mut().0);
            f32_to_f16(input, output);
            overflowed(input, F16_OVERFLOW)
        }
        Conversion::F32ToBf16 => {
            let (input, output) = (input.as_chunks().0, output.as_chunks_mut().0);
            for (to, from) in output.iter_mut().zip(input) {
                *to = f32_to_bf16(u32::from_le_bytes(*from)).to_le_bytes();
            }
            overflowed(input, BF16_OVERFLOW)
        }
        Conversion::Bf16ToF32 => {
            let (input, output) = (input.as_chunks().0, output.as_chunks_mut().0);
            for (to, from) in output.iter_mut().zip(input) {
                *to = (u32::from(u16::from_le_bytes(*from)) << 16).to_le_bytes();
            }
            0
        }
        Conversion::F16ToF32 => {
            f16_to_f32(input.as_chunks().0, output.as_chunks_mut().0);
            0
        }
    }
}

fn f32_to_f16(input: &[[u8; 4]], output: &mut [[u8; 2]]) {
    let (mut wide, mut narrow) = ([0_f32; BLOCK], [f16::ZERO; BLOCK]);
    for (input, output) in input.chunks(BLOCK).zip(output.chunks_mut(BLOCK)) {
        for (number, bytes) in wide.iter_mut().zip(input) {
            *number = f32::from_le_bytes(*bytes);
        }
        narrow.convert_from_f32_slice(&wide);
        for (bytes, number) in output.iter_mut().zip(&narrow) {
            *bytes = number.to_le_bytes();
        }
    }
}

fn f16_to_f32(input: &[[u8; 2]], output: &mut [[u8; 4]]) {
    let (mut narrow, mut wide) = ([f16::ZERO; BLOCK], [0_f32; BLOCK]);
    for (input, output) in input.chunks(BLOCK).zip(output.chunks_mut(BLOCK)) {
        for (number, bytes) in narrow.iter_mut().zip(input) {
            *number = f16::from_le_bytes(*bytes);
        }
        narrow.convert_to_f32_slice(&mut wide);
        for (bytes, number) in output.iter_mut().zip(&wide) {
            *bytes = number.to_le_bytes();
        }
    }
}

/// `half` has this too, with branches that no compiler makes vectors of.
#[allow(clippy::cast_possible_truncation)] // the upper half is what is wanted
fn f32_to_bf16(bits: u32) -> u16 {
    let quiet = (bits >> 16) | 0x0040;
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
    let is_nan = bits & 0x7FFF_FFFF > F32_INFINITY;
    (if is_nan { quiet } else { rounded }) as u16
}

fn overflowed(input: &[[u8; 4]], limit: u32) -> u64 {
    let mut count = 0;
    for block in input.chunks(BLOCK) {
        let mut in_block: u32 = 0;
        for bytes in block {
            let magnitude = u32::from_le_bytes(*bytes) & 0x7FFF_FFFF;
            in_block += u32::from(magnitude >= limit && magnitude < F32_INFINITY);
        }
        count += u64::from(in_block);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    fn narrow(conversion: Conversion, numbers: &[u32]) -> (Vec<u16>, u64) {
        let input: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let mut output = vec![0; numbers.len() * 2];
        let overflowed = convert(conversion, &input, &mut output);
        (output.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b)).collect(), overflowed)
    }

    fn widen(conversion: Conversion, numbers: &[u16]) -> Vec<u32> {
        let input: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let mut output = vec![0; numbers.len() * 4];
        assert_eq!(convert(conversion, &input, &mut output), 0);
        output.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
    }

    /// Worked out by hand from IEEE 754.
    const F16_VECTORS: [(f32, u16); 27] = [
        (0.0, 0x0000),
        (-0.0, 0x8000),
        (1.0, 0x3C00),
        (-2.0, 0xC000),
        (0.1, 0x2E66),
        (1.0 / 3.0, 0x3555),
        // Ties: 2049 lies between 2048 and 2050, 2051 between 2050 and 2052.
        (2049.0, 0x6800),
        (2051.0, 0x6802),
        (-2049.0, 0xE800),
        (2_049.000_2, 0x6801),
        // The end of the range.
        (65504.0, 0x7BFF),
        (65519.996, 0x7BFF),
        (65520.0, 0x7C00),
        (-65520.0, 0xFC00),
        (65536.0, 0x7C00),
        (f32::MAX, 0x7C00),
        (f32::INFINITY, 0x7C00),
        (f32::NEG_INFINITY, 0xFC00),
        // Subnormals: multiples of 2^-24.
        (6.103_515_6e-5, 0x0400),
        (6.097_555e-5, 0x03FF),
        (6.100_535_4e-5, 0x0400), // the tie between the two goes to the even one
        (5.960_464_5e-8, 0x0001),
        (8.940_697e-8, 0x0002),   // 1.5 * 2^-24: to the even one
        (2.980_232_2e-8, 0x0000), // 2^-25: to the even one
        (2.980_232_6e-8, 0x0001),
        (-2.980_232_6e-8, 0x8001),
        (1e-45, 0x0000),
    ];

    #[test]
    fn f16_by_hand() {
        let inputs: Vec<u32> = F16_VECTORS.iter().map(|(n, _)| n.to_bits()).collect();
        let expected: Vec<u16> = F16_VECTORS.iter().map(|(_, bits)| *bits).collect();
        let (found, overflowed) = narrow(Conversion::F32ToF16, &inputs);
        for ((input, expected), found) in F16_VECTORS.iter().zip(&expected).zip(&found) {
            assert_eq!(found, expected, "{input:?}: {found:#06x}, not {expected:#06x}");
        }
        assert_eq!(overflowed, 4, "65520, -65520, 65536 and the largest; infinity was one before");
    }

    #[test]
    fn bf16_by_hand() {
        let vectors: [(u32, u16); 14] = [
            (0x0000_0000, 0x0000),
            (0x8000_0000, 0x8000),
            (0x3F80_0000, 0x3F80),
            (0x3F80_7FFF, 0x3F80),
            (0x3F80_8000, 0x3F80), // tie, to the even one
            (0x3F80_8001, 0x3F81),
            (0x3F81_8000, 0x3F82), // tie, to the even one
            (0x0000_8000, 0x0000), // a tie among subnormals
            (0x0001_8000, 0x0002),
            (0x7F7F_7FFF, 0x7F7F),
            (0x7F7F_8000, 0x7F80), // half way past the largest
            (0xFF7F_FFFF, 0xFF80),
            (0x7F80_0000, 0x7F80),
            (0xFF80_0000, 0xFF80),
        ];
        let (found, overflowed) = narrow(Conversion::F32ToBf16, &vectors.map(|v| v.0));
        assert_eq!(found, vectors.map(|v| v.1));
        assert_eq!(overflowed, 2);
    }

    #[test]
    fn nan_keeps_sign_and_payload_and_becomes_quiet() {
        // torch.nan; a negative one; one with a payload; signalling ones, of which the last has all of its
        // payload in bits that are cut off.
        let nans = [0x7FC0_0000, 0xFFC0_0000, 0x7FC1_2345, 0x7FA0_0000, 0xFF80_0001];
        let (found, overflowed) = narrow(Conversion::F32ToF16, &nans);
        assert_eq!(found, [0x7E00, 0xFE00, 0x7E09, 0x7F00, 0xFE00]);
        assert_eq!(overflowed, 0);
        let (found, overflowed) = narrow(Conversion::F32ToBf16, &nans);
        assert_eq!(found, [0x7FC0, 0xFFC0, 0x7FC1, 0x7FE0, 0xFFC0]);
        assert_eq!(overflowed, 0);
        let found = widen(Conversion::F16ToF32, &[0x7E00, 0xFE00, 0x7D01]);
        assert_eq!(found, [0x7FC0_0000, 0xFFC0_0000, 0x7FE0_2000]);
        let found = widen(Conversion::Bf16ToF32, &[0x7FC0, 0xFF81]);
        assert_eq!(found, [0x7FC0_0000, 0xFF81_0000]);
    }

    /// Numbers around every place where rounding changes, for all upper halves of an F32.
    fn all_neighbourhoods() -> Vec<u32> {
        let ends = [0, 1, 0x0FFF, 0x1000, 0x1001, 0x2000, 0x3000, 0x7FFF, 0x8000, 0x8001, 0xFFFF];
        (0..=0xFFFF_u32).flat_map(|upper| ends.map(|lower| upper << 16 | lower)).collect()
    }

    /// The processor's instructions give what `half` computes in software, which every machine can.
    #[test]
    fn f16_is_the_same_with_and_without_the_instructions() {
        let numbers = all_neighbourhoods();
        let (found, _) = narrow(Conversion::F32ToF16, &numbers);
        for (number, found) in numbers.iter().zip(found) {
            let software = f16::from_f32_const(f32::from_bits(*number)).to_bits();
            assert_eq!(found, software, "{number:#010x}");
        }
        let halves: Vec<u16> = (0..=u16::MAX).collect();
        for (half, found) in halves.iter().zip(widen(Conversion::F16ToF32, &halves)) {
            let software = f16::from_bits(*half).to_f32_const().to_bits();
            assert_eq!(found, software, "{half:#06x}");
        }
    }

    #[test]
    fn bf16_is_what_half_has() {
        let numbers = all_neighbourhoods();
        let (found, _) = narrow(Conversion::F32ToBf16, &numbers);
        for (number, found) in numbers.iter().zip(found) {
            assert_eq!(found, bf16::from_f32(f32::from_bits(*number)).to_bits(), "{number:#010x}");
        }
    }

    /// Written down from the definition, with arithmetic instead of bits: the nearest of all there are.
    #[test]
    fn f16_is_the_nearest_there_is() {
        let all: Vec<(f64, u16)> = (0..0x7C00).map(|bits| (value(bits), bits)).collect();
        let numbers: Vec<u32> = (0..0x4780_0000).step_by(4099).collect();
        let (found, _) = narrow(Conversion::F32ToF16, &numbers);
        for (number, found) in numbers.into_iter().zip(found) {
            let exact = f64::from(f32::from_bits(number));
            let above = all.partition_point(|(value, _)| *value < exact);
            // What would follow the largest decides where infinity begins.
            let upper = all.get(above).copied().unwrap_or((65536.0, 0x7C00));
            let lower = all[above.saturating_sub(1)];
            let expected = match (exact - lower.0).total_cmp(&(upper.0 - exact)) {
                std::cmp::Ordering::Less => lower.1,
                std::cmp::Ordering::Greater => upper.1,
                std::cmp::Ordering::Equal if lower.1.is_multiple_of(2) => lower.1,
                std::cmp::Ordering::Equal => upper.1,
            };
            assert_eq!(found, expected, "{number:#010x}");
        }
    }

    fn value(bits: u16) -> f64 {
        let (exponent, mantissa) = (i32::from(bits >> 10), f64::from(bits & 0x3FF));
        match exponent {
            0 => mantissa * 2_f64.powi(-24),
            e => (1024.0 + mantissa) * 2_f64.powi(e - 25),
        }
    }

    #[test]
    fn widening_is_exact() {
        for bits in 0..0x7C00 {
            let wide = widen(Conversion::F16ToF32, &[bits, bits | 0x8000]);
            assert_eq!(f64::from(f32::from_bits(wide[0])), value(bits));
            assert_eq!(wide[1], wide[0] | 0x8000_0000);
            assert_eq!(narrow(Conversion::F32ToF16, &wide).0, [bits, bits | 0x8000]);
        }
    }
}
