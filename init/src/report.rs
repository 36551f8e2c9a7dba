//! The lines that PID 1 tells its host.
//!
//! Each report is one line of printable ASCII that begins with [`PREFIX`]. A word says
//! what is reported, `key=value` pairs follow, separated by one space; the last value of
//! a line may hold spaces. Readers skip keys that they do not know. The same lines go to
//! the console and to the virtio-serial port named [`PORT`], where PID 1 is the only
//! writer. On the console the program's own output stands between them: PID 1 relays it
//! and puts [`ESCAPE`] before a line that begins with [`MARK`], so that no program can
//! forge a report.

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
    /// `stopping`: the machine was asked to stop.
    Stopping {
        /// By what.
        reason: Stop,
    },
    /// `verdict`: how it ended. Exactly one, and the last line.
    Verdict(Verdict<'a>),
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
                    Clean(path)
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
            Report::Stopping { reason } => write!(f, "stopping reason={}", Plain(reason.as_str())),
            Report::Verdict(verdict) => write!(f, "verdict {verdict}"),
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
            Network::Failed { reason } => write!(f, "failed reason={}", Clean(reason)),
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
                    Clean(reason)
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

/// Printable ASCII as it is, every other character as `?`, and no more than leaves room
/// for the rest of the line.
struct Clean<'a>(&'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        self.0
            .chars()
            .take(MAX_LINE - 128)
            .try_for_each(|c| f.write_char(printable(c)))
    }
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

/// Reads one line, with or without its line end. `None`: this is no report, or one that
/// this version does not know.
pub fn parse(line: &[u8]) -> Option<Report<'_>> {
    let line = core::str::from_utf8(line).ok()?;
    let line = line.strip_prefix(PREFIX)?.trim_end_matches(['\r', '\n']);
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let pairs = Pairs(rest);
    match word {
        "start" => Some(Report::Start {
            version: pairs.get("version")?,
            at: pairs.moment()?,
        }),
        "network" => network(pairs).map(Report::Network),
        "app" => Some(Report::App {
            pid: pairs.number("pid")?,
            at: pairs.moment()?,
            path: pairs.tail("path")?,
        }),
        "ready" => Some(Report::Ready {
            ports: pairs.list("port", 0)?,
        }),
        "loopback-only" => Some(Report::LoopbackOnly {
            port: pairs.number("port")?,
        }),
        "stopping" => Some(Report::Stopping {
            reason: named(&STOPS, pairs.get("reason")?)?,
        }),
        "verdict" => verdict(pairs).map(Report::Verdict),
        _ => None,
    }
}

