//! SHA-256 with one stream in each lane of a vector (FIPS 180-4 §6.2.2).
//!
//! The rounds are written once, for any vector; a back end brings the vector's operations. It is a macro
//! and not a generic function because a function's instructions are chosen by an attribute on itself
//! (`#[target_feature]`), which a type parameter cannot carry.

// The three-way logic of AVX-512 takes truth tables: bit 4a + 2b + c is the result for bits a, b, c.

/// a ⊕ b ⊕ c
pub(super) const XOR3: i32 = 0b1001_0110;
/// b where a is set, else c
pub(super) const CHOOSE: i32 = 0b1100_1010;
/// What two of the three have
pub(super) const MAJORITY: i32 = 0b1110_1000;

/// Defines `compress`, the rounds over the vector type `V` with `LANES` lanes.
///
/// The caller's module has `add`, `rotr::<N, M>` with `N + M == 32`, `shr::<N>`, `xor3`, `choose`, `majority`, `splat`, and
/// `load`, which gives the sixteen words of a block for all lanes.
macro_rules! lane_rounds {
    ($feature:literal) => {
        /// Runs every stream through as many whole blocks as the shortest of `inputs` has, and says how
        /// many these were.
        #[target_feature(enable = $feature)]
        pub(super) fn compress(
            states: &mut [crate::sha256::State; LANES],
            inputs: &[&[crate::sha256::Block]; LANES],
        ) -> usize {
            let blocks = inputs.iter().map(|input| input.len()).min().unwrap_or(0);
            // Word i of every stream's state in one vector.
            let mut h: [V; 8] = std::array::from_fn(|word| {
                from_lanes(&std::array::from_fn(|lane| states[lane][word]))
            });
            for index in 0..blocks {
                let block: [&crate::sha256::Block; LANES] =
                    std::array::from_fn(|lane| &inputs[lane][index]);
                let mut w: [V; 16] = load(&block);
                let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut x] = h;

                // One round; the eight variables change places instead of values.
                macro_rules! round {
                    ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident,
                     $k:expr, $i:expr) => {
                        let s1 =
                            xor3(rotr::<6, 26>($e), rotr::<11, 21>($e), rotr::<25, 7>($e));
                        let t1 = add(
                            add($h, add(s1, choose($e, $f, $g))),
                            add(splat($k[$i]), w[$i]),
                        );
                        let s0 =
                            xor3(rotr::<2, 30>($a), rotr::<13, 19>($a), rotr::<22, 10>($a));
                        $d = add($d, t1);
                        $h = add(t1, add(s0, majority($a, $b, $c)));
                    };
                }
                macro_rules! extend {
                    ($i:expr) => {
                        let w15 = w[($i + 1) % 16];
                        let w2 = w[($i + 14) % 16];
                        let s0 = xor3(rotr::<7, 25>(w15), rotr::<18, 14>(w15), shr::<3>(w15));
                        let s1 = xor3(rotr::<17, 15>(w2), rotr::<19, 13>(w2), shr::<10>(w2));
                        w[$i] = add(add(w[$i], s0), add(w[($i + 9) % 16], s1));
                    };
                }
                macro_rules! sixteen {
                    ($k:expr, $before:ident) => {
                        sixteen!(@ $k, $before, 0);
                        sixteen!(@ $k, $before, 8);
                    };
                    (@ $k:expr, $before:ident, $i:literal) => {
                        $before!($i);
                        round!(a b c d e f g x, $k, $i);
                        $before!($i + 1);
                        round!(x a b c d e f g, $k, $i + 1);
                        $before!($i + 2);
                        round!(g x a b c d e f, $k, $i + 2);
                        $before!($i + 3);
                        round!(f g x a b c d e, $k, $i + 3);
                        $before!($i + 4);
                        round!(e f g x a b c d, $k, $i + 4);
                        $before!($i + 5);
                        round!(d e f g x a b c, $k, $i + 5);
                        $before!($i + 6);
                        round!(c d e f g x a b, $k, $i + 6);
                        $before!($i + 7);
                        round!(b c d e f g x a, $k, $i + 7);
                    };
                }
                macro_rules! nothing {
                    ($i:expr) => {};
                }
                let [first, rest @ ..] = &crate::sha256::K;
                sixteen!(first, nothing);
                for k in rest {
                    sixteen!(k, extend);
                }
                for (word, new) in h.iter_mut().zip([a, b, c, d, e, f, g, x]) {
                    *word = add(*word, new);
                }
            }
            for (word, vector) in h.into_iter().enumerate() {
                for (state, value) in states.iter_mut().zip(to_lanes(vector)) {
                    state[word] = value;
                }
            }
            blocks
        }
    };
}
pub(super) use lane_rounds;
