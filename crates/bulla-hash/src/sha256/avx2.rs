//! Eight streams in the lanes of AVX2 registers.

use std::arch::x86_64::*;

use super::{Block, lanes::lane_rounds, prefetch};

pub(super) const LANES: usize = 8;
type V = __m256i;

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add(a: V, b: V) -> V {
    _mm256_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotr<const N: i32, const M: i32>(a: V) -> V {
    _mm256_or_si256(_mm256_srli_epi32::<N>(a), _mm256_slli_epi32::<M>(a))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn shr<const N: i32>(a: V) -> V {
    _mm256_srli_epi32::<N>(a)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor3(a: V, b: V, c: V) -> V {
    _mm256_xor_si256(a, _mm256_xor_si256(b, c))
}

#[inline]
#[target_feature(enable = "avx2")]
fn choose(a: V, b: V, c: V) -> V {
    _mm256_xor_si256(c, _mm256_and_si256(a, _mm256_xor_si256(b, c)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn majority(a: V, b: V, c: V) -> V {
    _mm256_xor_si256(b, _mm256_and_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(b, c)))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn splat(a: u32) -> V {
    _mm256_set1_epi32(a.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn from_lanes(words: &[u32; LANES]) -> V {
    // SAFETY: eight words are 32 bytes, and the load asks for no alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn to_lanes(vector: V) -> [u32; LANES] {
    let mut words = [0; LANES];
    // SAFETY: eight words are 32 bytes, and the store asks for no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
    words
}

/// A block of each stream, turned: the first words of all blocks, the second words, and so on.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(blocks: &[&Block; LANES]) -> [V; 16] {
    let mut words = [splat(0); 16];
    for block in blocks {
        prefetch::<1024>(block);
    }
    for (half, words) in words.as_chunks_mut().0.iter_mut().enumerate() {
        *words = load_half(blocks, half);
    }
    words
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_half(blocks: &[&Block; LANES], half: usize) -> [V; 8] {
    let swap = _mm256_broadcastsi128_si256(_mm_set_epi8(
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
    ));
    // Row i is half of stream i's block.
    let row: [V; 8] = std::array::from_fn(|lane| {
        let bytes = &blocks[lane].as_chunks::<32>().0[half];
        // SAFETY: the chunk has 32 bytes, and the load asks for no alignment.
        let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
        _mm256_shuffle_epi8(bytes, swap)
    });
    // An 8 × 8 transposition in three steps: pairs of words, pairs of pairs, halves.
    let two: [V; 8] = std::array::from_fn(|i| {
        let (a, b) = (row[i & !1], row[i | 1]);
        if i & 1 == 0 { _mm256_unpacklo_epi32(a, b) } else { _mm256_unpackhi_epi32(a, b) }
    });
    let four: [V; 8] = std::array::from_fn(|i| {
        let (a, b) = (two[(i & !3) | (i >> 1 & 1)], two[(i & !3) | 2 | (i >> 1 & 1)]);
        if i & 1 == 0 { _mm256_unpacklo_epi64(a, b) } else { _mm256_unpackhi_epi64(a, b) }
    });
    // four[4 g + c] has in its half h word 4 h + c of the streams 4 g to 4 g + 3.
    std::array::from_fn(|word| {
        let (a, b) = (four[word & 3], four[4 + (word & 3)]);
        if word >> 2 == 0 {
            _mm256_permute2x128_si256::<0x20>(a, b)
        } else {
            _mm256_permute2x128_si256::<0x31>(a, b)
        }
    })
}

lane_rounds!("avx2");
