//! What can go wrong between a wish for a machine and its end.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a machine could not be started, or did not do what was waited for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The emulator is not installed.
    #[error(
        "{program} is not installed; install the package {package} (Debian's name), or name the program in AMPOULE_QEMU"
    )]
    NoQemu {
        /// The program that was looked for in `PATH`.
        program: &'static str,
        /// The package that Debian and its kin keep it in.
        package: &'static str,
    },
    /// No UEFI firmware was found.
    #[error(
        "no UEFI firmware for {arch} found; install the package {package} (Debian's name), or name its CODE file in AMPOULE_OVMF"
    )]
    NoFirmware {
        /// The architecture it was wanted for.
        arch: &'static str,
        /// The package that Debian and its kin keep it in.
        package: &'static str,
    },
    /// `AMPOULE_OVMF` names something that cannot be used.
    #[error("AMPOULE_OVMF names {path}, {reason}")]
    BadFirmware {
        /// What the variable says.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A forwarded port is taken on the host.
    #[error("port {port} on {address} is in use; choose another one, or stop what listens there")]
    PortInUse {
        /// The host's address.
        address: String,
        /// The port on it.
        port: u16,
    },
    /// A forwarded port could not be bound on the host for another reason.
    #[error("cannot bind port {port} on {address}")]
    PortUnusable {
        /// The host's address.
        address: String,
        /// The port on it.
        port: u16,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A port forward that cannot be read.
    #[error(
        "{text:?} is no port forward: {reason}; write HOST:GUEST, as 8080:80, or ADDRESS:HOST:GUEST"
    )]
    BadForward {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The machine asked for cannot be made.
    #[error("{0}")]
    Unsupported(String),
    /// A file that the machine needs cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The disk, kernel, initrd or firmware.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// QEMU ended before the machine ran.
    #[error("qemu did not start: {0}")]
    Refused(String),
    /// QEMU's control connection broke or made no sense.
    #[error("qemu's control connection failed: {0}")]
    Qmp(String),
    /// The machine has ended, and with it what was asked of it.
    #[error("the machine has ended{}", tail(.console))]
    Ended {
        /// The end of its console.
        console: String,
    },
    /// The deadline passed.
    #[error("no {what} within {} s{}", .after.as_secs_f32(), tail(.console))]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        after: Duration,
        /// The end of the console.
        console: String,
    },
    /// The host failed us.
    #[error("cannot {what}")]
    Host {
        /// The step, as in "cannot make a temporary directory".
        what: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn host(what: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Host { what, source }
    }
}

/// The last line of a console, as an addition to a message of one line.
fn tail(console: &str) -> String {
    match console
        .lines()
        .map(str::trim_end)
        .rfind(|line| !line.is_empty())
    {
        Some(line) => format!("; the last line of its console: {line}"),
        None => "; its console is empty".to_owned(),
    }
}
