//! Leases out of servers' messages, as clouds send them and as they should not.

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
