//! The lines that PID 1 tells its host.
//!
//! Each report is one line of printable ASCII that begins with [`PREFIX`]. A word says
//! what is reported, `key=value` pairs follow, separated by one space; the last value of
//! a line may hold spaces. Readers skip keys that they do not know. The same lines go to
//! the console and to the virtio-serial port named [`PORT`], where PID 1 is the only
//! writer. On the console the program's own output stands between them: PID 1 relays it
//! and puts [`ESCAPE`] before a line that begins with [`MARK`], so that no program can
//! forge a report.

mod read;

pub use read::parse;

use core::fmt::{self, Write};
use core::net::{IpAddr, Ipv4Addr};

use crate::list::List;
use crate::plain::{Address, Decimal, Plain};
use crate::wire::{MAX_NAMESERVERS, MAX_PORTS};

/// What every report begins with.
pub const PREFIX: &str = "ampoule: ";

/// What a line of the program must not begin with.
pub const MARK: &[u8] = b"ampoule:";

/// Put before a line of the program that begins with [`MARK`].
pub const ESCAPE: &[u8] = b"| ";

/// Name of the virtio-serial port that carries the reports alone.
pub const PORT: &str = "ampoule.report";

/// No report is longer, its line feed included.
pub const MAX_LINE: usize = 512;

/// TCP ports, in the order of the configuration.
pub type Ports = List<u16, MAX_PORTS>;

/// Name servers, first asked first.
pub type Servers = List<IpAddr, MAX_NAMESERVERS>;

/// One report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report<'a> {
    /// `start`: the first line of PID 1.
    Start {
        /// Version of PID 1.
        version: &'a str,
        /// When.
        at: Moment,
    },
    /// `network`: what became of the network; again whenever that changes.
    Network(Network<'a>),
    /// `app`: the program was executed.
    App {
        /// Its process number.
        pid: u32,
        /// When.
        at: Moment,
        /// Its path in the guest; a byte that is not printable ASCII stands as `?`.
        path: &'a str,
    },
    /// `ready`: every declared port takes connections from outside, or, when none is
    /// declared, the program was executed.
    Ready {
        /// The declared ports.
        ports: Ports,
    },
    /// `loopback-only`: the program listens on this declared port, but on a loopback
    /// address alone: nobody outside the machine reaches it. Told once per port.
    LoopbackOnly {
        /// The declared port.
        port: u16,
    },
    /// `denied`: the filter of system calls refused a call. The calls that a program is
    /// refused without pause are counted, and told every second.
    Denied {
        /// The call's name.
        call: &'a str,
        /// The thread that made it last.
        pid: u32,
        /// That thread's name; empty where it was not looked up.
        comm: &'a [u8],
        /// How often the call was refused since it was told last.
        count: u32,
        /// What the call was about.
        subject: Subject<'a>,
    },
    /// `called`: while PID 1 learns, the program made this call for the first time.
    Called {
        /// The call's name.
        call: &'a str,
    },
    /// `stopping`: the machine was asked to stop.
    Stopping {
        /// By what.
        reason: Stop,
    },
    /// `verdict`: how it ended. Exactly one, and the last line.
    Verdict(Verdict<'a>),
}

/// What a system call was about, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// It takes no such argument, or that could not be read.
    None,
    /// A path.
    Path(&'a [u8]),
    /// An address and a port.
    Socket(IpAddr, u16),
}

/// A moment, on the two clocks that a measurement may want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since the kernel's clock started (CLOCK_BOOTTIME).
    pub uptime_us: u64,
    /// The processor's own counter, where it has one that programs can read: TSC on
    /// x86_64 (ticks since reset), CNTVCT_EL0 on aarch64.
    pub tsc: Option<u64>,
}

/// What became of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network<'a> {
    /// Loopback alone, as configured.
    None,
    /// An address is set.
    Up {
        /// Name of the interface.
        interface: &'a str,
        /// The machine's address.
        address: Ipv4Addr,
        /// Length of the network prefix in bits.
        prefix: u8,
        /// Next hop of the default route.
        gateway: Option<Ipv4Addr>,
        /// Largest packet in bytes.
        mtu: u32,
        /// Name servers.
        dns: Servers,
    },
    /// There is no address, and why.
    Failed {
        /// One line of printable ASCII.
        reason: &'a str,
    },
}

/// What asked the machine to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The power button (ACPI, gpio-keys).
    PowerButton,
    /// Control-Alt-Delete.
    CtrlAltDel,
    /// SIGTERM to PID 1.
    Sigterm,
    /// SIGPWR to PID 1.
    Sigpwr,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The program ended by itself.
    Exit(u8),
    /// A signal ended the program.
    Signal(u8),
    /// The program never ran, or PID 1 broke.
    Failed {
        /// The class of failure.
        code: Failure,
        /// One line of printable ASCII.
        reason: &'a str,
    },
}

/// Classes of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The configuration could not be read.
    Config,
    /// The machine could not be prepared: a mount, a setting, a process.
    Prepare,
    /// The program could not be executed.
    Exec,
    /// A stop request came before the program was started.
    Stopped,
    /// PID 1 panicked.
    Panic,
}

const STOPS: [(Stop, &str); 4] = [
    (Stop::PowerButton, "power-button"),
    (Stop::CtrlAltDel, "ctrl-alt-del"),
    (Stop::Sigterm, "sigterm"),
    (Stop::Sigpwr, "sigpwr"),
];