fn network(pairs: Pairs<'_>) -> Option<Network<'_>> {
    match pairs.0.split(' ').next()? {
        "none" => return Some(Network::None),
        "failed" => {
            return Some(Network::Failed {
                reason: pairs.tail("reason")?,
            });
        }
        _ => {}
    }
    let (address, prefix) = pairs.get("address")?.split_once('/')?;
    Some(Network::Up {
        interface: pairs.get("interface")?,
        address: address.parse().ok()?,
        prefix: prefix.parse().ok().filter(|bits| *bits <= 32)?,
        gateway: match pairs.get("gateway") {
            Some(gateway) => Some(gateway.parse().ok()?),
            None => None,
        },
        mtu: pairs.number("mtu")?,
        dns: pairs.list("dns", IpAddr::V4(Ipv4Addr::UNSPECIFIED))?,
    })
}

fn verdict(pairs: Pairs<'_>) -> Option<Verdict<'_>> {
    let (key, value) = pairs.0.split(' ').next()?.split_once('=')?;
    match key {
        "exit" => value.parse().ok().map(Verdict::Exit),
        "signal" => value.parse().ok().map(Verdict::Signal),
        "failed" => Some(Verdict::Failed {
            code: named(&FAILURES, value)?,
            reason: pairs.tail("reason")?,
        }),
        _ => None,
    }
}

/// The `key=value` pairs of a line.
#[derive(Clone, Copy)]
struct Pairs<'a>(&'a str);

impl<'a> Pairs<'a> {
    /// The value of `key`, up to the next space.
    fn get(self, key: &str) -> Option<&'a str> {
        self.tail(key)?.split(' ').next()
    }

    /// The value of `key` with all that follows it.
    fn tail(self, key: &str) -> Option<&'a str> {
        let mut rest = self.0;
        loop {
            if let Some(value) = rest
                .strip_prefix(key)
                .and_then(|rest| rest.strip_prefix('='))
            {
                return Some(value);
            }
            rest = rest.split_once(' ')?.1;
        }
    }

    fn number<T: core::str::FromStr>(self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }

    fn moment(self) -> Option<Moment> {
        Some(Moment {
            uptime_us: self.number("uptime-us")?,
            tsc: self.number("tsc"),
        })
    }

    /// Values separated by commas; an absent key is an empty list.
    fn list<T: Copy + core::str::FromStr, const N: usize>(
        self,
        key: &str,
        fill: T,
    ) -> Option<List<T, N>> {
        let mut list = List::new(fill);
        if let Some(values) = self.get(key) {
            for value in values.split(',') {
                if !list.push(value.parse().ok()?) {
                    return None;
                }
            }
        }
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    const AT: Moment = Moment {
        uptime_us: 370_012,
        tsc: Some(412_000_000),
    };

    fn ports(values: &[u16]) -> Ports {
        List::of(0, values).0
    }

    fn up() -> Network<'static> {
        Network::Up {
            interface: "eth0",
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            mtu: 1500,
            dns: Servers::of(
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                &["10.0.2.3".parse().unwrap(), "fec0::3".parse().unwrap()],
            )
            .0,
        }
    }

    /// Every kind of report with the line that stands for it.
    fn table() -> [(Report<'static>, &'static str); 16] {
        let bare = Network::Up {
            interface: "eth0",
            address: Ipv4Addr::new(10, 1, 0, 9),
            prefix: 32,
            gateway: None,
            mtu: 1460,
            dns: Servers::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        };
        let failed = |code, reason| Report::Verdict(Verdict::Failed { code, reason });
        [
            (
                Report::Start {
                    version: "0.1.0",
                    at: AT,
                },
                "start version=0.1.0 uptime-us=370012 tsc=412000000",
            ),
            (
                Report::Start {
                    version: "0.1.0",
                    at: Moment {
                        uptime_us: 1,
                        tsc: None,
                    },
                },
                "start version=0.1.0 uptime-us=1",
            ),
            (Report::Network(Network::None), "network none"),
            (
                Report::Network(up()),
                "network interface=eth0 address=10.0.2.15/24 gateway=10.0.2.2 mtu=1500 \
                 dns=10.0.2.3,fec0::3",
            ),
            (
                Report::Network(bare),
                "network interface=eth0 address=10.1.0.9/32 mtu=1460",
            ),
            (
                Report::Network(Network::Failed {
                    reason: "no DHCP answer in 60 s",
                }),
                "network failed reason=no DHCP answer in 60 s",
            ),
            (
                Report::App {
                    pid: 7,
                    at: AT,
                    path: "/app/a b",
                },
                "app pid=7 uptime-us=370012 tsc=412000000 path=/app/a b",
            ),
            (Report::Ready { ports: ports(&[]) }, "ready"),
            (
                Report::Ready {
                    ports: ports(&[8080]),
                },
                "ready port=8080",
            ),
            (
                Report::Ready {
                    ports: ports(&[80, 443]),
                },
                "ready port=80,443",
            ),
            (
                Report::LoopbackOnly { port: 8080 },
                "loopback-only port=8080",
            ),
            (
                Report::Stopping {
                    reason: Stop::CtrlAltDel,
                },
                "stopping reason=ctrl-alt-del",
            ),
            (Report::Verdict(Verdict::Exit(0)), "verdict exit=0"),
            (Report::Verdict(Verdict::Signal(9)), "verdict signal=9"),
            (
                failed(Failure::Exec, "execve /app/x: ENOEXEC"),
                "verdict failed=exec reason=execve /app/x: ENOEXEC",
            ),
            (
                failed(Failure::Panic, "init/src/main.rs:7"),
                "verdict failed=panic reason=init/src/main.rs:7",
            ),
        ]
    }

    #[test]
    fn every_report_has_its_line_and_every_line_its_report() {
        for (report, line) in table() {
            let line = [PREFIX, line].concat();
            assert_eq!(report.to_string(), line);
            assert_eq!(parse(line.as_bytes()), Some(report), "{line}");
            assert_eq!(
                parse([&line, "\r\n"].concat().as_bytes()),
                Some(report),
                "{line}"
            );
        }
    }

    #[test]
    fn every_stop_and_failure_has_a_name_of_its_own() {
        for (stop, name) in STOPS {
            assert_eq!(named(&STOPS, name), Some(stop));
        }
        for (failure, name) in FAILURES {
            assert_eq!(named(&FAILURES, name), Some(failure));
        }
    }

    #[test]
    fn what_is_no_report_is_none() {
        for line in [
            &b"ampoule:verdict exit=0"[..],
            b"| ampoule: verdict exit=0",
            b" ampoule: verdict exit=0",
            b"ampoule: verdict",
            b"ampoule: verdict exit=256",
            b"ampoule: verdict exit=",
            b"ampoule: verdict maybe exit=0",
            b"ampoule: verdict failed=bored reason=x",
            b"ampoule: verdict exit=0\xff",
            b"ampoule: ready port=x",
            b"ampoule: app pid=1",
            b"ampoule: hello",
            b"ampoule: ",
            b"",
        ] {
            assert_eq!(parse(line), None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn keys_of_a_later_version_are_skipped() {
        let line = b"ampoule: app pid=7 cpu=2 uptime-us=5 path=/app/x";
        let at = Moment {
            uptime_us: 5,
            tsc: None,
        };
        assert_eq!(
            parse(line),
            Some(Report::App {
                pid: 7,
                at,
                path: "/app/x"
            })
        );
    }

    #[test]
    fn a_key_is_not_found_inside_another() {
        assert_eq!(Pairs("uptime-us=3 us=4").get("us"), Some("4"));
    }

    #[test]
    fn a_value_cannot_break_its_line() {
        let reason = "a\nampoule: verdict exit=0\r\u{e9}\0";
        let line = Line::of(&Report::Verdict(Verdict::Failed {
            code: Failure::Exec,
            reason,
        }));
        let text = core::str::from_utf8(line.as_bytes()).unwrap();
        assert_eq!(
            text,
            "ampoule: verdict failed=exec reason=a?ampoule: verdict exit=0???\n"
        );
    }

    #[test]
    fn a_long_value_is_cut_and_the_line_ended() {
        let path: String = "x".repeat(4096);
        let line = Line::of(&Report::App {
            pid: u32::MAX,
            at: AT,
            path: &path,
        });
        let bytes = line.as_bytes();
        assert!(bytes.len() <= MAX_LINE && bytes.ends_with(b"x\n"));
        assert!(matches!(
            parse(bytes),
            Some(Report::App { pid: u32::MAX, .. })
        ));
    }

    #[test]
    fn the_longest_list_of_ports_fits() {
        let report = Report::Ready {
            ports: ports(&[65535; MAX_PORTS]),
        };
        assert_eq!(parse(Line::of(&report).as_bytes()), Some(report));
    }
}
