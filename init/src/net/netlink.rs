//! rtnetlink(7): requests to the kernel for links, addresses and routes, and its answers, as
//! bytes. Numbers are in the machine's order; constants are those of Linux,
//! include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,if}.h.

use super::{Mac, Route, mask};
use core::net::Ipv4Addr;

/// Length of `struct nlmsghdr`.
const HEADER_LEN: usize = 16;
/// No request is longer.
const MAX_REQUEST: usize = 96;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;

const AF_INET: u8 = 2;
/// `ARPHRD_ETHER` and `ARPHRD_LOOPBACK` (include/uapi/linux/if_arp.h).
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
const IFF_UP: u32 = 0x1;
const IFF_SLAVE: u32 = 0x800;
/// The driver has carrier.
const IFF_LOWER_UP: u32 = 0x1_0000;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTPROT_DHCP: u8 = 16;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;

/// The multicast group of link events (`RTMGRP_LINK`), as the socket's address takes it.
pub const GROUP_LINK: u32 = 1;

/// The number of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Index(pub u32);

/// The longest name of an interface (`IFNAMSIZ` with its NUL).
pub const MAX_NAME: usize = 16;

/// An interface as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its number.
    pub index: Index,
    /// What kind of device it is.
    pub kind: LinkKind,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether the driver has carrier.
    pub carrier: bool,
    /// Whether another interface speaks for it: the virtual function beside a Hyper-V card, which
    /// bears the same address (`IFF_SLAVE`).
    pub enslaved: bool,
    /// Its name, without the NUL.
    pub name: &'a [u8],
    /// Its Ethernet address; zero where it has none of six bytes.
    pub mac: Mac,
    /// Bytes of the largest packet.
    pub mtu: u32,
}

/// Kinds of interface, as far as they are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// `lo`
    Loopback,
    /// Whatever looks like Ethernet.
    Ethernet,
    /// Tunnels and the like.
    Other,
}

/// A message of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The interface is there, or has changed.
    Link(Link<'a>),
    /// The interface is gone.
    LinkGone(Index),
    /// The request with this sequence number was carried out (0) or failed (an error number).
    Done {
        /// The request's sequence number.
        sequence: u32,
        /// 0 or an error number, positive.
        errno: i32,
    },
    /// Something else.
    Other,
}

/// The messages in one datagram of the kernel, up to the first malformed one.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    /// Reads a datagram.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let len = ne32(self.0, 0)? as usize;
        let message = self.0.get(..len)?;
        let body = message.get(HEADER_LEN..)?;
        self.0 = self.0.get(aligned(len)..).unwrap_or_default();
        let sequence = ne32(message, 8)?;
        Some(match ne16(message, 4)? {
            RTM_NEWLINK => link(body).map_or(Message::Other, Message::Link),
            RTM_DELLINK => ne32(body, 4).map_or(Message::Other, |i| Message::LinkGone(Index(i))),
            NLMSG_ERROR => Message::Done {
                sequence,
                // errors come as negative numbers
                errno: i32::from_ne_bytes(*body.first_chunk()?).saturating_neg(),
            },
            NLMSG_DONE => Message::Done { sequence, errno: 0 },
            _ => Message::Other,
        })
    }
}

/// Reads a `struct ifinfomsg` and its attributes.
fn link(body: &[u8]) -> Option<Link<'_>> {
    let flags = ne32(body, 8)?;
    let mut link = Link {
        index: Index(ne32(body, 4)?),
        kind: match ne16(body, 2)? {
            ARPHRD_ETHER => LinkKind::Ethernet,
            ARPHRD_LOOPBACK => LinkKind::Loopback,
            _ => LinkKind::Other,
        },
        up: flags & IFF_UP != 0,
        carrier: flags & IFF_LOWER_UP != 0,
        enslaved: flags & IFF_SLAVE != 0,
        name: b"",
        mac: Mac::default(),
        mtu: 0,
    };
    let mut attributes = Attributes(body.get(16..)?);
    for (kind, value) in &mut attributes {
        match kind {
            IFLA_IFNAME => link.name = value.split(|byte| *byte == 0).next()?,
            IFLA_ADDRESS => {
                if let Ok(mac) = value.try_into() {
                    link.mac = Mac(mac);
                }
            }
            IFLA_MTU => link.mtu = ne32(value, 0)?,
            _ => {}
        }
    }
    Some(link)
}

/// The attributes of a message, up to the first malformed one.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(ne16(self.0, 0)?);
        let kind = ne16(self.0, 2)?;
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(aligned(len)..).unwrap_or_default();
        Some((kind, value))
    }
}

fn ne16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn ne32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Messages and attributes begin at multiples of four bytes.
const fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// An IPv4 address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: Ipv4Addr,
    /// Bits of it that name the network.
    pub prefix: u8,
    /// Seconds it may be used; `u32::MAX` is for ever.
    pub seconds: u32,
}

/// Who put a route in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration.
    Static,
    /// A lease.
    Dhcp,
}

/// A request.
pub struct Request {
    bytes: [u8; MAX_REQUEST],
    len: usize,
}

impl Request {
    /// Asks for all interfaces.
    #[must_use]
    pub fn list_links() -> Self {
        Self::link(RTM_GETLINK, NLM_F_DUMP, Index(0), 0)
    }

