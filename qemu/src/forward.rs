//! Ports of the host that lead into the guest.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::str::FromStr;

use crate::Error;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// One port of the host that leads to one of the guest.
///
/// Its text form is `[ADDRESS:]HOST:GUEST[/tcp|/udp]`. Without an address it is 127.0.0.1, so
/// that nothing is offered to the network unasked; an IPv6 address stands in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Forward {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The host's address to bind to.
    pub address: IpAddr,
    /// The host's port; 0 takes a free one, which [`crate::Vm::forwards`] then tells.
    pub host: u16,
    /// The guest's port.
    pub guest: u16,
}

impl Forward {
    /// A TCP forward from a free port of 127.0.0.1 to `guest`.
    pub fn to(guest: u16) -> Forward {
        Forward {
            protocol: Protocol::Tcp,
            address: Ipv4Addr::LOCALHOST.into(),
            host: 0,
            guest,
        }
    }

    /// Where the host listens.
    pub fn host_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.host)
    }

    /// The value of QEMU's `hostfwd=`.
    pub(crate) fn rule(&self) -> String {
        let Forward {
            protocol,
            address,
            host,
            guest,
        } = self;
        format!("{protocol}:{address}:{host}-:{guest}")
    }

    /// Finds out before QEMU does whether the port can be had, for a better message. QEMU binds
    /// it again: that a moment lies between is why its own refusal is understood too.
    pub(crate) fn check_free(&self) -> Result<(), Error> {
        let bound = match self.protocol {
            Protocol::Tcp => TcpListener::bind(self.host_address()).map(drop),
            Protocol::Udp => UdpSocket::bind(self.host_address()).map(drop),
        };
        bound.map_err(|source| self.unusable(source))
    }

    /// Why the port could not be had.
    pub(crate) fn unusable(&self, source: std::io::Error) -> Error {
        let (address, port) = (self.address.to_string(), self.host);
        match source.kind() {
            std::io::ErrorKind::AddrInUse => Error::PortInUse { address, port },
            _ => Error::PortUnusable {
                address,
                port,
                source,
            },
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}/{}",
            self.host_address(),
            self.guest,
            self.protocol
        )
    }
}

impl FromStr for Forward {
    type Err = Error;

    fn from_str(text: &str) -> Result<Forward, Error> {
        let bad = |reason| Error::BadForward {
            text: text.to_owned(),
            reason,
        };
        let (ports, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(bad("the protocol after the slash is tcp or udp")),
        };
        let (rest, guest) = ports
            .rsplit_once(':')
            .ok_or_else(|| bad("there is no colon in it"))?;
        let guest: u16 = guest
            .parse()
            .map_err(|_| bad("the guest's port is a number up to 65535"))?;
        if guest == 0 {
            return Err(bad("the guest's port cannot be 0"));
        }
        let (address, host) = match rest.rsplit_once(':') {
            None => (Ipv4Addr::LOCALHOST.into(), rest),
            Some((address, host)) => {
                let bracketed = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
                let parsed = match bracketed {
                    Some(v6) => v6.parse().map(IpAddr::V6),
                    None => address.parse().map(IpAddr::V4),
                };
                let reason = "the address is no IPv4 address, nor an IPv6 one in brackets";
                (parsed.map_err(|_| bad(reason))?, host)
            }
        };
        let host = host
            .parse()
            .map_err(|_| bad("the host's port is a number up to 65535"))?;
        Ok(Forward {
            protocol,
            address,
            host,
            guest,
        })
    }
}

/// Fills in the host ports that QEMU chose, from what its `info usernet` says.
///
/// The lines look like `TCP[HOST_FORWARD]   3       127.0.0.1 34767       10.0.2.15    80     0     0`.
pub(crate) fn fill_in(forwards: &mut [Forward], usernet: &str) -> Result<(), Error> {
    let mut told: Vec<(Protocol, u16, u16)> = usernet.lines().filter_map(told_forward).collect();
    told.retain(|told| {
        !forwards
            .iter()
            .any(|f| *told == (f.protocol, f.host, f.guest))
    });
    for forward in forwards.iter_mut().filter(|forward| forward.host == 0) {
        let found = told.iter().position(|(protocol, _, guest)| {
            *protocol == forward.protocol && *guest == forward.guest
        });
        let Some(at) = found else {
            return Err(Error::Qmp(format!(
                "it does not tell the port chosen for {forward}"
            )));
        };
        forward.host = told.remove(at).1;
    }
    Ok(())
}

