//! Which instructions are used, and how streams are laid into lanes.

use super::{BLOCK, Block, INITIAL, State, Stream, portable};

/// Instructions that can compute SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// x86 with AVX-512 F and BW: sixteen streams at once.
    Avx512,
    /// x86 with AVX2: eight streams at once.
    Avx2,
    /// x86 with the SHA extensions: one stream, or two at once.
    ShaNi,
    /// ARMv8 with the SHA-256 instructions: one stream, or two at once.
    Aarch64,
    /// Plain code, one stream.
    Portable,
}

impl Backend {
    /// All of them, whatever this machine has.
    pub const ALL: [Self; 5] =
        [Self::Avx512, Self::Avx2, Self::ShaNi, Self::Aarch64, Self::Portable];

    /// Its name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::ShaNi => "sha-ni",
            Self::Aarch64 => "aarch64",
            Self::Portable => "portable",
        }
    }

    /// Whether this processor has the instructions.
    #[must_use]
    pub fn is_available(self) -> bool {
        !self.kernels().is_empty()
    }

    /// Its ways to run, the widest first; none if this processor does not have the instructions.
    fn kernels(self) -> &'static [Kernel] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl") =>
            {
                &[Kernel(Code::Avx512), Kernel(Code::Avx512Vl)]
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if is_x86_feature_detected!("avx2") => &[Kernel(Code::Avx2)],
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi
                if is_x86_feature_detected!("sha")
                    && is_x86_feature_detected!("ssse3")
                    && is_x86_feature_detected!("sse4.1") =>
            {
                &[Kernel(Code::ShaNiPair), Kernel(Code::ShaNi)]
            }
            #[cfg(target_arch = "aarch64")]
            Self::Aarch64 if std::arch::is_aarch64_feature_detected!("sha2") => {
                &[Kernel(Code::Aarch64Pair), Kernel(Code::Aarch64)]
            }
            Self::Portable => &[Kernel(Code::Portable)],
            _ => &[],
        }
    }
}

/// Code that this processor can run: made by [`Backend::kernels`] and nowhere else.
#[derive(Debug, Clone, Copy)]
struct Kernel(Code);

#[derive(Debug, Clone, Copy)]
enum Code {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Vl,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    ShaNiPair,
    #[cfg(target_arch = "x86_64")]
    ShaNi,
    #[cfg(target_arch = "aarch64")]
    Aarch64Pair,
    #[cfg(target_arch = "aarch64")]
    Aarch64,
    Portable,
}

impl Kernel {
    /// Streams at once, and the speed with all lanes in use, in per cent of one stream with the
    /// processor's own instructions (`benches/sha256.rs` measures them).
    fn lanes_and_speed(self) -> (usize, usize) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Code::Avx512 => (super::avx512::LANES, 210),
            #[cfg(target_arch = "x86_64")]
            Code::Avx512Vl => (super::avx512vl::LANES, 162),
            #[cfg(target_arch = "x86_64")]
            Code::Avx2 => (super::avx2::LANES, 88),
            #[cfg(target_arch = "x86_64")]
            Code::ShaNiPair => (2, 120),
            #[cfg(target_arch = "x86_64")]
            Code::ShaNi => (1, 100),
            #[cfg(target_arch = "aarch64")]
            Code::Aarch64Pair => (2, 120),
            #[cfg(target_arch = "aarch64")]
            Code::Aarch64 => (1, 100),
            Code::Portable => (1, 20),
        }
    }

    fn lanes(self) -> usize {
        self.lanes_and_speed().0
    }

    /// Runs all lanes as far as the shortest goes, and says how many blocks that was.
    ///
    /// There are at most as many lanes as the kernel has.
    fn run(self, lanes: &mut [Lane<'_>]) -> usize {
        // SAFETY, of all calls in this function: a `Kernel` is only made for instructions that the
        // processor was asked for (`Backend::kernels`).
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Code::Avx512 => run(lanes, |s, i| unsafe { super::avx512::compress(s, i) }),
            #[cfg(target_arch = "x86_64")]
            Code::Avx512Vl => run(lanes, |s, i| unsafe { super::avx512vl::compress(s, i) }),
            #[cfg(target_arch = "x86_64")]
            Code::Avx2 => run(lanes, |s, i| unsafe { super::avx2::compress(s, i) }),
            #[cfg(target_arch = "x86_64")]
            Code::ShaNiPair => run(lanes, |s, i| unsafe { super::sha_ni::compress::<2>(s, i) }),
            #[cfg(target_arch = "x86_64")]
            Code::ShaNi => run(lanes, |s, i| unsafe { super::sha_ni::compress::<1>(s, i) }),
            #[cfg(target_arch = "aarch64")]
            Code::Aarch64Pair => run(lanes, |s, i| unsafe { super::aarch64::compress::<2>(s, i) }),
            #[cfg(target_arch = "aarch64")]
            Code::Aarch64 => run(lanes, |s, i| unsafe { super::aarch64::compress::<1>(s, i) }),
            Code::Portable => run(lanes, portable::compress),
        }
    }
}

