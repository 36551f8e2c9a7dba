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
mod tests {
    use super::*;
    use crate::net::dhcp::testing::{Noise, Reply};

    fn lease(reply: &Reply) -> Option<Lease> {
        Lease::read(&Message::parse(&reply.bytes()).unwrap(), None)
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn over(destination: &str, prefix: u8, gateway: Option<&str>, onlink: bool) -> Route {
        Route {
            destination: ip(destination),
            prefix,
            gateway: gateway.map(ip),
            onlink,
        }
    }

    #[test]
    fn a_plain_lease() {
        let lease = lease(
            &Reply::lease(2, 1)
                .option(6, &[10, 0, 2, 3, 10, 0, 2, 4])
                .option(12, b"web.example.org")
                .option(15, b"example.org")
                .option(26, &[5, 180])
                .option(42, &[169, 254, 169, 254]),
        )
        .unwrap();
        assert_eq!(lease.address, Reply::ADDRESS);
        assert_eq!(lease.prefix, 24);
        assert_eq!(lease.server, Reply::SERVER);
        assert_eq!(
            (lease.seconds, lease.renew_after, lease.rebind_after),
            (3600, 1800, 3150)
        );
        assert_eq!(
            lease.routes.as_slice(),
            [over("0.0.0.0", 0, Some("10.0.2.2"), false)]
        );
        assert_eq!(lease.gateway(), Some(ip("10.0.2.2")));
        assert_eq!(
            lease.nameservers.as_slice(),
            [ip("10.0.2.3"), ip("10.0.2.4")]
        );
        assert_eq!(lease.time_servers.as_slice(), [ip("169.254.169.254")]);
        assert_eq!(lease.mtu, Some(1460));
        assert_eq!(lease.search.as_bytes(), b"example.org");
        assert_eq!(lease.hostname.as_bytes(), b"web");
    }

    #[test]
    fn gcp_a_lone_address_and_a_gateway_over_the_link() {
        let lease = lease(
            &Reply::new(5, 1)
                .address(ip("10.128.0.7"))
                .option(54, &[169, 254, 169, 254])
                .option(51, &86400u32.to_be_bytes())
                .option(1, &[255; 4])
                .option(3, &[10, 128, 0, 1])
                .option(26, &[5, 180])
                // the default route comes first here, to show that the order is ours
                .option(121, &[0, 10, 128, 0, 1, 32, 10, 128, 0, 1, 0, 0, 0, 0]),
        )
        .unwrap();
        assert_eq!(lease.prefix, 32);
        assert_eq!(
            lease.routes.as_slice(),
            [
                over("10.128.0.1", 32, None, false),
                over("0.0.0.0", 0, Some("10.128.0.1"), false),
            ]
        );
    }

    #[test]
    fn classless_routes_displace_the_router() {
        let lease = lease(&Reply::lease(5, 1).option(121, &[8, 172, 10, 0, 2, 9])).unwrap();
        assert_eq!(
            lease.routes.as_slice(),
            [over("172.0.0.0", 8, Some("10.0.2.9"), false)]
        );
        assert_eq!(lease.gateway(), None);
    }

    #[test]
    fn malformed_classless_routes_leave_the_router() {
        for wrong in [
            &[33u8, 1, 2, 3, 4, 5, 10, 0, 2, 9][..],
            &[24, 10, 0],
            &[24, 10, 0, 0, 10, 0, 2],
            &[0],
        ] {
            let lease = lease(&Reply::lease(5, 1).option(121, wrong)).unwrap();
            assert_eq!(lease.gateway(), Some(Reply::SERVER), "{wrong:?}");
        }
    }

    #[test]
    fn a_destination_loses_its_host_bits() {
        let lease = lease(&Reply::lease(5, 1).option(121, &[9, 172, 255, 10, 0, 2, 9])).unwrap();
        assert_eq!(lease.routes.as_slice()[0].destination, ip("172.128.0.0"));
    }

    #[test]
    fn a_gateway_that_no_network_covers_is_a_neighbour() {
        let lease = lease(
            &Reply::new(5, 1)
                .option(54, &[10, 0, 2, 2])
                .option(1, &[255; 4])
                .option(3, &[172, 31, 1, 1]),
        )
        .unwrap();
        assert_eq!(
            lease.routes.as_slice(),
            [over("0.0.0.0", 0, Some("172.31.1.1"), true)]
        );
    }

    #[test]
    fn more_routes_than_fit_are_left_out() {
        let mut reply = Reply::lease(5, 1);
        for third in 0..40 {
            reply = reply.option(121, &[24, 10, 9, third, 10, 0, 2, 9]);
        }
        assert_eq!(lease(&reply).unwrap().routes.as_slice().len(), MAX_ROUTES);
    }

    #[test]
    fn addresses_that_are_no_hosts_are_refused() {
        for wrong in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
            assert_eq!(lease(&Reply::lease(2, 1).address(ip(wrong))), None);
        }
    }

