//! Error numbers of the kernel.

use core::fmt;

use ampoule_init::plain::{self, Decimal};

/// An error number: Linux, include/uapi/asm-generic/errno-base.h and errno.h.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// Operation not permitted.
    pub const EPERM: Errno = Errno(1);
    /// Interrupted by a signal.
    pub const EINTR: Errno = Errno(4);
    /// Try again.
    pub const EAGAIN: Errno = Errno(11);
    /// Device or resource busy.
    pub const EBUSY: Errno = Errno(16);
    /// File exists.
    pub const EEXIST: Errno = Errno(17);
    /// Invalid argument.
    pub const EINVAL: Errno = Errno(22);
    /// File name too long.
    pub const ENAMETOOLONG: Errno = Errno(36);
    /// No buffer space available: a netlink socket lost messages.
    pub const ENOBUFS: Errno = Errno(105);
}

/// Names of those that preparing and starting a program is likely to meet, each behind
/// its number. One text takes less room than a table of texts.
const NAMES: &str = "1EPERM 2ENOENT 3ESRCH 4EINTR 5EIO 6ENXIO 7E2BIG 8ENOEXEC 9EBADF 10ECHILD \
    11EAGAIN 12ENOMEM 13EACCES 14EFAULT 16EBUSY 17EEXIST 19ENODEV 20ENOTDIR 21EISDIR 22EINVAL \
    23ENFILE 24EMFILE 25ENOTTY 26ETXTBSY 27EFBIG 28ENOSPC 30EROFS 32EPIPE 36ENAMETOOLONG \
    38ENOSYS 40ELOOP 75EOVERFLOW 80ELIBBAD 93EPROTONOSUPPORT 95EOPNOTSUPP 97EAFNOSUPPORT \
    98EADDRINUSE 99EADDRNOTAVAIL 100ENETDOWN 101ENETUNREACH 105ENOBUFS 110ETIMEDOUT";

/// The name of an error number.
fn name(number: i32) -> Option<&'static str> {
    NAMES.split(' ').find_map(|entry| {
        let name = entry.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = entry.as_bytes().get(..entry.len() - name.len())?;
        (plain::decimal(digits, u64::MAX)? == number as u64).then_some(name)
    })
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "error {}", Decimal(self.0 as u64)),
        }
    }
}

/// `expect` and the like show the name.
impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
