//! Reports out of lines.

use core::net::{IpAddr, Ipv4Addr};

use super::{FAILURES, Moment, Network, PREFIX, Report, STOPS, Subject, Verdict, named};
use crate::list::List;

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
        "denied" => Some(Report::Denied {
            call: pairs.get("call")?,
            pid: pairs.number("pid")?,
            comm: pairs.get("comm").unwrap_or_default().as_bytes(),
            count: pairs.number("count")?,
            subject: subject(pairs)?,
        }),
        "called" => Some(Report::Called {
            call: pairs.get("call")?,
        }),
        "stopping" => Some(Report::Stopping {
            reason: named(&STOPS, pairs.get("reason")?)?,
        }),
        "verdict" => verdict(pairs).map(Report::Verdict),
        _ => None,
    }
}

fn subject(pairs: Pairs<'_>) -> Option<Subject<'_>> {
    if let Some(path) = pairs.tail("path") {
        return Some(Subject::Path(path.as_bytes()));
    }
    Some(match pairs.get("address") {
        Some(address) => Subject::Socket(address.parse().ok()?, pairs.number("port")?),
        None => Subject::None,
    })
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
pub(super) struct Pairs<'a>(pub(super) &'a str);

impl<'a> Pairs<'a> {
    /// The value of `key`, up to the next space.
    pub(super) fn get(self, key: &str) -> Option<&'a str> {
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
