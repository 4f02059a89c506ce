//! One stream, or two at once, with the processor's own SHA-256 instructions (x86 SHA extensions).
//!
//! An instruction takes several cycles until its result is there, and the next one of the same stream has
//! to wait for it. A second stream fills the gap.

use std::arch::x86_64::*;

use super::{Block, State, prefetch, rounds_by_four};

/// Runs each of `N` streams through as many whole blocks as the shortest input has, and says how many
/// these were.
#[allow(clippy::needless_range_loop, reason = "several arrays are walked side by side")]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(super) fn compress<const N: usize>(states: &mut [State; N], inputs: &[&[Block]; N]) -> usize {
    let blocks = inputs.iter().map(|input| input.len()).min().unwrap_or(0);
    // The instructions want the words a to h as (a b e f) and (c d g h), the first in the highest place.
    let mut abef = [_mm_setzero_si128(); N];
    let mut cdgh = [_mm_setzero_si128(); N];
    for i in 0..N {
        let [a, b, c, d, e, f, g, h] = states[i].map(u32::cast_signed);
        abef[i] = _mm_set_epi32(a, b, e, f);
        cdgh[i] = _mm_set_epi32(c, d, g, h);
    }
    let swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);

    for block in 0..blocks {
        let before = (abef, cdgh);
        let mut w = [[_mm_setzero_si128(); 4]; N];
        for i in 0..N {
            prefetch::<4096>(&inputs[i][block]);
            for (quarter, words) in inputs[i][block].as_chunks::<16>().0.iter().zip(&mut w[i]) {
                // SAFETY: the quarter has 16 bytes, and the load asks for no alignment.
                let bytes = unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) };
                *words = _mm_shuffle_epi8(bytes, swap);
            }
        }
        // Four rounds with the words in `w[i][$q]`.
        macro_rules! rounds {
            ($k:expr, $q:literal) => {
                let [k0, k1, k2, k3] = $k.as_chunks::<4>().0[$q].map(u32::cast_signed);
                let k = _mm_set_epi32(k3, k2, k1, k0);
                for i in 0..N {
                    let wk = _mm_add_epi32(w[i][$q], k);
                    cdgh[i] = _mm_sha256rnds2_epu32(cdgh[i], abef[i], wk);
                    let wk = _mm_shuffle_epi32::<0b00_00_11_10>(wk);
                    abef[i] = _mm_sha256rnds2_epu32(abef[i], cdgh[i], wk);
                }
            };
        }
        // The next four words in place of those of sixteen rounds ago.
        macro_rules! extend {
            ($q:literal) => {
                for w in &mut w {
                    let w9 = _mm_alignr_epi8::<4>(w[($q + 3) % 4], w[($q + 2) % 4]);
                    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[$q], w[($q + 1) % 4]), w9);
                    w[$q] = _mm_sha256msg2_epu32(sum, w[($q + 3) % 4]);
                }
            };
        }
        rounds_by_four!(rounds, extend);
        for i in 0..N {
            abef[i] = _mm_add_epi32(abef[i], before.0[i]);
            cdgh[i] = _mm_add_epi32(cdgh[i], before.1[i]);
        }
    }
    for i in 0..N {
        let word = |v: __m128i, place: usize| -> u32 {
            let words = [
                _mm_extract_epi32::<0>(v),
                _mm_extract_epi32::<1>(v),
                _mm_extract_epi32::<2>(v),
                _mm_extract_epi32::<3>(v),
            ];
            words[place].cast_unsigned()
        };
        states[i] = [
            word(abef[i], 3),
            word(abef[i], 2),
            word(cdgh[i], 3),
            word(cdgh[i], 2),
            word(abef[i], 1),
            word(abef[i], 0),
            word(cdgh[i], 1),
            word(cdgh[i], 0),
        ];
    }
    blocks
}
