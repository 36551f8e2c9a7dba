//! Descriptors: open, read, write, wait.

use core::ffi::CStr;

use super::arch::nr;
use super::{Errno, Result, arg, call};

/// A descriptor that someone else owns.
pub type RawFd = i32;

/// The current directory in the `*at` calls: Linux, include/uapi/linux/fcntl.h.
const AT_FDCWD: i32 = -100;

/// How a file is opened: Linux, include/uapi/asm-generic/fcntl.h.
#[derive(Clone, Copy)]
pub struct Flags(i32);

#[allow(missing_docs)]
impl Flags {
    pub const READ: Flags = Flags(0);
    pub const WRITE: Flags = Flags(1);
    /// A terminal does not become the controlling one.
    pub const NO_TTY: Flags = Flags(0o400);
    pub const NON_BLOCKING: Flags = Flags(0o4000);
    pub const CLOSE_ON_EXEC: Flags = Flags(0o2_000_000);
    #[cfg(target_arch = "x86_64")]
    pub const DIRECTORY: Flags = Flags(0o200_000);
    #[cfg(target_arch = "aarch64")] // arch/arm64/include/uapi/asm/fcntl.h
    pub const DIRECTORY: Flags = Flags(0o40_000);

    /// Both.
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    pub(super) const fn bits(self) -> i32 {
        self.0
    }
}

/// A descriptor, closed when dropped. Every one is closed in a program that is executed.
#[derive(Debug)]
pub struct Fd(RawFd);

impl Fd {
    /// Takes over a descriptor that a system call has just made.
    pub(super) fn from_call(result: usize) -> Fd {
        // descriptors fit: the limit is below 2^31
        Fd(result as RawFd)
    }

    /// The number, for as long as this lives.
    pub fn raw(&self) -> RawFd {
        self.0
    }

    /// open(2). Always close-on-exec.
    pub fn open(path: &CStr, flags: Flags) -> Result<Fd> {
        let flags = flags.and(Flags::CLOSE_ON_EXEC).0;
        // SAFETY: the path ends with NUL and is only read.
        let fd = unsafe {
            call(
                nr::OPENAT,
                [arg(AT_FDCWD), path.as_ptr() as usize, arg(flags), 0],
            )
        };
        fd.map(Fd::from_call)
    }

    /// read(2). 0 is the end.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        let (at, len) = (buffer.as_mut_ptr() as usize, buffer.len());
        // SAFETY: the kernel writes at most `len` bytes into the buffer.
        retry(|| unsafe { call(nr::READ, [arg(self.0), at, len]) })
    }

    /// pread(2).
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let (at, len) = (buffer.as_mut_ptr() as usize, buffer.len());
        // SAFETY: the kernel writes at most `len` bytes into the buffer.
        unsafe { call(nr::PREAD64, [arg(self.0), at, len, offset as usize]) }
    }

    /// write(2): how many bytes were taken.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        write(self.0, bytes)
    }

    /// fchown(2).
    pub fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        // SAFETY: no pointers.
        unsafe { call(nr::FCHOWN, [arg(self.0), uid as usize, gid as usize]) }.map(drop)
    }

    /// Reads and writes return instead of waiting: fcntl(2), `F_SETFL`. No other flag of
    /// those that it sets is in use.
    pub fn set_non_blocking(&self) -> Result<()> {
        const F_SETFL: i32 = 4;
        // SAFETY: no pointers.
        unsafe {
            call(
                nr::FCNTL,
                [arg(self.0), arg(F_SETFL), arg(Flags::NON_BLOCKING.0)],
            )
        }
        .map(drop)
    }

    /// Makes `number` refer to the same open file, open in a program that is executed.
    pub fn install_as(&self, number: RawFd) -> Result<()> {
        const F_SETFD: i32 = 2;
        let installed = if self.0 == number {
            // dup3(2) refuses equal numbers; clear FD_CLOEXEC instead
            // SAFETY: no pointers.
            unsafe { call(nr::FCNTL, [arg(self.0), arg(F_SETFD), 0]) }
        } else {
            // SAFETY: no pointers. What was open there is nobody's `Fd`: numbers 0 to 2
            // are given away by this call alone.
            unsafe { call(nr::DUP3, [arg(self.0), arg(number), 0]) }
        };
        installed.map(drop)
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: no pointers; this owner is the last.
        let _ = unsafe { call(nr::CLOSE, [arg(self.0)]) };
    }
}

/// Closes the descriptors that a program starts with.
pub fn close_inherited() {
    for number in 0..3 {
        // SAFETY: no pointers; nothing owns these numbers yet.
        let _ = unsafe { call(nr::CLOSE, [number]) };
    }
}

/// write(2) to a descriptor that someone else owns.
pub fn write(fd: RawFd, bytes: &[u8]) -> Result<usize> {
    let (at, len) = (bytes.as_ptr() as usize, bytes.len());
    // SAFETY: the kernel reads at most `len` bytes.
    retry(|| unsafe { call(nr::WRITE, [arg(fd), at, len]) })
}

/// pipe2(2): the reading and the writing end, close-on-exec.
pub fn pipe() -> Result<(Fd, Fd)> {
    let mut ends = [0_i32; 2];
    let flags = arg(Flags::CLOSE_ON_EXEC.0);
    // SAFETY: the kernel writes two ints there.
    unsafe { call(nr::PIPE2, [ends.as_mut_ptr() as usize, flags]) }?;
    Ok((Fd(ends[0]), Fd(ends[1])))
}

/// What is waited for on one descriptor: `struct pollfd`, include/uapi/asm-generic/poll.h.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Poll {
    fd: RawFd,
    wanted: i16,
    found: i16,
}

impl Poll {
    /// There is something to read.
    pub const IN: i16 = 0x1;
    /// There is room to write.
    pub const OUT: i16 = 0x4;
    /// An error, the other end's absence, or no such descriptor: always told.
    const BROKEN: i16 = 0x8 | 0x10 | 0x20;
    /// Fills an unused place.
    pub const UNUSED: Poll = Poll {
        fd: -1,
        wanted: 0,
        found: 0,
    };

    /// Waits for `wanted` on `fd`.
    pub const fn new(fd: RawFd, wanted: i16) -> Poll {
        Poll {
            fd,
            wanted,
            found: 0,
        }
    }

    /// The descriptor.
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// Whether anything was found: what was wanted, an error or an end.
    pub fn happened(&self) -> bool {
        self.found != 0
    }

    /// Whether an error or the other end's absence was found, and nothing wanted.
    pub fn only_broken(&self) -> bool {
        self.found & Poll::BROKEN != 0 && self.found & self.wanted == 0
    }
}

/// ppoll(2): waits until something happens or `timeout` milliseconds have passed, for ever
/// when there is none. Returns early, with nothing found, when a signal interrupts.
pub fn poll(set: &mut [Poll], timeout: Option<u64>) -> Result<usize> {
    let limit = timeout.map(super::time::Timespec::of_millis);
    let limit_at = limit
        .as_ref()
        .map_or(0, |limit| core::ptr::from_ref(limit) as usize);
    // SAFETY: the kernel writes the `found` of each of these entries; the time is read
    // (and on return written: it is our own copy).
    let found = unsafe {
        call(
            nr::PPOLL,
            [set.as_mut_ptr() as usize, set.len(), limit_at, 0, 0],
        )
    };
    match found {
        Err(Errno::EINTR) => Ok(0),
        other => other,
    }
}

/// Repeats a call that a signal interrupts.
pub(super) fn retry(mut call: impl FnMut() -> Result<usize>) -> Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
