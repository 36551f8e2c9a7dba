//! Input devices: Linux, include/uapi/linux/input.h.

use super::arch::nr;
use super::fd::Fd;
use super::{arg, call};

/// Whether the device has a power key: `EVIOCGBIT(EV_KEY)`.
pub fn has_power_key(device: &Fd) -> bool {
    // include/uapi/linux/input-event-codes.h
    const KEY_POWER: usize = 116;
    const KEY_MAX: usize = 0x2ff;
    const LEN: usize = KEY_MAX / 8 + 1;
    // _IOC(_IOC_READ, 'E', 0x20 + EV_KEY, LEN)
    const EVIOCGBIT_KEY: usize = 2 << 30 | LEN << 16 | (b'E' as usize) << 8 | 0x21;
    let mut keys = [0_u8; LEN];
    let at = keys.as_mut_ptr() as usize;
    // SAFETY: the kernel writes at most LEN bytes there.
    let asked = unsafe { call(nr::IOCTL, [arg(device.raw()), EVIOCGBIT_KEY, at]) };
    asked.is_ok() && keys[KEY_POWER / 8] & 1 << (KEY_POWER % 8) != 0
}