const FAILURES: [(Failure, &str); 5] = [
    (Failure::Config, "config"),
    (Failure::Prepare, "prepare"),
    (Failure::Exec, "exec"),
    (Failure::Stopped, "stopped"),
    (Failure::Panic, "panic"),
];

fn name_of<T: PartialEq>(table: &[(T, &'static str)], key: &T) -> &'static str {
    table
        .iter()
        .find(|(one, _)| one == key)
        .map_or("other", |(_, name)| name)
}

fn named<T: Copy>(table: &[(T, &'static str)], name: &str) -> Option<T> {
    table
        .iter()
        .find(|(_, one)| *one == name)
        .map(|(key, _)| *key)
}

impl Stop {
    /// The word in the line.
    pub fn as_str(self) -> &'static str {
        name_of(&STOPS, &self)
    }
}

impl Failure {
    /// The word in the line.
    pub fn as_str(self) -> &'static str {
        name_of(&FAILURES, &self)
    }
}

/// A report as a line: [`PREFIX`] and no line feed.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        match self {
            Report::Start { version, at } => write!(f, "start version={}{at}", Plain(version)),
            Report::Network(network) => write!(f, "network {network}"),
            Report::App { pid, at, path } => {
                write!(
                    f,
                    "app pid={}{at} path={}",
                    Decimal((*pid).into()),
                    Clean(path.as_bytes())
                )
            }
            Report::Ready { ports } => {
                f.write_str("ready")?;
                joined(
                    f,
                    " port=",
                    ports.iter().map(|port| Decimal((*port).into())),
                )
            }
            Report::LoopbackOnly { port } => {
                write!(f, "loopback-only port={}", Decimal((*port).into()))
            }
            Report::Denied {
                call,
                pid,
                comm,
                count,
                subject,
            } => {
                let (pid, count) = (Decimal((*pid).into()), Decimal((*count).into()));
                write!(f, "denied call={} pid={pid}", Plain(call))?;
                if !comm.is_empty() {
                    write!(f, " comm={}", Word(comm))?;
                }
                write!(f, " count={count}{subject}")
            }
            Report::Called { call } => write!(f, "called call={}", Plain(call)),
            Report::Stopping { reason } => write!(f, "stopping reason={}", Plain(reason.as_str())),
            Report::Verdict(verdict) => write!(f, "verdict {verdict}"),
        }
    }
}

/// With a leading space.
impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::None => Ok(()),
            Subject::Path(path) => write!(f, " path={}", Clean(path)),
            Subject::Socket(address, port) => {
                let port = Decimal((*port).into());
                write!(f, " address={} port={port}", Address(*address))
            }
        }
    }
}

/// With a leading space.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " uptime-us={}", Decimal(self.uptime_us))?;
        match self.tsc {
            Some(tsc) => write!(f, " tsc={}", Decimal(tsc)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Network<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::None => f.write_str("none"),
            Network::Up {
                interface,
                address,
                prefix,
                gateway,
                mtu,
                dns,
            } => {
                write!(
                    f,
                    "interface={} address={}",
                    Plain(interface),
                    Address((*address).into())
                )?;
                write!(f, "/{}", Decimal((*prefix).into()))?;
                if let Some(gateway) = gateway {
                    write!(f, " gateway={}", Address((*gateway).into()))?;
                }
                write!(f, " mtu={}", Decimal((*mtu).into()))?;
                joined(f, " dns=", dns.iter().map(|server| Address(*server)))
            }
            Network::Failed { reason } => write!(f, "failed reason={}", Clean(reason.as_bytes())),
        }
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Exit(code) => write!(f, "exit={}", Decimal((*code).into())),
            Verdict::Signal(signal) => write!(f, "signal={}", Decimal((*signal).into())),
            Verdict::Failed { code, reason } => {
                write!(
                    f,
                    "failed={} reason={}",
                    Plain(code.as_str()),
                    Clean(reason.as_bytes())
                )
            }
        }
    }
}

/// Values after `key`, separated by commas; nothing at all when there are none.
fn joined<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    values: impl Iterator<Item = T>,
) -> fmt::Result {
    let mut before = key;
    for value in values {
        f.write_str(before)?;
        value.fmt(f)?;
        before = ",";
    }
    Ok(())
}

/// Printable ASCII as it is, every other byte as `?`, and no more than leaves room for the
/// rest of the line.
pub struct Clean<'a>(pub &'a [u8]);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cleaned(f, self.0, b' ')
    }
}

/// The same without spaces: a value that is not the last of its line.
struct Word<'a>(&'a [u8]);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cleaned(f, self.0, b'!')
    }
}

fn cleaned(f: &mut fmt::Formatter<'_>, text: &[u8], lowest: u8) -> fmt::Result {
    let printable = |byte: &u8| (lowest..=b'~').contains(byte);
    text.iter()
        .take(MAX_LINE - 128)
        .try_for_each(|byte| f.write_char(char::from(if printable(byte) { *byte } else { b'?' })))
}

/// A report written out, with its line feed.
pub struct Line {
    bytes: [u8; MAX_LINE],
    len: usize,
}

impl Line {
    /// Writes `report` out.
    pub fn of(report: &Report<'_>) -> Line {
        let mut line = Line {
            bytes: [0; MAX_LINE],
            len: 0,
        };
        // what finds no room is left off; the line feed always has room
        let _ = write!(line, "{report}");
        line.bytes[line.len] = b'\n';
        line.len += 1;
        line
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = MAX_LINE - 1 - self.len;
        let taken = s.len().min(room);
        self.bytes[self.len..self.len + taken].copy_from_slice(&s.as_bytes()[..taken]);
        self.len += taken;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
