//! Files in memory without a copy: the page cache itself, mapped.
//!
//! A mapped file that is cut short takes its pages with it, and who reads there gets a signal that ends the
//! process (`SIGBUS`). A [`Mapper`] answers that signal for its own mappings: zeros take the place of what
//! is gone, and the mapping says so. As a signal's answer belongs to the whole process, only a program
//! may install one; a library in somebody else's process reads instead.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libc::c_void;

/// Mappings at one time; beyond it [`Mapper::map`] fails, and its caller reads.
const SLOTS: usize = 4096;

/// The right to map files: this process survives when they are cut short.
#[derive(Debug, Clone, Copy)]
pub struct Mapper(());

impl Mapper {
    /// Takes over `SIGBUS` for the whole process. What came before still answers for addresses that are
    /// in none of our mappings.
    ///
    /// # Errors
    /// What the system says; then files have to be read.
    pub fn install() -> io::Result<Self> {
        static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
        let result = INSTALLED.get_or_init(|| {
            // SAFETY: all-zero is a valid `sigaction`; both pointers are to one on this stack, and the
            // handler does only what a handler may: atomic loads and stores, `mmap`, `sigaction`.
            unsafe {
                let mut previous: libc::sigaction = std::mem::zeroed();
                if libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut previous) != 0 {
                    return Err(errno());
                }
                // Set before the handler can run.
                let _ = PREVIOUS.set(previous);
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_bus_error as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                if libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) != 0 {
                    return Err(errno());
                }
            }
            let _ = PAGE.set(page_size());
            Ok(())
        });
        result.map(|()| Self(())).map_err(io::Error::from_raw_os_error)
    }

    /// Maps a part of a file, read-only, and fetches it into memory.
    ///
    /// # Errors
    /// What the system says, or that there are too many mappings.
    pub fn map(self, file: BorrowedFd<'_>, offset: u64, length: usize) -> io::Result<Mapping> {
        let page = PAGE.get().copied().unwrap_or_else(page_size);
        let before = usize::try_from(offset % page as u64).unwrap_or_default();
        let mapped = length.checked_add(before).filter(|&n| n > 0 && length > 0);
        let mapped = mapped.ok_or(io::ErrorKind::InvalidInput)?;
        let start = libc::off_t::try_from(offset - before as u64)
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        let slot = Slot::reserve().ok_or(io::ErrorKind::ResourceBusy)?;
        #[cfg(target_os = "linux")]
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        #[cfg(not(target_os = "linux"))]
        let flags = libc::MAP_SHARED;
        // SAFETY: a new mapping at an address of the system's choice touches no other memory; the
        // descriptor is open for as long as it is borrowed, and the mapping outlives it.
        let base = unsafe {
            let fd = file.as_raw_fd();
            libc::mmap(std::ptr::null_mut(), mapped, libc::PROT_READ, flags, fd, start)
        };
        let base = NonNull::new(base).filter(|base| base.as_ptr() != libc::MAP_FAILED);
        let Some(base) = base else {
            let error = io::Error::last_os_error();
            slot.release();
            return Err(error);
        };
        slot.publish(base.as_ptr() as usize, mapped);
        Ok(Mapping { base, mapped, before, slot })
    }
}

/// A part of a file in memory.
///
/// Another process may change the bytes at any time: nothing may be concluded from them that is not checked
/// again, with [`is_whole`](Self::is_whole) and with the file's size and times, when they have been
/// used. Digests are safe in this sense: they are of the signed bytes or they differ.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<c_void>,
    mapped: usize,
    /// Bytes from the start of the page to the start of what was asked for.
    before: usize,
    slot: &'static Slot,
}

// SAFETY: the mapping is read-only memory that this value alone unmaps.
unsafe impl Send for Mapping {}

impl Mapping {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the memory is mapped readable for as long as `self` lives, and stays readable when the
        // file is cut short (`on_bus_error`). Nobody in this process writes to it. Of writers elsewhere
        // see the type's own words.
        unsafe {
            let start = self.base.cast::<u8>().as_ptr().add(self.before);
            std::slice::from_raw_parts(start, self.mapped - self.before)
        }
    }

    /// Whether all bytes that were read so far were the file's own; if not, it was cut short or could
    /// not be read, and zeros stood in.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.slot.broken.load(Ordering::Acquire)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // First the slot: from here on a signal in this range is not ours.
        self.slot.release();
        // SAFETY: this is the range that `map` got, and nobody can use it any more.
        unsafe { libc::munmap(self.base.as_ptr(), self.mapped) };
    }
}

