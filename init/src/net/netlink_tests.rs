//! rtnetlink, byte for byte.

use super::*;
use crate::net::dhcp::testing::Noise;
use std::vec::Vec;

const ETH: Index = Index(2);

/// A message as the kernel of a little-endian machine sends it.
fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from((16 + body.len() as u32).to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(sequence.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from((4 + value.len() as u16).to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn eth0(flags: u32) -> Vec<u8> {
    let mut body = std::vec![0, 0, 1, 0, 2, 0, 0, 0];
    body.extend(flags.to_le_bytes());
    body.extend([0; 4]);
    body.extend(attribute(3, b"eth0\0"));
    body.extend(attribute(13, &[0; 4]));
    body.extend(attribute(4, &1500u32.to_le_bytes()));
    body.extend(attribute(1, &[0x52, 0x54, 0, 1, 2, 3]));
    body
}

#[test]
fn links_are_read() {
    let mut datagram = message(16, 1, &eth0(0x1_0043));
    datagram.extend(message(16, 1, &eth0(0x1002)));
    let mut lo = eth0(0x1_0049);
    lo[2..8].copy_from_slice(&[4, 3, 1, 0, 0, 0]);
    datagram.extend(message(16, 1, &lo));
    datagram.extend(message(17, 0, &eth0(0)));
    datagram.extend(message(3, 1, &[0; 4]));
    let found: Vec<_> = Messages::new(&datagram).collect();
    let up = Link {
        index: ETH,
        kind: LinkKind::Ethernet,
        up: true,
        carrier: true,
        enslaved: false,
        name: b"eth0",
        mac: Mac([0x52, 0x54, 0, 1, 2, 3]),
        mtu: 1500,
    };
    assert_eq!(found[0], Message::Link(up));
    let down = Link {
        up: false,
        carrier: false,
        ..up
    };
    assert_eq!(found[1], Message::Link(down));
    let Message::Link(lo) = found[2] else {
        panic!("{:?}", found[2]);
    };
    assert_eq!((lo.kind, lo.index), (LinkKind::Loopback, Index(1)));
    let slave = message(16, 1, &eth0(0x1_0843));
    let slave = Messages::new(&slave).next();
    assert!(matches!(slave, Some(Message::Link(link)) if link.enslaved));
    assert_eq!(found[3], Message::LinkGone(ETH));
    let end = Message::Done {
        sequence: 1,
        errno: 0,
    };
    assert_eq!(found[4..], [end]);
}

#[test]
fn answers_to_requests_are_read() {
    for (raw, errno) in [(0i32, 0), (-17, 17), (i32::MIN, i32::MAX)] {
        let datagram = message(2, 9, &raw.to_le_bytes());
        let expected = Message::Done { sequence: 9, errno };
        assert_eq!(Messages::new(&datagram).next(), Some(expected));
    }
}

#[test]
fn an_interface_without_ethernet_address_has_none() {
    let mut body = eth0(0);
    body.truncate(16);
    body.extend(attribute(1, &[0xfe; 20]));
    let datagram = message(16, 0, &body);
    let Some(Message::Link(link)) = Messages::new(&datagram).next() else {
        panic!();
    };
    assert_eq!(link.mac, Mac::default());
}

#[test]
fn cut_and_bent_datagrams_are_survived() {
    let mut whole = message(16, 1, &eth0(1));
    whole.extend(message(2, 9, &[0; 20]));
    for len in 0..whole.len() {
        assert!(Messages::new(&whole[..len]).count() <= 2);
    }
    let mut noise = Noise::new(6);
    for _ in 0..10_000 {
        let mut bent = whole.clone();
        for _ in 0..=noise.below(4) {
            let at = noise.below(bent.len());
            bent[at] = noise.next() as u8;
        }
        // every message takes at least its header, so this ends
        assert!(Messages::new(&bent).count() <= whole.len() / 16);
    }
}

// What `strace -e trace=sendto ip …` shows for the same deeds, apart from flags and order.

#[test]
fn requests_for_links() {
    let mut list = Request::list_links();
    assert_eq!(
        list.numbered(1),
        [
            &[32, 0, 0, 0, 18, 0, 1, 3, 1, 0, 0, 0, 0, 0, 0, 0][..],
            &[0; 16],
        ]
        .concat()
    );
    let mut up = Request::set_up(ETH);
    assert_eq!(
        up.numbered(2),
        [
            &[32, 0, 0, 0, 16, 0, 5, 0, 2, 0, 0, 0, 0, 0, 0, 0][..],
            &[0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
        ]
        .concat()
    );
    let mut mtu = Request::set_mtu(ETH, 1460);
    assert_eq!(
        mtu.numbered(3)[16..],
        [
            0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 4, 0, 0xb4, 5, 0, 0
        ]
    );
}

#[test]
fn requests_for_addresses() {
    let address = Address {
        ip: "10.0.2.15".parse().unwrap(),
        prefix: 24,
        seconds: 3600,
    };
    let mut set = Request::set_address(ETH, &address);
    assert_eq!(
        set.numbered(4),
        [
            &[68, 0, 0, 0, 20, 0, 5, 5, 4, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 24, 0, 0, 2, 0, 0, 0],
            &[8, 0, 2, 0, 10, 0, 2, 15, 8, 0, 1, 0, 10, 0, 2, 15],
            &[8, 0, 4, 0, 10, 0, 2, 255],
            &[20, 0, 6, 0, 16, 14, 0, 0, 16, 14, 0, 0],
            &[0; 8],
        ]
        .concat()
    );
    let mut remove = Request::remove_address(ETH, &address);
    assert_eq!(
        remove.numbered(5)[..8],
        [48, 0, 0, 0, 21, 0, 5, 0],
        "no lifetime"
    );
    // a lone address has no broadcast
    let lone = Address {
        prefix: 32,
        ..address
    };
    let mut set = Request::set_address(ETH, &lone);
    assert_eq!(set.numbered(6).len(), 60);
}

#[test]
fn requests_for_routes() {
    let gateway = Ipv4Addr::new(10, 128, 0, 1);
    let host = Route {
        destination: gateway,
        prefix: 32,
        gateway: None,
        onlink: false,
    };
    let own = Ipv4Addr::new(10, 128, 0, 7);
    let mut set = Request::set_route(ETH, &host, own, 100, Origin::Dhcp);
    assert_eq!(
        set.numbered(8),
        [
            &[60, 0, 0, 0, 24, 0, 5, 5, 8, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 32, 0, 0, 254, 16, 253, 1, 0, 0, 0, 0],
            &[8, 0, 1, 0, 10, 128, 0, 1, 8, 0, 7, 0, 10, 128, 0, 7],
            &[8, 0, 4, 0, 2, 0, 0, 0, 8, 0, 6, 0, 100, 0, 0, 0],
        ]
        .concat()
    );
    let default = Route {
        onlink: true,
        ..Route::default_over(gateway)
    };
    let mut set = Request::set_route(ETH, &default, own, 100, Origin::Static);
    assert_eq!(
        set.numbered(9)[16..],
        [
            &[2, 0, 0, 0, 254, 4, 0, 1, 4, 0, 0, 0][..],
            &[8, 0, 5, 0, 10, 128, 0, 1, 8, 0, 7, 0, 10, 128, 0, 7],
            &[8, 0, 4, 0, 2, 0, 0, 0, 8, 0, 6, 0, 100, 0, 0, 0],
        ]
        .concat()
    );
}
