//! What differs between processors: the entry, the system-call instruction and numbers,
//! the memory functions that the compiler calls, the cycle counter.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64::counter;
#[cfg(target_arch = "aarch64")]
pub(super) use aarch64::{call, nr};

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::counter;
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{call, nr};
