//! What a server offers, reduced to what is used.

use super::code;
use super::message::{Message, Scratch};
use super::search::{self, Search};
use crate::list::List;
use crate::net::text::Text;
use crate::net::{Route, be32, covers, mask};
use core::net::Ipv4Addr;

/// The most routes taken from a lease; further ones are left out.
pub const MAX_ROUTES: usize = 16;
/// The most name servers taken from a lease: as many as libc asks.
pub const MAX_NAMESERVERS: usize = 3;
/// The most time servers taken from a lease.
const MAX_TIME_SERVERS: usize = 4;
/// The least MTU taken (RFC 791: what every host accepts).
const LEAST_MTU: u16 = 576;
/// Seconds of a lease whose server names none.
const DEFAULT_LEASE: u32 = 3600;
/// The least seconds of a lease: a server that grants less would only be kept busy.
const LEAST_LEASE: u32 = 10;

/// An address and what came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The client's address.
    pub address: Ipv4Addr,
    /// Bits of the address that name its network, 0 to 32.
    pub prefix: u8,
    /// The server's identifier.
    pub server: Ipv4Addr,
    /// Seconds the address may be used; `u32::MAX` is for ever.
    pub seconds: u32,
    /// Seconds after which the lease is renewed (T1).
    pub renew_after: u32,
    /// Seconds after which any server is asked (T2).
    pub rebind_after: u32,
    /// Routes in the order in which they go in: those of link scope first.
    pub routes: List<Route, MAX_ROUTES>,
    /// Name servers, the preferred one first.
    pub nameservers: List<Ipv4Addr, MAX_NAMESERVERS>,
    /// Time servers, the preferred one first.
    pub time_servers: List<Ipv4Addr, MAX_TIME_SERVERS>,
    /// Bytes of the largest IP packet on this network.
    pub mtu: Option<u16>,
    /// Domains in which short names are looked up, parted by blanks.
    pub search: Search,
    /// The host name without its domain, empty when the server names none.
    pub hostname: Text<63>,
}

impl Lease {
    /// The lease that an offer or acknowledgement grants; `server` stands in for a missing
    /// server identifier. `None` when it grants none that can be used.
    #[must_use]
    pub fn read(message: &Message<'_>, server: Option<Ipv4Addr>) -> Option<Self> {
        if !is_host(message.address) {
            return None;
        }
        let mut room = Scratch::new();
        let scratch = &mut room;
        let server = message
            .address_option(code::SERVER_ID, scratch)
            .filter(|address| !address.is_unspecified())
            .or(server)?;
        let prefix = message
            .u32_option(code::SUBNET_MASK, scratch)
            .and_then(prefix_of)
            .unwrap_or_else(|| class_prefix(message.address));
        let (seconds, renew_after, rebind_after) = lifetimes(message, scratch);
        Some(Self {
            address: message.address,
            prefix,
            server,
            seconds,
            renew_after,
            rebind_after,
            routes: routes(message, prefix, scratch),
            nameservers: addresses(message, code::NAME_SERVER, scratch),
            time_servers: addresses(message, code::NTP, scratch),
            mtu: mtu(message, scratch),
            search: search_list(message, scratch),
            hostname: message
                .option(code::HOST_NAME, scratch)
                .map_or(Text::new(), search::host_name),
        })
    }

    /// A configured address, held for ever, in the form of a lease.
    #[must_use]
    pub fn fixed(address: Ipv4Addr, prefix: u8, gateway: Option<Ipv4Addr>) -> Self {
        let mut routes = NO_ROUTES;
        if let Some(gateway) = gateway {
            let _ = routes.push(Route::default_over(gateway));
        }
        Self {
            address,
            prefix,
            server: Ipv4Addr::UNSPECIFIED,
            seconds: u32::MAX,
            renew_after: u32::MAX,
            rebind_after: u32::MAX,
            routes: in_order(routes, address, prefix),
            nameservers: List::new(Ipv4Addr::UNSPECIFIED),
            time_servers: List::new(Ipv4Addr::UNSPECIFIED),
            mtu: None,
            search: Search::new(),
            hostname: Text::new(),
        }
    }

    /// Whether `other` asks for the same address and routes: a renewal that changes neither
    /// leaves the interface alone.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        self.address == other.address && self.prefix == other.prefix && self.routes == other.routes
    }

    /// The gateway of the default route, if the lease brings one.
    #[must_use]
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.routes
            .as_slice()
            .iter()
            .find(|route| route.is_default())
            .and_then(|route| route.gateway)
    }
}

/// Whether an address can be a host's.
fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // 0/8, 127/8, multicast and the reserved block with the broadcast address
    first != 0 && first != 127 && first < 224
}

/// The length of a network mask, if it is one.
fn prefix_of(bits: u32) -> Option<u8> {
    let prefix = bits.leading_ones() as u8;
    (mask(prefix) == bits).then_some(prefix)
}

/// The prefix of an address of which no mask is known (RFC 791 section 3.2).
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

