//! The configuration of PID 1: a file in the initramfs, written by the host.
//!
//! The file is [`PATH`] in the guest. It holds the record [`HEADER`] and then one record
//! per setting; every record is `key=value` ended by one NUL byte. Values are plain bytes
//! without NUL, so that a path, an argument or a variable stands in the file exactly as
//! the kernel takes it. `app` occurs once; `arg`, `env`, `nameserver` and `port` may
//! repeat and keep their order; of any other key the last record counts.

use core::fmt::{self, Write};
use core::net::{IpAddr, Ipv4Addr};

use crate::plain::{self, Address, Decimal, Plain};

/// Where the file lies in the guest.
pub const PATH: &str = "/ampoule/config";

/// The first record: format and version.
pub const HEADER: &[u8] = b"ampoule-config 1\0";

/// How many ports an appliance can declare.
pub const MAX_PORTS: usize = 32;

/// How many name servers count: the limit of resolv.conf(5), `MAXNS`.
pub const MAX_NAMESERVERS: usize = 3;

/// The longest host name: sethostname(2), `__NEW_UTS_LEN`.
pub const MAX_HOSTNAME: usize = 64;

/// One record of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting<'a> {
    /// `app`: path of the program in the guest, from the root.
    App(&'a [u8]),
    /// `arg`: one argument; the first is the program's `argv[0]`.
    Arg(&'a [u8]),
    /// `env`: one variable, `NAME=value`.
    Env(&'a [u8]),
    /// `workdir`: directory that the program starts in.
    Workdir(&'a [u8]),
    /// `uid`: user that the program runs as.
    Uid(u32),
    /// `gid`: group that the program runs as.
    Gid(u32),
    /// `hostname`: at most [`MAX_HOSTNAME`] bytes.
    Hostname(&'a [u8]),
    /// `network`: how the machine gets its addresses.
    Network(Network),
    /// `nameserver`: with a static network the name servers, else added after DHCP's.
    Nameserver(IpAddr),
    /// `port`: a TCP port that the program is expected to listen on; not 0.
    Port(u16),
    /// `on-exit`: what follows the end of the program, or of PID 1 itself.
    OnExit(OnExit),
    /// `grace`: seconds between SIGTERM and SIGKILL.
    Grace(u32),
    /// `dhcp-wait`: seconds that the program waits for an address before it starts
    /// without; 0 means for ever.
    DhcpWait(u32),
    /// `seccomp`: which filter of system calls the program gets.
    Seccomp(Seccomp),
}

/// Which filter the program gets, and what PID 1 makes of the calls that it hands over. The
/// filter itself is the file [`crate::seccomp::PATH`], which is there unless this is `Off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// `off`: none.
    Off,
    /// `default`: one that refuses what no server needs.
    Default,
    /// `derived`: one that allows what the program's code holds.
    Derived,
    /// `learned`: one that allows what the configuration lists.
    Learned,
    /// `learning`: one that hands everything over, and PID 1 lets it go on and tells it.
    Learning,
}

/// How the machine gets its IPv4 address. IPv6 configures itself from router
/// advertisements, except with `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// `dhcp`
    Dhcp,
    /// `none`: loopback alone.
    None,
    /// `static ADDRESS/PREFIX [GATEWAY]`
    Static {
        /// The machine's address.
        address: Ipv4Addr,
        /// Length of the network prefix in bits, 0 to 32.
        prefix: u8,
        /// Router of the default route, if there is one.
        gateway: Option<Ipv4Addr>,
    },
}

/// What PID 1 does when there is nothing left to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    /// `poweroff`
    PowerOff,
    /// `reboot`
    Reboot,
}

/// Why a value cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NulInValue;

impl fmt::Display for NulInValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the configuration holds a NUL byte; remove it")
    }
}

impl core::error::Error for NulInValue {}

