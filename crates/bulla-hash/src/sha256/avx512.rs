//! Sixteen streams in the lanes of AVX-512 registers.

use std::arch::x86_64::*;

use super::lanes::{CHOOSE, MAJORITY, XOR3, lane_rounds};
use super::{Block, prefetch};

pub(super) const LANES: usize = 16;
type V = __m512i;

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add(a: V, b: V) -> V {
    _mm512_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rotr<const N: i32, const M: i32>(a: V) -> V {
    _mm512_ror_epi32::<N>(a)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shr<const N: u32>(a: V) -> V {
    _mm512_srli_epi32::<N>(a)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn xor3(a: V, b: V, c: V) -> V {
    _mm512_ternarylogic_epi32::<XOR3>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn choose(a: V, b: V, c: V) -> V {
    _mm512_ternarylogic_epi32::<CHOOSE>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn majority(a: V, b: V, c: V) -> V {
    _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn splat(a: u32) -> V {
    _mm512_set1_epi32(a.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn from_lanes(words: &[u32; LANES]) -> V {
    // SAFETY: sixteen words are 64 bytes, and the load asks for no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn to_lanes(vector: V) -> [u32; LANES] {
    let mut words = [0; LANES];
    // SAFETY: sixteen words are 64 bytes, and the store asks for no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
    words
}

/// A block of each stream, turned: the first words of all blocks, the second words, and so on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(blocks: &[&Block; LANES]) -> [V; 16] {
    let swap =
        _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    // Row i is stream i's block.
    let row: [V; 16] = std::array::from_fn(|lane| {
        prefetch::<1024>(blocks[lane]);
        // SAFETY: a block has 64 bytes, and the load asks for no alignment.
        let bytes = unsafe { _mm512_loadu_si512(blocks[lane].as_ptr().cast()) };
        _mm512_shuffle_epi8(bytes, swap)
    });
    // A 16 × 16 transposition in four steps: pairs of words, pairs of pairs, quarters, halves.
    let two: [V; 16] = std::array::from_fn(|i| {
        let (a, b) = (row[i & !1], row[i | 1]);
        if i & 1 == 0 { _mm512_unpacklo_epi32(a, b) } else { _mm512_unpackhi_epi32(a, b) }
    });
    let four: [V; 16] = std::array::from_fn(|i| {
        let (a, b) = (two[(i & !3) | (i >> 1 & 1)], two[(i & !3) | 2 | (i >> 1 & 1)]);
        if i & 1 == 0 { _mm512_unpacklo_epi64(a, b) } else { _mm512_unpackhi_epi64(a, b) }
    });
    // four[4 g + c] has in its quarter q word 4 q + c of the streams 4 g to 4 g + 3.
    let eight: [V; 16] = std::array::from_fn(|i| {
        let (half, quarter, c) = (i >> 3, i >> 2 & 1, i & 3);
        let (a, b) = (four[8 * half + c], four[8 * half + 4 + c]);
        if quarter == 0 {
            _mm512_shuffle_i32x4::<0x88>(a, b)
        } else {
            _mm512_shuffle_i32x4::<0xdd>(a, b)
        }
    });
    // eight[8 h + 4 odd + c] has, of streams 8 h to 8 h + 7, words 4 odd + c and 8 + 4 odd + c.
    std::array::from_fn(|word| {
        let (upper, odd, c) = (word >> 3, word >> 2 & 1, word & 3);
        let (a, b) = (eight[4 * odd + c], eight[8 + 4 * odd + c]);
        if upper == 0 {
            _mm512_shuffle_i32x4::<0x88>(a, b)
        } else {
            _mm512_shuffle_i32x4::<0xdd>(a, b)
        }
    })
}

lane_rounds!("avx512f,avx512bw");
