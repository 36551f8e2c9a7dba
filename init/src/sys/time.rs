//! Clocks.

use super::arch::nr;
use super::call;

/// `struct __kernel_timespec`: Linux, include/uapi/linux/time_types.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

impl Timespec {
    pub(super) fn of_millis(millis: u64) -> Timespec {
        // a time that does not fit is for ever
        let seconds = i64::try_from(millis / 1000).unwrap_or(i64::MAX);
        Timespec {
            seconds,
            nanoseconds: (millis % 1000) as i64 * 1_000_000,
        }
    }
}

/// Microseconds since the kernel's clock started, sleep included.
pub fn uptime_us() -> u64 {
    // include/uapi/linux/time.h
    const CLOCK_BOOTTIME: usize = 7;
    let mut now = Timespec::default();
    // SAFETY: the kernel writes one timespec there.
    let _ = unsafe {
        call(
            nr::CLOCK_GETTIME,
            [CLOCK_BOOTTIME, core::ptr::from_mut(&mut now) as usize],
        )
    };
    now.seconds as u64 * 1_000_000 + now.nanoseconds as u64 / 1000
}
