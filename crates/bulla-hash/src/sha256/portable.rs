//! One stream, for any processor (FIPS 180-4 §6.2.2).

use super::{Block, K, State};

/// Runs one stream through its input and says how many blocks that was.
pub(super) fn compress([state]: &mut [State; 1], [input]: &[&[Block]; 1]) -> usize {
    for block in *input {
        let mut w = [0u32; 16];
        for (word, bytes) in w.iter_mut().zip(block.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        for (sixteen, k) in K.iter().enumerate() {
            for i in 0..16 {
                if sixteen > 0 {
                    let (w15, w2) = (w[(i + 1) % 16], w[(i + 14) % 16]);
                    let s0 = w15.rotate_right(7) ^ w15.rotate_right(18) ^ (w15 >> 3);
                    let s1 = w2.rotate_right(17) ^ w2.rotate_right(19) ^ (w2 >> 10);
                    w[i] = w[i].wrapping_add(s0).wrapping_add(w[(i + 9) % 16]).wrapping_add(s1);
                }
                let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
                let choose = g ^ (e & (f ^ g));
                let t1 =
                    h.wrapping_add(s1).wrapping_add(choose).wrapping_add(k[i]).wrapping_add(w[i]);
                let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
                let majority = (a & b) ^ (c & (a ^ b));
                (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
                (d, c, b, a) = (c, b, a, t1.wrapping_add(s0).wrapping_add(majority));
            }
        }
        for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word = word.wrapping_add(new);
        }
    }
    input.len()
}