/// Writes one record, with its NUL, to `out`. A value with a NUL byte inside would read
/// back as two records: it is refused, and nothing is written.
pub fn encode(setting: &Setting<'_>, out: &mut dyn FnMut(&[u8])) -> Result<(), NulInValue> {
    let (key, value) = split(setting);
    if let Value::Bytes(bytes) = value {
        if bytes.contains(&0) {
            return Err(NulInValue);
        }
    }
    out(key.as_bytes());
    out(b"=");
    match value {
        Value::Bytes(bytes) => out(bytes),
        Value::Number(number) => text(out, format_args!("{}", Decimal(number.into()))),
        Value::Address(address) => text(out, format_args!("{}", Address(address))),
        Value::Network(network) => text(out, format_args!("{network}")),
    }
    out(b"\0");
    Ok(())
}

/// What a setting's value is written as.
enum Value<'a> {
    Bytes(&'a [u8]),
    Number(u32),
    Address(IpAddr),
    Network(Network),
}

fn split<'a>(setting: &Setting<'a>) -> (&'static str, Value<'a>) {
    match *setting {
        Setting::App(path) => ("app", Value::Bytes(path)),
        Setting::Arg(arg) => ("arg", Value::Bytes(arg)),
        Setting::Env(variable) => ("env", Value::Bytes(variable)),
        Setting::Workdir(path) => ("workdir", Value::Bytes(path)),
        Setting::Uid(uid) => ("uid", Value::Number(uid)),
        Setting::Gid(gid) => ("gid", Value::Number(gid)),
        Setting::Hostname(name) => ("hostname", Value::Bytes(name)),
        Setting::Network(network) => ("network", Value::Network(network)),
        Setting::Nameserver(address) => ("nameserver", Value::Address(address)),
        Setting::Port(port) => ("port", Value::Number(port.into())),
        Setting::OnExit(policy) => ("on-exit", Value::Bytes(policy.as_str().as_bytes())),
        Setting::Grace(seconds) => ("grace", Value::Number(seconds)),
        Setting::DhcpWait(seconds) => ("dhcp-wait", Value::Number(seconds)),
        Setting::Seccomp(filter) => ("seccomp", Value::Bytes(filter.as_str().as_bytes())),
    }
}

fn text(out: &mut dyn FnMut(&[u8]), args: fmt::Arguments<'_>) {
    struct Out<'o>(&'o mut dyn FnMut(&[u8]));
    impl Write for Out<'_> {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            (self.0)(s.as_bytes());
            Ok(())
        }
    }
    // numbers and addresses never fail to format, nor does this writer
    let _ = Out(out).write_fmt(args);
}

impl OnExit {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            OnExit::PowerOff => "poweroff",
            OnExit::Reboot => "reboot",
        }
    }
}

impl Seccomp {
    const ALL: [Seccomp; 5] = [
        Seccomp::Off,
        Seccomp::Default,
        Seccomp::Derived,
        Seccomp::Learned,
        Seccomp::Learning,
    ];

    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Seccomp::Off => "off",
            Seccomp::Default => "default",
            Seccomp::Derived => "derived",
            Seccomp::Learned => "learned",
            Seccomp::Learning => "learning",
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Network::Dhcp => f.write_str("dhcp"),
            Network::None => f.write_str("none"),
            Network::Static {
                address,
                prefix,
                gateway,
            } => {
                let prefix = Decimal(prefix.into());
                write!(f, "static {}/{prefix}", Address(address.into()))?;
                match gateway {
                    Some(gateway) => write!(f, " {}", Address(gateway.into())),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Why a configuration was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The record that it was found in: 0 is the header.
    pub record: usize,
    /// What is wrong with it.
    pub what: What,
}

/// What can be wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The file does not begin with [`HEADER`].
    Header,
    /// The last record has no NUL: the file was cut.
    Cut,
    /// A record without `=`.
    NoEqualsSign,
    /// A key that this version does not know.
    UnknownKey,
    /// A value that the key does not take.
    BadValue,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Header => "is not the header of a configuration of version 1",
            What::Cut => "is cut short",
            What::NoEqualsSign => "has no equals sign",
            What::UnknownKey => "has an unknown key",
            What::BadValue => "has a bad value",
        };
        write!(
            f,
            "record {} of the configuration {}",
            Decimal(self.record as u64),
            Plain(what)
        )
    }
}

impl core::error::Error for ParseError {}