    /// Brings an interface up.
    #[must_use]
    pub fn set_up(index: Index) -> Self {
        Self::link(RTM_NEWLINK, NLM_F_ACK, index, IFF_UP)
    }

    /// Sets the largest packet of an interface, in bytes.
    #[must_use]
    pub fn set_mtu(index: Index, mtu: u32) -> Self {
        let mut request = Self::link(RTM_NEWLINK, NLM_F_ACK, index, 0);
        request.attribute(IFLA_MTU, mtu);
        request
    }

    /// Gives an interface an address, or the address it has another lifetime.
    #[must_use]
    pub fn set_address(index: Index, address: &Address) -> Self {
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let mut request = Self::address(RTM_NEWADDR, flags, index, address);
        // preferred, valid; creation and change are the kernel's own
        request.put(attribute_header(IFA_CACHEINFO, 16));
        request.put(address.seconds);
        request.put(address.seconds);
        request.put(0);
        request.put(0);
        request
    }

    /// Takes an address from an interface, and the routes that hang on it.
    #[must_use]
    pub fn remove_address(index: Index, address: &Address) -> Self {
        Self::address(RTM_DELADDR, NLM_F_ACK, index, address)
    }

    /// Puts a route in, or in the place of one to the same destination with the same metric.
    /// `source` is the address that packets of this route come from.
    #[must_use]
    pub fn set_route(
        index: Index,
        route: &Route,
        source: Ipv4Addr,
        metric: u32,
        origin: Origin,
    ) -> Self {
        let scope = match route.gateway {
            Some(_) => RT_SCOPE_UNIVERSE,
            None => RT_SCOPE_LINK,
        };
        let protocol = match origin {
            Origin::Static => RTPROT_STATIC,
            Origin::Dhcp => RTPROT_DHCP,
        };
        let mut request = Self::new(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
        // struct rtmsg
        request.put(word([AF_INET, route.prefix, 0, 0]));
        request.put(word([RT_TABLE_MAIN, protocol, scope, RTN_UNICAST]));
        request.put(if route.onlink { RTNH_F_ONLINK } else { 0 });
        if route.prefix > 0 {
            request.attribute(RTA_DST, word(route.destination.octets()));
        }
        if let Some(gateway) = route.gateway {
            request.attribute(RTA_GATEWAY, word(gateway.octets()));
        }
        request.attribute(RTA_PREFSRC, word(source.octets()));
        request.attribute(RTA_OIF, index.0);
        request.attribute(RTA_PRIORITY, metric);
        request
    }

    /// The bytes to send, numbered so that the answer can be told.
    #[must_use]
    pub fn numbered(&mut self, sequence: u32) -> &[u8] {
        let len = self.len;
        // at most MAX_REQUEST
        self.set(0, len as u32);
        self.set(8, sequence);
        self.bytes.get(..len).unwrap_or_default()
    }

    /// `struct nlmsghdr`, its length and number still to come: to the kernel, from a port of its
    /// choice.
    fn new(kind: u16, flags: u16) -> Self {
        let mut request = Self {
            bytes: [0; MAX_REQUEST],
            len: HEADER_LEN,
        };
        request.set(4, halves(kind, flags | NLM_F_REQUEST));
        request
    }

    /// A request with a `struct ifinfomsg` that sets the given flags.
    fn link(kind: u16, flags: u16, index: Index, set: u32) -> Self {
        let mut request = Self::new(kind, flags);
        request.put(0);
        request.put(index.0);
        request.put(set);
        request.put(set);
        request
    }

    /// A request with a `struct ifaddrmsg` and the address itself.
    fn address(kind: u16, flags: u16, index: Index, address: &Address) -> Self {
        let mut request = Self::new(kind, flags);
        // no flags, the scope of all the world
        request.put(word([AF_INET, address.prefix, 0, 0]));
        request.put(index.0);
        let ip = word(address.ip.octets());
        request.attribute(IFA_LOCAL, ip);
        request.attribute(IFA_ADDRESS, ip);
        // networks of one or two addresses have no broadcast (RFC 3021)
        if address.prefix < 31 {
            let broadcast = address.ip.to_bits() | !mask(address.prefix);
            request.attribute(IFA_BROADCAST, word(broadcast.to_be_bytes()));
        }
        request
    }

    /// An attribute of four bytes.
    fn attribute(&mut self, kind: u16, value: u32) {
        self.put(attribute_header(kind, 4));
        self.put(value);
    }

    /// Appends four bytes. The longest request, for an address or a host route, has 68: there is
    /// always room.
    fn put(&mut self, value: u32) {
        self.set(self.len, value);
        self.len += 4;
    }

    fn set(&mut self, at: usize, value: u32) {
        let place = self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
        if let Some(place) = place {
            *place = value.to_ne_bytes();
        }
    }
}

/// Four bytes as the number that stands for them in memory.
const fn word(bytes: [u8; 4]) -> u32 {
    u32::from_ne_bytes(bytes)
}

/// Two numbers, one behind the other in memory.
const fn halves(first: u16, second: u16) -> u32 {
    let ([a, b], [c, d]) = (first.to_ne_bytes(), second.to_ne_bytes());
    word([a, b, c, d])
}

/// The header of an attribute whose value is `len` bytes long.
const fn attribute_header(kind: u16, len: u16) -> u32 {
    halves(4 + len, kind)
}

#[cfg(test)]
#[path = "netlink_tests.rs"]
mod tests;
