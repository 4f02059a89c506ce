//! Eight streams in the lanes of AVX2 registers, with the rotations and three-way logic of AVX-512.

use std::arch::x86_64::*;

use super::avx2::{add, from_lanes, load, shr, splat, to_lanes};
use super::lanes::{CHOOSE, MAJORITY, XOR3, lane_rounds};

pub(super) const LANES: usize = 8;
type V = __m256i;

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn rotr<const N: i32, const M: i32>(a: V) -> V {
    _mm256_ror_epi32::<N>(a)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn xor3(a: V, b: V, c: V) -> V {
    _mm256_ternarylogic_epi32::<XOR3>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn choose(a: V, b: V, c: V) -> V {
    _mm256_ternarylogic_epi32::<CHOOSE>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn majority(a: V, b: V, c: V) -> V {
    _mm256_ternarylogic_epi32::<MAJORITY>(a, b, c)
}

lane_rounds!("avx512f,avx512vl");