/// The settings of a configuration file, in its order. Ends after the first error.
#[derive(Clone, Debug, Default)]
pub struct Settings<'a> {
    rest: &'a [u8],
    record: usize,
}

/// Checks the header of `file` and gives its settings.
///
/// # Errors
/// [`What::Header`] when this is not a configuration, or one of another version.
pub fn parse(file: &[u8]) -> Result<Settings<'_>, ParseError> {
    match file.strip_prefix(HEADER) {
        Some(rest) => Ok(Settings { rest, record: 0 }),
        None => Err(ParseError {
            record: 0,
            what: What::Header,
        }),
    }
}

impl<'a> Iterator for Settings<'a> {
    type Item = Result<Setting<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        self.record += 1;
        let found = match self.rest.iter().position(|byte| *byte == 0) {
            Some(end) => {
                let record = &self.rest[..end];
                self.rest = &self.rest[end + 1..];
                read(record)
            }
            None => Err(What::Cut),
        };
        Some(found.map_err(|what| {
            self.rest = &[];
            ParseError {
                record: self.record,
                what,
            }
        }))
    }
}

fn read(record: &[u8]) -> Result<Setting<'_>, What> {
    let equals = record
        .iter()
        .position(|byte| *byte == b'=')
        .ok_or(What::NoEqualsSign)?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    let setting = match key {
        b"app" => rooted(value).map(Setting::App),
        b"arg" => Some(Setting::Arg(value)),
        b"env" => variable(value).map(Setting::Env),
        b"workdir" => rooted(value).map(Setting::Workdir),
        b"uid" => number(value).map(Setting::Uid),
        b"gid" => number(value).map(Setting::Gid),
        b"hostname" => hostname(value).map(Setting::Hostname),
        b"network" => network(value).map(Setting::Network),
        b"nameserver" => plain::address(value).map(Setting::Nameserver),
        b"port" => port(value).map(Setting::Port),
        b"on-exit" => on_exit(value).map(Setting::OnExit),
        b"grace" => number(value).map(Setting::Grace),
        b"dhcp-wait" => number(value).map(Setting::DhcpWait),
        b"seccomp" => seccomp(value).map(Setting::Seccomp),
        _ => return Err(What::UnknownKey),
    };
    setting.ok_or(What::BadValue)
}

fn rooted(value: &[u8]) -> Option<&[u8]> {
    value.starts_with(b"/").then_some(value)
}

fn variable(value: &[u8]) -> Option<&[u8]> {
    let name = value.iter().position(|byte| *byte == b'=')?;
    (name > 0).then_some(value)
}

fn hostname(value: &[u8]) -> Option<&[u8]> {
    (1..=MAX_HOSTNAME).contains(&value.len()).then_some(value)
}

fn number(value: &[u8]) -> Option<u32> {
    plain::decimal(value, u32::MAX.into()).map(|number| number as u32)
}

fn port(value: &[u8]) -> Option<u16> {
    plain::decimal(value, u16::MAX.into())
        .map(|port| port as u16)
        .filter(|port| *port != 0)
}

fn on_exit(value: &[u8]) -> Option<OnExit> {
    [OnExit::PowerOff, OnExit::Reboot]
        .into_iter()
        .find(|one| one.as_str().as_bytes() == value)
}

fn seccomp(value: &[u8]) -> Option<Seccomp> {
    Seccomp::ALL
        .into_iter()
        .find(|one| one.as_str().as_bytes() == value)
}

fn network(value: &[u8]) -> Option<Network> {
    match value {
        b"dhcp" => return Some(Network::Dhcp),
        b"none" => return Some(Network::None),
        _ => {}
    }
    let mut words = value.strip_prefix(b"static ")?.split(|byte| *byte == b' ');
    let mut network = words.next()?.splitn(2, |byte| *byte == b'/');
    let address = plain::ipv4(network.next()?)?;
    let prefix = plain::decimal(network.next()?, 32)? as u8;
    let gateway = match words.next() {
        Some(gateway) => Some(plain::ipv4(gateway)?),
        None => None,
    };
    words.next().is_none().then_some(Network::Static {
        address,
        prefix,
        gateway,
    })
}

#[cfg(test)]
mod tests;
