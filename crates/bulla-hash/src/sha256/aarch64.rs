//! One stream, or two at once, with the SHA-256 instructions of ARMv8.
//!
//! As with x86's, a second stream fills the wait for the first one's results.

use std::arch::aarch64::*;

use super::{Block, State, rounds_by_four};

/// Runs each of `N` streams through as many whole blocks as the shortest input has, and says how many
/// these were.
#[allow(clippy::needless_range_loop, reason = "several arrays are walked side by side")]
#[target_feature(enable = "neon,sha2")]
pub(super) fn compress<const N: usize>(states: &mut [State; N], inputs: &[&[Block]; N]) -> usize {
    let blocks = inputs.iter().map(|input| input.len()).min().unwrap_or(0);
    let mut abcd = [vdupq_n_u32(0); N];
    let mut efgh = [vdupq_n_u32(0); N];
    for i in 0..N {
        let [low, high] = states[i].as_chunks::<4>().0 else { return 0 };
        abcd[i] = from_words(low);
        efgh[i] = from_words(high);
    }
    for block in 0..blocks {
        let before = (abcd, efgh);
        let mut w = [[vdupq_n_u32(0); 4]; N];
        for i in 0..N {
            for (quarter, words) in inputs[i][block].as_chunks::<16>().0.iter().zip(&mut w[i]) {
                // SAFETY: the quarter has 16 bytes, and the load asks for no alignment.
                let bytes = unsafe { vld1q_u8(quarter.as_ptr()) };
                *words = vreinterpretq_u32_u8(vrev32q_u8(bytes));
            }
        }
        // Four rounds with the words in `w[i][$q]`.
        macro_rules! rounds {
            ($k:expr, $q:literal) => {
                let k = from_words(&$k.as_chunks::<4>().0[$q]);
                for i in 0..N {
                    let wk = vaddq_u32(w[i][$q], k);
                    let old = abcd[i];
                    abcd[i] = vsha256hq_u32(abcd[i], efgh[i], wk);
                    efgh[i] = vsha256h2q_u32(efgh[i], old, wk);
                }
            };
        }
        // The next four words in place of those of sixteen rounds ago.
        macro_rules! extend {
            ($q:literal) => {
                for w in &mut w {
                    w[$q] = vsha256su1q_u32(
                        vsha256su0q_u32(w[$q], w[($q + 1) % 4]),
                        w[($q + 2) % 4],
                        w[($q + 3) % 4],
                    );
                }
            };
        }
        rounds_by_four!(rounds, extend);
        for i in 0..N {
            abcd[i] = vaddq_u32(abcd[i], before.0[i]);
            efgh[i] = vaddq_u32(efgh[i], before.1[i]);
        }
    }
    for i in 0..N {
        let (low, high) = states[i].split_at_mut(4);
        // SAFETY: both halves have four words, and the stores ask for no alignment.
        unsafe {
            vst1q_u32(low.as_mut_ptr(), abcd[i]);
            vst1q_u32(high.as_mut_ptr(), efgh[i]);
        }
    }
    blocks
}

#[inline]
#[target_feature(enable = "neon")]
fn from_words(words: &[u32; 4]) -> uint32x4_t {
    // SAFETY: four words are 16 bytes, and the load asks for no alignment.
    unsafe { vld1q_u32(words.as_ptr()) }
}