/// Where the handler finds our mappings.
#[derive(Debug)]
struct Slot {
    /// 0: free. 1: reserved, not mapped yet.
    start: AtomicUsize,
    length: AtomicUsize,
    broken: AtomicBool,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot { start: AtomicUsize::new(0), length: AtomicUsize::new(0), broken: AtomicBool::new(false) }
}; SLOTS];
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static PAGE: OnceLock<usize> = OnceLock::new();
/// Where to look for a free slot first.
static NEXT: AtomicUsize = AtomicUsize::new(0);
/// No slot at or above this one was ever used.
static USED: AtomicUsize = AtomicUsize::new(0);

impl Slot {
    fn reserve() -> Option<&'static Self> {
        for _ in 0..SLOTS {
            let index = NEXT.fetch_add(1, Ordering::Relaxed) % SLOTS;
            let slot = &TABLE[index];
            if slot.start.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                USED.fetch_max(index + 1, Ordering::AcqRel);
                return Some(slot);
            }
        }
        None
    }

    fn publish(&self, start: usize, length: usize) {
        self.broken.store(false, Ordering::Release);
        self.length.store(length, Ordering::Release);
        self.start.store(start, Ordering::Release);
    }

    fn release(&self) {
        self.start.store(0, Ordering::Release);
    }
}

/// Puts zeros where a file's pages are gone.
extern "C" fn on_bus_error(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the system gives a valid `siginfo_t` for a handler with SA_SIGINFO, and of a SIGBUS it has
    // the address.
    let address = unsafe {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let address = (*info).si_addr();
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let address = (*info).si_addr;
        address as usize
    };
    // SAFETY: as above. A code of 0 or less is a signal that somebody sent, to end this process: what came
    // before us may be Rust's own handler, which expects the failing instruction to come again. Both
    // functions may be called in a handler, and the signal waits until this one has returned.
    unsafe {
        if (*info).si_code <= 0 {
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
            libc::raise(libc::SIGBUS);
            return;
        }
    }
    let page = PAGE.get().copied().unwrap_or(4096);
    for slot in &TABLE[..USED.load(Ordering::Acquire).min(SLOTS)] {
        let start = slot.start.load(Ordering::Acquire);
        let end = start.saturating_add(slot.length.load(Ordering::Acquire));
        // Read again: the length may be that of a mapping that took the place meanwhile.
        let same = slot.start.load(Ordering::Acquire) == start;
        if start <= 1 || !same || address < start || address >= end {
            continue;
        }
        slot.broken.store(true, Ordering::Release);
        let from = address - address % page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the range is inside one of our own mappings, of which nothing but its readability is
        // relied on. `errno` is the interrupted code's and is put back.
        let replaced = unsafe {
            let before = errno();
            let new = libc::mmap(from as *mut c_void, end - from, libc::PROT_READ, flags, -1, 0);
            set_errno(before);
            new != libc::MAP_FAILED
        };
        if replaced {
            return;
        }
    }
    // Not ours: whoever was there before answers when the same instruction fails again.
    if let Some(previous) = PREVIOUS.get() {
        // SAFETY: it is what `sigaction` gave us.
        unsafe { libc::sigaction(libc::SIGBUS, previous, std::ptr::null_mut()) };
    }
}

fn page_size() -> usize {
    // SAFETY: no arguments in memory.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or_default()
}

