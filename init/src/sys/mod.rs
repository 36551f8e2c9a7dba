//! System calls: the one room where unsafe code lives. Everything that it offers is safe
//! to call; what the kernel refuses comes back as an [`Errno`].
#![allow(unsafe_code)]

mod arch;
mod errno;
pub mod fd;
pub mod fs;
pub mod input;
pub mod memory;
pub mod net;
pub mod power;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod time;
pub mod tty;

pub use arch::counter;
pub use errno::Errno;

/// What a system call gives.
pub type Result<T> = core::result::Result<T, Errno>;

/// The first function, called by `_start` of the processor at hand.
extern "C" fn entry() -> ! {
    crate::main()
}

/// One system call: its number in [`arch::nr`] and up to six arguments.
///
/// # Safety
/// As for [`arch::call`].
#[inline(always)]
unsafe fn call<const N: usize>(number: usize, args: [usize; N]) -> Result<usize> {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&args);
    // SAFETY: the same contract.
    let result = unsafe { arch::call(number, all) };
    // errors are -4095 to -1: Linux, include/linux/err.h, MAX_ERRNO
    if (-4095..0).contains(&result) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "in range by the test above"
        )]
        return Err(Errno(-result as i32));
    }
    Ok(result as usize)
}

/// A descriptor or other signed number as an argument.
const fn arg(number: i32) -> usize {
    // sign-extended, as the calling convention has it; the kernel takes the low half
    number as usize
}