fn told_forward(line: &str) -> Option<(Protocol, u16, u16)> {
    let mut words = line.split_whitespace();
    let protocol = match words.next()? {
        "TCP[HOST_FORWARD]" => Protocol::Tcp,
        "UDP[HOST_FORWARD]" => Protocol::Udp,
        _ => return None,
    };
    let (_fd, _address, host) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
    let (_guest_address, guest) = (words.next()?, words.next()?.parse().ok()?);
    Some((protocol, host, guest))
}

/// Finds the forward that a message of QEMU's says it could not set up.
pub(crate) fn refused<'a>(forwards: &'a [Forward], stderr: &str) -> Option<&'a Forward> {
    // "Could not set up host forwarding rule 'tcp:127.0.0.1:8080-:80'", with or without a cause
    let (_, rest) = stderr.split_once("Could not set up host forwarding rule '")?;
    let (rule, _) = rest.split_once('\'')?;
    forwards.iter().find(|forward| forward.rule() == rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match text.parse::<Forward>() {
            Ok(forward) => forward.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn forwards_are_read_in_all_their_forms() {
        assert_eq!(parsed("8080:80"), "127.0.0.1:8080:80/tcp");
        assert_eq!(parsed("0.0.0.0:8080:80"), "0.0.0.0:8080:80/tcp");
        assert_eq!(parsed("53:53/udp"), "127.0.0.1:53:53/udp");
        assert_eq!(parsed("[::1]:8080:80/tcp"), "[::1]:8080:80/tcp");
        assert_eq!(parsed("0:80"), "127.0.0.1:0:80/tcp");
    }

    #[test]
    fn what_is_no_forward_is_refused() {
        for text in [
            "",
            "80",
            "8080:",
            ":80",
            "8080:0",
            "8080:65536",
            "-1:80",
            "a:80",
            "80:80/sctp",
        ] {
            assert!(text.parse::<Forward>().is_err(), "{text:?} was accepted");
        }
        for text in [
            "::1:8080:80",
            "localhost:8080:80",
            "[127.0.0.1]:8080:80",
            "1.2.3:8080:80",
        ] {
            assert!(text.parse::<Forward>().is_err(), "{text:?} was accepted");
        }
        assert_eq!(
            parsed("80"),
            "error: \"80\" is no port forward: there is no colon in it; write HOST:GUEST, as 8080:80, or ADDRESS:HOST:GUEST"
        );
    }

    const USERNET: &str = "Hub -1 (net0):\r
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r
  TCP[ESTABLISHED]   9       127.0.0.1 40000       10.0.2.15    80     0     0\r
  UDP[HOST_FORWARD]  4       127.0.0.1 41000       10.0.2.15    80     0     0\r
  TCP[HOST_FORWARD]  5       127.0.0.1  9000       10.0.2.15    80     0     0\r
  TCP[HOST_FORWARD]  3       127.0.0.1 34767       10.0.2.15    80     0     0\r
";

    #[test]
    fn chosen_ports_are_read_from_usernet() {
        let mut forwards = [
            Forward::to(80),
            "9000:80".parse().unwrap(),
            "0:80/udp".parse().unwrap(),
        ];
        fill_in(&mut forwards, USERNET).unwrap();
        assert_eq!(forwards.map(|forward| forward.host), [34767, 9000, 41000]);
    }

    #[test]
    fn a_port_that_is_not_told_is_an_error() {
        assert!(fill_in(&mut [Forward::to(81)], USERNET).is_err());
    }

    #[test]
    fn a_refused_rule_is_found_in_the_message() {
        let forwards: Vec<Forward> = ["8080:80", "8081:81"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let stderr = "qemu-system-x86_64: -netdev user,id=net0: Could not set up host forwarding rule 'tcp:127.0.0.1:8081-:81'\n";
        assert_eq!(refused(&forwards, stderr), Some(&forwards[1]));
        assert_eq!(refused(&forwards, "other"), None);
    }

    #[test]
    fn a_bound_port_is_in_use() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().port();
        let error = Forward {
            host,
            ..Forward::to(80)
        }
        .check_free()
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "port {host} on 127.0.0.1 is in use; choose another one, or stop what listens there"
            )
        );
    }
}
