//! Terminals: ioctl_tty(2).

use super::arch::nr;
use super::fd::{Fd, RawFd};
use super::{Result, arg, call};

// include/uapi/asm-generic/ioctls.h
const TCGETS: usize = 0x5401;
const TCSETS: usize = 0x5402;
const TIOCOUTQ: usize = 0x5411;

/// `struct termios` of the kernel: include/uapi/asm-generic/termbits.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Termios {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    line: u8,
    characters: [u8; 19],
}

/// What is typed neither stops the output (^S), nor sends signals, nor is echoed.
pub fn ignore_input(terminal: &Fd) -> Result<()> {
    const IXON: u32 = 0o2000;
    const ISIG_ICANON_ECHO: u32 = 0o1 | 0o2 | 0o10;
    let mut modes = Termios::default();
    let at = core::ptr::from_mut(&mut modes) as usize;
    // SAFETY: the kernel writes one termios there.
    unsafe { call(nr::IOCTL, [arg(terminal.raw()), TCGETS, at]) }?;
    modes.input &= !IXON;
    modes.local &= !ISIG_ICANON_ECHO;
    let at = core::ptr::from_ref(&modes) as usize;
    // SAFETY: the kernel reads one termios there.
    unsafe { call(nr::IOCTL, [arg(terminal.raw()), TCSETS, at]) }.map(drop)
}

/// How many bytes the terminal has yet to send; 0 for what is no terminal.
pub fn unsent(terminal: RawFd) -> usize {
    let mut count = 0_i32;
    let at = core::ptr::from_mut(&mut count) as usize;
    // SAFETY: the kernel writes one int there.
    match unsafe { call(nr::IOCTL, [arg(terminal), TIOCOUTQ, at]) } {
        Ok(_) => usize::try_from(count).unwrap_or(0),
        Err(_) => 0,
    }
}