fn set_errno(value: i32) {
    // SAFETY: the address is this thread's own `errno`.
    unsafe {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            #[cfg(target_os = "linux")]
            {
                *libc::__errno_location() = value;
            }
            #[cfg(target_os = "android")]
            {
                *libc::__errno() = value;
            }
        }
        #[cfg(any(target_os = "macos", target_os = "ios"))]
        {
            *libc::__error() = value;
        }
        #[cfg(not(any(
            target_os = "linux",
            target_os = "android",
            target_os = "macos",
            target_os = "ios"
        )))]
        let _ = value;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    use super::*;

    fn file(bytes: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn any_part_of_a_file() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let file = file(&bytes);
        let mapper = Mapper::install().unwrap();
        for (offset, length) in [(0, 1), (0, 400_000), (1, 4096), (4096, 4096), (8191, 300_001)] {
            let mapping = mapper.map(file.as_fd(), offset as u64, length).unwrap();
            assert_eq!(mapping.bytes(), &bytes[offset..offset + length]);
            assert!(mapping.is_whole());
        }
        assert!(mapper.map(file.as_fd(), 0, 0).is_err());
        assert!(mapper.map(file.as_fd(), 5, 0).is_err());
        assert!(mapper.map(file.as_fd(), u64::MAX, 1).is_err());
    }

    #[test]
    fn a_file_cut_short_under_its_mapping_reads_as_zeros_and_is_told() {
        let file = file(&vec![7; 1 << 20]);
        let mapper = Mapper::install().unwrap();
        let map = || mapper.map(file.as_fd(), 0, 1 << 20).unwrap();
        // Others stand before it and after it in the table. Systems give out addresses from above: where the
        // first one was, the one that is cut short comes to lie above an earlier one.
        let (above, first) = (map(), map());
        let below = map();
        drop(first);
        let cut = map();
        let others = [above, below, map()];
        file.set_len(5000).unwrap();
        let sum: u64 = cut.bytes().iter().map(|&b| u64::from(b)).sum();
        assert_eq!(sum, 7 * 5000, "the rest of the last page is zeros, as is all that follows");
        assert!(!cut.is_whole());
        assert!(others.iter().all(Mapping::is_whole));
        drop(cut);
        // Its place in the table serves again, as all others do, and knows nothing of what was.
        for _ in 0..2 * SLOTS {
            let again = mapper.map(file.as_fd(), 0, 5000).unwrap();
            assert!(again.bytes().iter().all(|&b| b == 7));
            assert!(again.is_whole());
        }
    }

    #[test]
    fn what_cannot_be_mapped_takes_no_place() {
        let mapper = Mapper::install().unwrap();
        let directory = std::fs::File::open("/").unwrap();
        for _ in 0..2 * SLOTS {
            assert!(mapper.map(directory.as_fd(), 0, 1).is_err());
        }
        assert!(mapper.map(file(b"1").as_fd(), 0, 1).is_ok());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_dropped_mapping_is_gone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4096).unwrap();
        let is_mapped = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            maps.contains(file.path().to_str().unwrap())
        };
        let mapping = Mapper::install().unwrap().map(file.as_file().as_fd(), 0, 4096).unwrap();
        assert!(is_mapped());
        drop(mapping);
        assert!(!is_mapped());
    }

    /// How a child process ends that does this. A fork, not a new program: under an emulator there may be no
    /// way to start one.
    fn end_of(child: impl FnOnce()) -> std::process::ExitStatus {
        use std::os::unix::process::ExitStatusExt as _;
        // SAFETY: the child makes system calls and ends, whatever happens; it takes no lock that another
        // thread may have held.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
                // A signal that is swallowed may come again for ever.
                libc::alarm(20);
                child();
                libc::_exit(0);
            }
            assert!(pid > 0, "{}", io::Error::last_os_error());
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
            std::process::ExitStatus::from_raw(status)
        }
    }

    /// Somebody else's mapping that is cut short, and a signal that somebody sends, end the process as ever.
    #[test]
    fn a_bus_error_that_is_not_ours_ends_the_process() {
        use std::os::unix::process::ExitStatusExt as _;
        let mapper = Mapper::install().unwrap();
        let file = file(&[7; 8192]);
        let ours = mapper.map(file.as_fd(), 0, 8192).unwrap();
        // SAFETY: no arguments in memory.
        let sent = end_of(|| unsafe {
            libc::raise(libc::SIGBUS);
        });
        assert_eq!(sent.signal(), Some(libc::SIGBUS), "sent: {sent}");
        let fd = file.as_raw_fd();
        // SAFETY: a new mapping, of which a byte is read that the file once had.
        let mapped = end_of(|| unsafe {
            let null = std::ptr::null_mut();
            let theirs = libc::mmap(null, 8192, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
            if theirs != libc::MAP_FAILED && libc::ftruncate(fd, 0) == 0 {
                std::hint::black_box(theirs.cast::<u8>().read_volatile());
            }
        });
        assert_eq!(mapped.signal(), Some(libc::SIGBUS), "mapped: {mapped}");
        drop(ours);
    }
}