/// Runs a kernel with `N` lanes; those without a stream repeat the shortest input for nothing.
fn run<const N: usize>(
    lanes: &mut [Lane<'_>],
    compress: impl FnOnce(&mut [State; N], &[&[Block]; N]) -> usize,
) -> usize {
    let shortest = lanes.iter().map(|lane| lane.input).min_by_key(|input| input.len());
    let mut inputs = [shortest.unwrap_or_default(); N];
    let mut states = [INITIAL; N];
    for (lane, (state, input)) in lanes.iter().zip(states.iter_mut().zip(&mut inputs)) {
        (*state, *input) = (lane.state, lane.input);
    }
    let blocks = compress(&mut states, &inputs);
    for (lane, state) in lanes.iter_mut().zip(states) {
        lane.state = state;
        lane.input = lane.input.get(blocks..).unwrap_or_default();
    }
    blocks
}

/// A stream in a lane: its state, and the blocks still to come.
struct Lane<'a> {
    stream: usize,
    state: State,
    input: &'a [Block],
}

/// Computes SHA-256 over any number of streams, as many at once as this processor likes.
///
/// There is no engine for instructions that the processor does not have.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    /// What to run with how many streams at hand; the last entry is for any higher number.
    plan: [Step; MOST_LANES + 1],
}

/// The most streams that any back end takes at once.
pub const MOST_LANES: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Step {
    kernel: Kernel,
    /// Speed of so many streams of one length, until all are done.
    speed: usize,
}

impl Default for Engine {
    fn default() -> Self {
        Self::detect()
    }
}

impl Engine {
    /// The fastest way on this machine.
    #[must_use]
    pub fn detect() -> Self {
        let first = |backends: &[Backend]| {
            backends.iter().map(|backend| backend.kernels()).find(|kernels| !kernels.is_empty())
        };
        let wide = first(&[Backend::Avx512, Backend::Avx2]).unwrap_or_default();
        let narrow = first(&[Backend::ShaNi, Backend::Aarch64]).unwrap_or_default();
        Self::plan(&[wide, narrow, &[Kernel(Code::Portable)]].concat())
    }

    /// This back end and no other; `None` if the processor does not have its instructions.
    #[must_use]
    pub fn only(backend: Backend) -> Option<Self> {
        let kernels = backend.kernels();
        (!kernels.is_empty()).then(|| Self::plan(kernels))
    }

    /// For every number of streams the kernel with which all are done first, the rest by the best plan
    /// for the rest.
    fn plan(kernels: &[Kernel]) -> Self {
        let mut plan = [Step { kernel: Kernel(Code::Portable), speed: 0 }; MOST_LANES + 1];
        // Time for streams of length 1, in any unit.
        let mut times = [0; MOST_LANES + 1];
        for streams in 1..=MOST_LANES {
            let time = |kernel: &Kernel| {
                let (lanes, speed) = kernel.lanes_and_speed();
                lanes * 1_000_000 / speed + times[streams.saturating_sub(lanes)]
            };
            if let Some((time, kernel)) = kernels.iter().map(|k| (time(k), *k)).min_by_key(|k| k.0)
            {
                times[streams] = time;
                plan[streams] = Step { kernel, speed: streams * 1_000_000 / time };
            }
        }
        Self { plan }
    }

