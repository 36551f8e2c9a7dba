//! Why the program could not be run.

use core::fmt::{self, Write};

use ampoule_init::report::{Clean, Failure};
use ampoule_init::wire::ParseError;

use crate::sys::Errno;

/// What ends the machine before, or instead of, the program. Small, since every function
/// on the way hands it on; it becomes text at the end.
pub struct Trouble {
    /// The class.
    pub code: Failure,
    what: &'static str,
    subject: &'static [u8],
    cause: Cause,
}

enum Cause {
    None,
    Kernel(Errno),
    Config(ParseError),
}

/// What a function that may meet trouble gives.
pub type Result<T> = core::result::Result<T, Trouble>;

impl Trouble {
    /// A failure that `what` describes.
    pub fn new(code: Failure, what: &'static str) -> Trouble {
        Trouble {
            code,
            what,
            subject: b"",
            cause: Cause::None,
        }
    }

    /// The configuration was not understood.
    pub fn of_config(cause: ParseError) -> Trouble {
        let cause = Cause::Config(cause);
        Trouble {
            code: Failure::Config,
            what: "read /ampoule/config",
            subject: b"",
            cause,
        }
    }

    /// What the kernel answered when PID 1 did `what` to `subject`, a path or empty.
    pub fn met(
        code: Failure,
        what: &'static str,
        subject: &'static [u8],
    ) -> impl FnOnce(Errno) -> Trouble {
        move |error| Trouble {
            code,
            what,
            subject,
            cause: Cause::Kernel(error),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if !self.subject.is_empty() {
            write!(f, " {}", Clean(self.subject))?;
        }
        match self.cause {
            Cause::None => Ok(()),
            Cause::Kernel(error) => write!(f, ": {error}"),
            Cause::Config(error) => write!(f, ": {error}"),
        }
    }
}

/// At most `N` bytes of ASCII text; other bytes stand as `?`, and what does not fit is
/// left off.
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    /// Formatted.
    pub fn of(arguments: fmt::Arguments<'_>) -> Text<N> {
        let mut text = Text {
            bytes: [0; N],
            len: 0,
        };
        // never fails: what does not fit is left off
        let _ = text.write_fmt(arguments);
        text
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for (place, byte) in self.bytes[self.len..].iter_mut().zip(s.bytes()) {
            *place = if byte.is_ascii() { byte } else { b'?' };
            self.len += 1;
        }
        Ok(())
    }
}