    #[test]
    fn a_server_without_identifier_is_refused_unless_known() {
        let bytes = Reply::new(5, 1).bytes();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(Lease::read(&message, None), None);
        let lease = Lease::read(&message, Some(Reply::SERVER)).unwrap();
        assert_eq!(lease.server, Reply::SERVER);
    }

    #[test]
    fn a_missing_or_torn_mask_gives_way_to_the_class() {
        let bare = Reply::new(5, 1).option(54, &[10, 0, 2, 2]);
        assert_eq!(lease(&bare).unwrap().prefix, 8);
        let torn = bare.clone().option(1, &[255, 0, 255, 0]);
        assert_eq!(lease(&torn).unwrap().prefix, 8);
        let b = bare.clone().address(ip("172.16.0.9"));
        assert_eq!(lease(&b).unwrap().prefix, 16);
        let c = bare.address(ip("192.168.1.9"));
        assert_eq!(lease(&c).unwrap().prefix, 24);
    }

    #[test]
    fn times_that_make_no_sense_are_replaced() {
        let times = |seconds: u32, t1: u32, t2: u32| {
            let lease = lease(
                &Reply::new(5, 1)
                    .option(54, &[10, 0, 2, 2])
                    .option(51, &seconds.to_be_bytes())
                    .option(58, &t1.to_be_bytes())
                    .option(59, &t2.to_be_bytes()),
            )
            .unwrap();
            (lease.seconds, lease.renew_after, lease.rebind_after)
        };
        assert_eq!(times(1000, 300, 600), (1000, 300, 600));
        assert_eq!(times(1000, 600, 300), (1000, 299, 300));
        assert_eq!(times(1000, 0, 2000), (1000, 500, 875));
        assert_eq!(times(0, 0, 0), (10, 5, 9));
        assert_eq!(times(10, 9, 2), (10, 1, 2));
        let (seconds, t1, t2) = times(u32::MAX, 0, 0);
        assert_eq!(seconds, u32::MAX);
        assert!(t1 < t2 && t2 < seconds);
    }

    #[test]
    fn an_mtu_below_the_least_is_ignored() {
        for (value, expected) in [
            (&[2u8, 63][..], None),
            (&[2, 64], Some(576)),
            (&[35, 40], Some(9000)),
            (&[5], None),
        ] {
            assert_eq!(
                lease(&Reply::lease(5, 1).option(26, value)).unwrap().mtu,
                expected
            );
        }
    }

    #[test]
    fn the_search_list_comes_before_the_domain() {
        let both = Reply::lease(5, 1)
            .option(15, b"one.example")
            .option(119, b"\x03two\x07example\0");
        assert_eq!(lease(&both).unwrap().search.as_bytes(), b"two.example");
        let broken = Reply::lease(5, 1)
            .option(15, b"one.example")
            .option(119, b"\xc0\x09");
        assert_eq!(lease(&broken).unwrap().search.as_bytes(), b"one.example");
    }

    #[test]
    fn name_servers_are_told_once_and_at_most_three() {
        let mut servers = std::vec::Vec::new();
        for last in [1, 1, 0, 2, 3, 4] {
            servers.extend(if last == 0 { [0; 4] } else { [9, 9, 9, last] });
        }
        servers.push(7);
        let lease = lease(&Reply::lease(5, 1).option(6, &servers)).unwrap();
        assert_eq!(
            lease.nameservers.as_slice(),
            [ip("9.9.9.1"), ip("9.9.9.2"), ip("9.9.9.3")]
        );
    }

    #[test]
    fn a_configured_address_is_a_lease_for_ever() {
        let near = Lease::fixed(ip("10.0.2.15"), 24, Some(ip("10.0.2.2")));
        assert_eq!(
            near.routes.as_slice(),
            [over("0.0.0.0", 0, Some("10.0.2.2"), false)]
        );
        let far = Lease::fixed(ip("10.0.2.15"), 32, Some(ip("10.0.2.2")));
        assert_eq!(
            far.routes.as_slice(),
            [over("0.0.0.0", 0, Some("10.0.2.2"), true)]
        );
        let alone = Lease::fixed(ip("10.0.2.15"), 24, None);
        assert_eq!((alone.gateway(), alone.seconds), (None, u32::MAX));
        assert!(!alone.same_place(&near));
    }

    #[test]
    fn noise_in_every_option_is_survived() {
        let mut noise = Noise::new(3);
        for _ in 0..5_000 {
            let mut reply = Reply::new(5, 1).option(54, &[10, 0, 2, 2]);
            for code in [1, 3, 6, 12, 15, 26, 42, 51, 58, 59, 119, 121] {
                if noise.below(2) == 0 {
                    let len = noise.below(40);
                    reply = reply.option(code, &noise.bytes(len));
                }
            }
            let lease = lease(&reply).unwrap();
            assert!(lease.prefix <= 32);
            assert!(lease.renew_after < lease.rebind_after);
            assert!(lease.rebind_after < lease.seconds);
            assert!(lease.routes.as_slice().iter().all(|r| r.prefix <= 32));
        }
    }
}