    fn step(&self, streams: usize) -> Step {
        self.plan[streams.min(MOST_LANES)]
    }

    /// How fast so many streams go together on one core, in per cent of one stream with the processor's
    /// own instructions.
    #[must_use]
    pub fn speed(&self, streams: usize) -> usize {
        self.step(streams).speed
    }

    /// Adds bytes to each stream.
    pub fn update(&self, work: &mut [(&mut Stream, &[u8])]) {
        let mut lanes = Vec::with_capacity(work.len());
        for (index, (stream, bytes)) in work.iter_mut().enumerate() {
            let rest = self.fill_block(stream, bytes);
            let (blocks, rest) = rest.as_chunks::<BLOCK>();
            lanes.push(Lane { stream: index, state: stream.state, input: blocks });
            stream.length = stream.length.wrapping_add(blocks.as_flattened().len() as u64);
            stream.append(rest);
        }
        self.run(lanes, |stream, state| {
            if let Some((stream, _)) = work.get_mut(stream) {
                stream.state = state;
            }
        });
    }

    /// Completes the block that an earlier update began, and returns what remains.
    fn fill_block<'a>(&self, stream: &mut Stream, bytes: &'a [u8]) -> &'a [u8] {
        let used = stream.in_tail();
        if used == 0 {
            return bytes;
        }
        let (filling, rest) = bytes.split_at(bytes.len().min(BLOCK - used));
        stream.append(filling);
        if stream.in_tail() == 0 && !filling.is_empty() {
            let blocks = [stream.tail];
            let lane = Lane { stream: 0, state: stream.state, input: &blocks };
            self.run(vec![lane], |_, state| stream.state = state);
        }
        rest
    }

    /// The digests of these streams, in their order (§6.2.2 with the padding of §5.1.1).
    #[must_use]
    pub fn finish(&self, mut streams: Vec<Stream>) -> Vec<[u8; 32]> {
        let tails: Vec<_> = streams.iter().map(Stream::padded).collect();
        let lanes = streams.iter().zip(&tails).enumerate().map(|(index, (stream, tail))| Lane {
            stream: index,
            state: stream.state,
            input: tail.blocks.get(..tail.count).unwrap_or_default(),
        });
        self.run(lanes.collect(), |stream, state| {
            if let Some(stream) = streams.get_mut(stream) {
                stream.state = state;
            }
        });
        streams.iter().map(Stream::digest).collect()
    }

    /// The digest of some bytes.
    #[must_use]
    pub fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        let mut stream = Stream::default();
        self.update(&mut [(&mut stream, bytes)]);
        self.finish(vec![stream]).first().copied().unwrap_or_default()
    }

    /// Runs every lane to its end and hands its state over.
    fn run(&self, mut waiting: Vec<Lane<'_>>, mut done: impl FnMut(usize, State)) {
        // The longest last, where it is taken first: those that end together go together.
        waiting.retain(|lane| !lane.input.is_empty());
        waiting.sort_by_key(|lane| lane.input.len());
        let mut running: Vec<Lane<'_>> = Vec::new();
        while !(running.is_empty() && waiting.is_empty()) {
            let kernel = self.step(running.len() + waiting.len()).kernel;
            if running.len() > kernel.lanes() {
                // Too few are left for the wide code.
                waiting.append(&mut running);
                waiting.sort_by_key(|lane| lane.input.len());
            }
            let room = kernel.lanes() - running.len();
            running.extend(waiting.drain(waiting.len().saturating_sub(room)..));
            kernel.run(&mut running);
            running.retain(|lane| {
                let ended = lane.input.is_empty();
                if ended {
                    done(lane.stream, lane.state);
                }
                !ended
            });
        }
    }
}
