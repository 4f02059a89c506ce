//! SHA-256 (FIPS 180-4) over many streams at once.

mod engine;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod portable;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512vl;
#[cfg(target_arch = "x86_64")]
mod sha_ni;

pub use engine::{Backend, Engine, MOST_LANES};

/// Bytes of a block (§5.2.1).
pub const BLOCK: usize = 64;

type State = [u32; 8];
type Block = [u8; BLOCK];

/// A stream under way: what has been hashed, and the bytes that do not fill a block yet.
#[derive(Clone)]
pub struct Stream {
    state: State,
    tail: Block,
    /// Bytes so far; those beyond the last whole block are in `tail`.
    length: u64,
}

impl Default for Stream {
    fn default() -> Self {
        Self { state: INITIAL, tail: [0; BLOCK], length: 0 }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Stream {
    /// Bytes so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that wait for the rest of their block.
    #[allow(clippy::cast_possible_truncation, reason = "below 64")]
    fn in_tail(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }

    /// Takes bytes over that do not fill the block.
    fn append(&mut self, bytes: &[u8]) {
        let used = self.in_tail();
        self.tail[used..used + bytes.len()].copy_from_slice(bytes);
        self.length = self.length.wrapping_add(bytes.len() as u64);
    }

    /// The last blocks (§5.1.1): what is left, a one, zeros, and the length in bits.
    fn padded(&self) -> Padded {
        let used = self.in_tail();
        let mut blocks = [[0; BLOCK]; 2];
        let count = if used < BLOCK - 8 { 1 } else { 2 };
        blocks[0][..used].copy_from_slice(&self.tail[..used]);
        blocks[0][used] = 0x80;
        let bits = self.length.wrapping_mul(8).to_be_bytes();
        blocks[count - 1][BLOCK - 8..].copy_from_slice(&bits);
        Padded { blocks, count }
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        digest
    }
}

/// Has the processor fetch what lies so many bytes after a block's start. Its own prefetching ends with
/// every page of memory, and a mapped file has one every 4 KiB.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch<const AHEAD: usize>(block: &Block) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads and writes nothing that the program can see, and the address may be any.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().wrapping_add(AHEAD).cast()) }
}

/// The rounds of a block, for processors that do four at once: `$rounds!(k, q)` with the words of quarter
/// `q` and its constants in `k`; before that `$extend!(q)`, which has the next words in their place, but for
/// the first sixteen rounds.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! rounds_by_four {
    ($rounds:ident, $extend:ident) => {
        let [first, rest @ ..] = &crate::sha256::K;
        $rounds!(first, 0);
        $rounds!(first, 1);
        $rounds!(first, 2);
        $rounds!(first, 3);
        for k in rest {
            $extend!(0);
            $rounds!(k, 0);
            $extend!(1);
            $rounds!(k, 1);
            $extend!(2);
            $rounds!(k, 2);
            $extend!(3);
            $rounds!(k, 3);
        }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use rounds_by_four;

/// One last block, or two.
struct Padded {
    blocks: [Block; 2],
    count: usize,
}

/// The initial hash value (§5.3.3).
const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The constants of the rounds (§4.2.2), sixteen rounds a row.
#[rustfmt::skip]
const K: [[u32; 16]; 4] = [
    [
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    ],
    [
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    ],
    [
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    ],
    [
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
    ],
];
