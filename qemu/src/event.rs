//! What happens to a machine, and how it ends.

use std::fmt;

/// Something that happened to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Bytes of the serial console, as they came.
    Console(Vec<u8>),
    /// A line is complete. What is not UTF-8 in it is replaced.
    Line(Source, String),
    /// The guest's kernel says that it panicked.
    Panicked,
    /// QEMU has ended. The last event.
    Exit(Exit),
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The serial console, where an app's output shows too.
    Console,
    /// The virtio-serial port `ampoule.report`, to which the guest's PID 1 alone can write.
    Report,
}

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Why QEMU ended.
    pub stop: Stop,
    /// Whether the guest's kernel said that it panicked.
    pub panicked: bool,
    /// QEMU's own messages.
    pub messages: String,
}

/// Why QEMU ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The guest switched the machine off.
    PoweredOff,
    /// The guest reset the machine.
    Reset,
    /// The guest's kernel panicked, and QEMU ended for it.
    Panicked,
    /// It was told to from outside: by this crate, or by a signal.
    Host,
    /// QEMU could not go on, or died.
    Failed(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stop::PoweredOff => "the guest powered the machine off",
            Stop::Reset => "the guest reset the machine",
            Stop::Panicked => "the guest's kernel panicked",
            Stop::Host => "the machine was stopped from outside",
            Stop::Failed(reason) => return write!(f, "qemu failed: {reason}"),
        })
    }
}
