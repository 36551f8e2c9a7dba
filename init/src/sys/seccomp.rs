//! The filter of system calls: seccomp(2), seccomp_unotify(2).

use ampoule_init::seccomp::INSTRUCTION;

use super::arch::nr;
use super::fd::{Fd, RawFd};
use super::{Errno, Result, arg, call};

/// `struct sock_fprog`: Linux, include/uapi/linux/filter.h.
#[repr(C)]
struct Program {
    len: u16,
    filter: *const u8,
}

/// Puts a filter on this process and what it starts, for good, and gives the number of the
/// descriptor that hears of what it hands over. That is closed in a program that is
/// executed. `filter` is a whole number of instructions.
pub fn install(filter: &[u8]) -> Result<RawFd> {
    const SET_MODE_FILTER: usize = 1;
    // once PID 1 has heard of a call, only a deadly signal interrupts it: without this, a
    // program that gets many signals makes the same call for ever
    const NEW_LISTENER: usize = 1 << 3;
    const WAIT_KILLABLE_RECV: usize = 1 << 5;
    let program = Program {
        len: (filter.len() / INSTRUCTION) as u16,
        filter: filter.as_ptr(),
    };
    let at = core::ptr::from_ref(&program) as usize;
    let flags = NEW_LISTENER | WAIT_KILLABLE_RECV;
    // SAFETY: the kernel reads the program and the `len` instructions that it points to.
    unsafe { call(nr::SECCOMP, [SET_MODE_FILTER, flags, at]) }.map(|number| number as RawFd)
}

/// A call that a filter handed over: `struct seccomp_notif`, include/uapi/linux/seccomp.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Notice {
    id: u64,
    /// The thread that makes it, and waits.
    pub thread: u32,
    flags: u32,
    /// Its number.
    pub number: u32,
    arch: u32,
    instruction: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// What becomes of a call that was handed over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is made.
    GoOn,
    /// It fails with EPERM.
    Refuse,
}

/// Hears of what a filter hands over. When this is dropped, or PID 1 is gone, such calls
/// fail with ENOSYS instead of waiting.
pub struct Listener(Fd);

// _IOWR('!', 0, struct seccomp_notif) and so on: include/uapi/linux/seccomp.h
const RECV: usize = 0xc050_2100;
const SEND: usize = 0xc018_2101;
const ID_VALID: usize = 0x4008_2102;

impl Listener {
    /// The listener that is open in the process `pid` as `number`: pidfd_getfd(2).
    pub fn take(pid: u32, number: RawFd) -> Result<Listener> {
        // SAFETY: no pointers.
        let process = unsafe { call(nr::PIDFD_OPEN, [pid as usize, 0]) }.map(Fd::from_call)?;
        // SAFETY: no pointers.
        unsafe { call(nr::PIDFD_GETFD, [arg(process.raw()), arg(number), 0]) }
            .map(|number| Listener(Fd::from_call(number)))
    }

    /// The descriptor to wait on.
    pub fn raw(&self) -> RawFd {
        self.0.raw()
    }

    /// The next call; waits until there is one or no process has the filter any more.
    pub fn receive(&self) -> Result<Notice> {
        // the kernel wants zeroes
        let mut notice = Notice::default();
        let at = core::ptr::from_mut(&mut notice) as usize;
        self.control(RECV, at)?;
        Ok(notice)
    }

    /// Whether the thread still waits: what was read of it before is its own.
    pub fn waits(&self, notice: &Notice) -> bool {
        self.control(ID_VALID, core::ptr::from_ref(&notice.id) as usize)
            .is_ok()
    }

    /// Answers. A thread that was killed meanwhile needs none.
    pub fn answer(&self, notice: &Notice, answer: Answer) {
        const CONTINUE: u32 = 1;
        let (error, flags) = match answer {
            Answer::GoOn => (0, CONTINUE),
            Answer::Refuse => (-Errno::EPERM.0, 0),
        };
        let response = Response {
            id: notice.id,
            value: 0,
            error,
            flags,
        };
        let _ = self.control(SEND, core::ptr::from_ref(&response) as usize);
    }

    /// ioctl(2) with what the request wants at `at`.
    fn control(&self, request: usize, at: usize) -> Result<usize> {
        // SAFETY: each caller passes the address of the type that its request names. The
        // kernel writes to that of RECV alone, which is a `Notice` that nobody else sees.
        unsafe { call(nr::IOCTL, [arg(self.0.raw()), request, at]) }
    }
}

const _: () = assert!(size_of::<Notice>() == 80 && size_of::<Response>() == 24);