/// Seconds of the lease, until T1 and until T2 (RFC 2131 section 4.4.5).
fn lifetimes(message: &Message<'_>, scratch: &mut Scratch) -> (u32, u32, u32) {
    let seconds = message
        .u32_option(code::LEASE_TIME, scratch)
        .unwrap_or(DEFAULT_LEASE)
        .max(LEAST_LEASE);
    let rebind = message
        .u32_option(code::REBINDING_TIME, scratch)
        .filter(|rebind| *rebind > 1 && *rebind < seconds)
        .unwrap_or(seconds - seconds / 8);
    let renew = message
        .u32_option(code::RENEWAL_TIME, scratch)
        .filter(|renew| *renew > 0 && *renew < rebind)
        .unwrap_or((seconds / 2).min(rebind - 1));
    (seconds, renew, rebind)
}

fn mtu(message: &Message<'_>, scratch: &mut Scratch) -> Option<u16> {
    let value = message.option(code::MTU, scratch)?;
    let mtu = u16::from_be_bytes(*value.first_chunk::<2>()?);
    (mtu >= LEAST_MTU).then_some(mtu)
}

fn search_list(message: &Message<'_>, scratch: &mut Scratch) -> Search {
    let listed = message
        .option(code::DOMAIN_SEARCH, scratch)
        .map_or(Search::new(), search::from_search_list);
    if !listed.is_empty() {
        return listed;
    }
    message
        .option(code::DOMAIN_NAME, scratch)
        .map_or(Search::new(), search::from_domain_name)
}

/// The different addresses of an option that lists them.
fn addresses<const N: usize>(
    message: &Message<'_>,
    code: u8,
    scratch: &mut Scratch,
) -> List<Ipv4Addr, N> {
    let mut list = List::new(Ipv4Addr::UNSPECIFIED);
    let value = message.option(code, scratch).unwrap_or_default();
    for chunk in value.chunks_exact(4) {
        let address = Ipv4Addr::from_bits(be32(chunk, 0).unwrap_or_default());
        if !address.is_unspecified() && !list.as_slice().contains(&address) {
            let _ = list.push(address);
        }
    }
    list
}

/// The routes of option 121, or else the default route of option 3 (RFC 3442: who finds the
/// former ignores the latter).
fn routes(message: &Message<'_>, prefix: u8, scratch: &mut Scratch) -> List<Route, MAX_ROUTES> {
    let mut list = message
        .option(code::CLASSLESS_ROUTES, scratch)
        .and_then(|value| classless(value, message.address));
    if list.is_none() {
        let mut single = NO_ROUTES;
        let router = message.address_option(code::ROUTER, scratch);
        if let Some(router) = router.filter(|router| is_host(*router)) {
            let _ = single.push(Route::default_over(router));
        }
        list = Some(single);
    }
    in_order(list.unwrap_or(NO_ROUTES), message.address, prefix)
}

const NO_ROUTES: List<Route, MAX_ROUTES> = List::new(Route::default_over(Ipv4Addr::UNSPECIFIED));

/// Option 121; `None` when it is malformed.
fn classless(value: &[u8], own: Ipv4Addr) -> Option<List<Route, MAX_ROUTES>> {
    let mut list = NO_ROUTES;
    let mut rest = value;
    while let Some((&prefix, after)) = rest.split_first() {
        if prefix > 32 {
            return None;
        }
        // only the destination's significant octets are there
        let significant = usize::from(prefix.div_ceil(8));
        let (octets, after) = after.split_at_checked(significant)?;
        let (router, after) = after.split_first_chunk::<4>()?;
        let mut destination = [0; 4];
        for (to, from) in destination.iter_mut().zip(octets) {
            *to = *from;
        }
        let router = Ipv4Addr::from(*router);
        // 0.0.0.0, or the client itself as some servers write, is the link
        let on_link = router.is_unspecified() || router == own;
        let _ = list.push(Route {
            destination: Ipv4Addr::from_bits(u32::from_be_bytes(destination) & mask(prefix)),
            prefix,
            gateway: (!on_link).then_some(router),
            onlink: false,
        });
        rest = after;
    }
    Some(list)
}

/// Puts routes of link scope first, then those over gateways, and marks the gateways that no
/// network covers: such a one is a neighbour all the same, or the lease would be of no use.
fn in_order(
    routes: List<Route, MAX_ROUTES>,
    address: Ipv4Addr,
    prefix: u8,
) -> List<Route, MAX_ROUTES> {
    let mut ordered = NO_ROUTES;
    for route in routes.as_slice() {
        if route.gateway.is_none() {
            let _ = ordered.push(*route);
        }
    }
    for route in routes.as_slice() {
        let Some(gateway) = route.gateway else {
            continue;
        };
        let reached = covers(address, prefix, gateway)
            || routes.as_slice().iter().any(|other| {
                other.gateway.is_none() && covers(other.destination, other.prefix, gateway)
            });
        let _ = ordered.push(Route {
            onlink: !reached,
            ..*route
        });
    }
    ordered
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
