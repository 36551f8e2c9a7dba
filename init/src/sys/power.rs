//! The machine's end: reboot(2).

use super::arch::nr;
use super::{Result, call};

/// What the kernel is told: Linux, include/uapi/linux/reboot.h.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Command {
    /// Control-Alt-Delete sends SIGINT to PID 1 instead of restarting at once.
    CtrlAltDelSignals = 0,
    /// Restart.
    Restart = 0x0123_4567,
    /// Stop the processors.
    Halt = 0xcdef_0123,
    /// Switch the power off; stops the processors where nothing can switch it off.
    PowerOff = 0x4321_fedc,
}

/// Returns when the kernel refuses, and after `CtrlAltDelSignals`.
pub fn reboot(command: Command) -> Result<()> {
    const MAGIC1: usize = 0xfee1_dead;
    const MAGIC2: usize = 672_274_793;
    // SAFETY: no pointers.
    unsafe { call(nr::REBOOT, [MAGIC1, MAGIC2, command as usize, 0]) }.map(drop)
}
