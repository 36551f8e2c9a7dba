//! Why the program could not be run.

use core::fmt::{self, Write};

use ampoule_init::report::Failure;
use ampoule_init::wire::OnExit;

use crate::config::Config;

/// What ends the machine before, or instead of, the program.
pub struct Trouble {
    /// The class.
    pub code: Failure,
    /// What follows: power off unless the configuration was read and says otherwise.
    pub on_exit: OnExit,
    reason: Text<200>,
}

impl Trouble {
    /// With a reason of one line.
    pub fn new(code: Failure, reason: fmt::Arguments<'_>) -> Trouble {
        Trouble {
            code,
            on_exit: OnExit::PowerOff,
            reason: Text::of(reason),
        }
    }

    /// With what the configuration wants to follow.
    pub fn with(self, config: &Config) -> Trouble {
        Trouble {
            on_exit: config.on_exit,
            ..self
        }
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        self.reason.as_str()
    }
}

/// At most `N` bytes of text; what does not fit is left off.
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
        let bytes = &self.bytes[..self.len];
        // a character may have been cut at the end
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(cut) => core::str::from_utf8(&bytes[..cut.valid_up_to()]).unwrap_or_default(),
        }
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let taken = s.len().min(N - self.len);
        self.bytes[self.len..self.len + taken].copy_from_slice(&s.as_bytes()[..taken]);
        self.len += taken;
        Ok(())
    }
}

/// Bytes of a path shown in a message; others than printable ASCII as `?`.
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| {
            f.write_char(if byte.is_ascii_graphic() || *byte == b' ' {
                char::from(*byte)
            } else {
                '?'
            })
        })
    }
}
