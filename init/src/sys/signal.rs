//! Signals, taken as something to read instead of as interruptions.

use super::arch::nr;
use super::fd::{Fd, Flags};
use super::{Result, arg, call};

/// A signal: signal(7), the numbers of x86 and ARM.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub u32);

#[allow(missing_docs)]
impl Signal {
    pub const INT: Signal = Signal(2);
    pub const KILL: Signal = Signal(9);
    pub const TERM: Signal = Signal(15);
    pub const CHLD: Signal = Signal(17);
    pub const PWR: Signal = Signal(30);

    const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }
}

/// Those that mean something to PID 1.
const TAKEN: u64 = Signal::INT.bit() | Signal::TERM.bit() | Signal::CHLD.bit() | Signal::PWR.bit();

/// `sizeof(sigset_t)` of the kernel.
const SET_LEN: usize = 8;

/// sigprocmask(2): which signals wait.
fn set_mask(mask: u64) -> Result<()> {
    const SIG_SETMASK: usize = 2;
    let at = core::ptr::from_ref(&mask) as usize;
    // SAFETY: the kernel reads eight bytes there and writes nothing back.
    unsafe { call(nr::RT_SIGPROCMASK, [SIG_SETMASK, at, 0, SET_LEN]) }.map(drop)
}

/// Holds every signal back, and gives those that mean something as a file: signalfd(2).
pub fn take() -> Result<Fd> {
    set_mask(u64::MAX)?;
    let mask = TAKEN;
    let at = core::ptr::from_ref(&mask) as usize;
    // SFD_CLOEXEC and SFD_NONBLOCK are the O_ flags
    const FLAGS: i32 = 0o2_004_000;
    // SAFETY: the kernel reads eight bytes there.
    unsafe { call(nr::SIGNALFD4, [arg(-1), at, SET_LEN, arg(FLAGS)]) }.map(Fd::from_call)
}

/// Lets every signal through, as a program expects to be started.
pub fn release_all() -> Result<()> {
    set_mask(0)
}

/// The next signal, if there is one. `struct signalfd_siginfo` begins with its number.
pub fn next(file: &Fd) -> Option<Signal> {
    let mut info = [0_u8; 128];
    let len = file.read(&mut info).ok()?;
    (len == info.len()).then(|| Signal(u32::from_ne_bytes([info[0], info[1], info[2], info[3]])))
}

/// kill(2) of every process but PID 1.
pub fn send_to_all(signal: Signal) -> Result<()> {
    send(-1, signal)
}

/// kill(2) of a process group.
pub fn send_to_group(leader: u32, signal: Signal) -> Result<()> {
    // process numbers are below 2^22: include/linux/threads.h, PID_MAX_LIMIT
    send(-(leader as i32), signal)
}

fn send(whom: i32, signal: Signal) -> Result<()> {
    // SAFETY: no pointers.
    unsafe { call(nr::KILL, [arg(whom), signal.0 as usize]) }.map(drop)
}

const _: () = assert!(Flags::CLOSE_ON_EXEC.bits() | Flags::NON_BLOCKING.bits() == 0o2_004_000);
