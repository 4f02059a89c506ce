//! Eight streams in the lanes of AVX2 registers, with the rotations and three-way logic of AVX-512.

use std::arch::x86_64::*;

use super::avx2::{add, from_lanes, load, shr, splat, to_lanes};
use super::lanes::lane_rounds;

pub(super) const LANES: usize = 8;
type V = __m256i;

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn rotr<const N: i32, const M: i32>(a: V) -> V {
    _mm256_ror_epi32::<N>(a)
}

// The numbers are truth tables: bit 4a + 2b + c is the result for bits a, b, c.

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn xor3(a: V, b: V, c: V) -> V {
    _mm256_ternarylogic_epi32::<0b1001_0110>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn choose(a: V, b: V, c: V) -> V {
    _mm256_ternarylogic_epi32::<0b1100_1010>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn majority(a: V, b: V, c: V) -> V {
    _mm256_ternarylogic_epi32::<0b1110_1000>(a, b, c)
}

lane_rounds!("avx512f,avx512vl");
