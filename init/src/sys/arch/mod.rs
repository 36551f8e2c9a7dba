//! What differs between processors: the entry, the system-call instruction and numbers,
//! the memory functions that the compiler calls, the cycle counter.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64::counter;
#[cfg(target_arch = "aarch64")]
pub(super) use aarch64::nr;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::counter;
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::nr;

unsafe extern "C" {
    /// One system call: six arguments and the number. What it gives is the kernel's answer,
    /// an error as its negative number.
    ///
    /// # Safety
    /// The arguments keep the contract of the call: pointers among them are valid for what
    /// the kernel reads or writes there.
    fn ampoule_syscall(
        a: usize,
        b: usize,
        c: usize,
        d: usize,
        e: usize,
        f: usize,
        number: usize,
    ) -> isize;
}

/// One system call.
///
/// # Safety
/// As for [`ampoule_syscall`].
#[inline(always)]
pub(super) unsafe fn call(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    // SAFETY: the same contract.
    unsafe { ampoule_syscall(a, b, c, d, e, f, number) }
}
