//! What the client says.

use super::{COOKIE, HEADER_LEN, code};
use crate::net::Mac;
use core::net::Ipv4Addr;

/// Length of every message the client sends: the least that BOOTP relays accept (RFC 1542
/// section 2.1).
pub const MESSAGE_LEN: usize = 300;

/// The largest IP datagram the client takes (option 57): an Ethernet frame's.
const MAX_MESSAGE: u16 = 1500;

/// The parameter list (option 55). The host name is asked for and therefore never sent: some
/// servers answer neither to a client that does both. The MTU comes last, so that it is left off
/// by asking for one parameter less; classless routes come before routers, as RFC 3442 wants.
const PARAMETERS: [u8; 9] = [
    code::SUBNET_MASK,
    code::CLASSLESS_ROUTES,
    code::ROUTER,
    code::NAME_SERVER,
    code::HOST_NAME,
    code::DOMAIN_NAME,
    code::NTP,
    code::DOMAIN_SEARCH,
    code::MTU,
];

/// The message types of a client that wants an address (RFC 2131 table 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// Who has an address for me?
    Discover,
    /// I take the address that this server offered (SELECTING).
    Take {
        /// The offered address.
        address: Ipv4Addr,
        /// The server's identifier.
        server: Ipv4Addr,
    },
    /// May I still have this address? (INIT-REBOOT)
    Confirm {
        /// The address held before.
        address: Ipv4Addr,
    },
    /// Prolong the lease of the address I use (RENEWING, REBINDING).
    Extend {
        /// The address in use.
        address: Ipv4Addr,
    },
}

/// One message of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The client's Ethernet address.
    pub mac: Mac,
    /// Names the exchange; a server repeats it.
    pub xid: u32,
    /// Seconds since the exchange began.
    pub secs: u16,
    /// What is said.
    pub say: Say,
    /// Whether the parameter list asks for the MTU (option 26): Azure is silent when it does.
    pub ask_mtu: bool,
}

impl Outgoing {
    /// The message's bytes, to be carried over UDP.
    #[must_use]
    pub fn encode(&self) -> [u8; MESSAGE_LEN] {
        let mut writer = Writer {
            bytes: [0; MESSAGE_LEN],
            at: 0,
        };
        // op 1 (request), hardware type 1 (Ethernet), hardware address length 6, hops 0
        writer.put(&[1, 1, 6, 0]);
        writer.put(&self.xid.to_be_bytes());
        writer.put(&self.secs.to_be_bytes());
        // no broadcast flag: the packet socket sees unicasts to an address not yet ours
        writer.put(&[0, 0]);
        if let Say::Extend { address } = self.say {
            writer.put(&address.octets());
        }
        writer.at = 28;
        writer.put(&self.mac.0);
        writer.at = HEADER_LEN;
        writer.put(&COOKIE);
        let (kind, requested, server) = match self.say {
            Say::Discover => (1, None, None),
            Say::Take { address, server } => (3, Some(address), Some(server)),
            Say::Confirm { address } => (3, Some(address), None),
            Say::Extend { .. } => (3, None, None),
        };
        writer.put(&[code::MESSAGE_TYPE, 1, kind]);
        // the hardware type and address, as a server without option 61 would use
        writer.put(&[code::CLIENT_ID, 7, 1]);
        writer.put(&self.mac.0);
        if let Some(address) = requested {
            writer.put(&[code::REQUESTED_ADDRESS, 4]);
            writer.put(&address.octets());
        }
        if let Some(server) = server {
            writer.put(&[code::SERVER_ID, 4]);
            writer.put(&server.octets());
        }
        writer.put(&[code::MAX_MESSAGE, 2]);
        writer.put(&MAX_MESSAGE.to_be_bytes());
        let asked = if self.ask_mtu {
            &PARAMETERS[..]
        } else {
            &PARAMETERS[..PARAMETERS.len() - 1]
        };
        // at most nine
        writer.put(&[code::PARAMETER_LIST, asked.len() as u8]);
        writer.put(asked);
        writer.put(&[code::END]);
        writer.bytes
    }
}

struct Writer {
    bytes: [u8; MESSAGE_LEN],
    at: usize,
}

impl Writer {
    /// Writes `bytes` and goes on behind them. The longest message of this client takes 280 of
    /// its 300 bytes, so there is always room.
    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.at..self.at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.at += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const MAC: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);

    /// The options of a message as pairs, read without the crate's own reader.
    fn options(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut at = 240;
        let mut found = Vec::new();
        while bytes[at] != 255 {
            let len = usize::from(bytes[at + 1]);
            found.push((bytes[at], bytes[at + 2..at + 2 + len].to_vec()));
            at += 2 + len;
        }
        assert!(bytes[at + 1..].iter().all(|b| *b == 0));
        found
    }

    fn say(say: Say, ask_mtu: bool) -> [u8; MESSAGE_LEN] {
        Outgoing {
            mac: MAC,
            xid: 0x0102_0304,
            secs: 5,
            say,
            ask_mtu,
        }
        .encode()
    }

    #[test]
    fn a_discover_byte_for_byte() {
        let bytes = say(Say::Discover, true);
        assert_eq!(
            bytes[..16],
            [1, 1, 6, 0, 1, 2, 3, 4, 0, 5, 0, 0, 0, 0, 0, 0]
        );
        assert!(bytes[16..28].iter().all(|b| *b == 0));
        assert_eq!(bytes[28..34], MAC.0);
        assert!(bytes[34..236].iter().all(|b| *b == 0));
        assert_eq!(bytes[236..240], [99, 130, 83, 99]);
        assert_eq!(
            options(&bytes),
            [
                (53, [1].to_vec()),
                (61, [1, 0x52, 0x54, 0, 1, 2, 3].to_vec()),
                (57, [5, 220].to_vec()),
                (55, [1, 121, 3, 6, 12, 15, 42, 119, 26].to_vec()),
            ]
        );
    }

    #[test]
    fn the_mtu_is_left_off_when_told() {
        let with = options(&say(Say::Discover, true));
        let without = options(&say(Say::Discover, false));
        assert!(with[3].1.contains(&26));
        assert_eq!(without[3], (55, [1, 121, 3, 6, 12, 15, 42, 119].to_vec()));
    }

    #[test]
    fn each_request_carries_what_its_state_demands() {
        let address = Ipv4Addr::new(10, 0, 2, 15);
        let server = Ipv4Addr::new(10, 0, 2, 2);
        // RFC 2131 table 4: ciaddr, option 50, option 54
        for (what, ciaddr, requested, identifier) in [
            (Say::Take { address, server }, false, true, true),
            (Say::Confirm { address }, false, true, false),
            (Say::Extend { address }, true, false, false),
        ] {
            let bytes = say(what, true);
            let options = options(&bytes);
            let expected = if ciaddr { address.octets() } else { [0; 4] };
            assert_eq!(bytes[12..16], expected, "{what:?}");
            assert_eq!(options[0], (53, [3].to_vec()));
            assert_eq!(
                options.contains(&(50, address.octets().to_vec())),
                requested
            );
            assert_eq!(
                options.contains(&(54, server.octets().to_vec())),
                identifier
            );
        }
    }

    #[test]
    fn a_host_name_is_asked_for_and_never_sent() {
        for ask_mtu in [true, false] {
            let options = options(&say(Say::Discover, ask_mtu));
            assert!(options[3].1.contains(&12));
            assert!(options.iter().all(|(code, _)| *code != 12));
        }
    }
}
