//! IPv4 (RFC 791) and UDP (RFC 768) around a DHCP message, for a packet socket of type
//! `SOCK_DGRAM`: the kernel adds and removes the Ethernet header, the rest is done here.

use super::dhcp::{CLIENT_PORT, MESSAGE_LEN, SERVER_PORT};
use super::{be16, be32};
use core::net::Ipv4Addr;

/// Length of an IPv4 header without options.
const IP_LEN: usize = 20;
/// Length of a UDP header.
const UDP_LEN: usize = 8;
/// Length of every packet that [`broadcast`] makes.
pub const PACKET_LEN: usize = IP_LEN + UDP_LEN + MESSAGE_LEN;
/// UDP's number in the IPv4 header.
const UDP: u8 = 17;

/// A classic BPF instruction (Linux, include/uapi/linux/filter.h, `struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Filter {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> Filter {
    Filter { code, jt, jf, k }
}

/// Lets only unfragmented UDP datagrams to the client's port through, whole: all other traffic
/// of the interface leaves PID 1 asleep.
pub const FILTER: [Filter; 9] = [
    // load byte 9 of the IP header: the protocol
    op(0x30, 0, 0, 9),
    op(0x15, 0, 5, UDP as u32),
    // load the half word with the fragment offset; any fragment but the first has no ports, and
    // the first of several is not whole
    op(0x28, 0, 0, 6),
    op(0x45, 3, 0, 0x3fff),
    // x = length of the IP header; load the half word at x + 2: the UDP destination port
    op(0xb1, 0, 0, 0),
    op(0x48, 0, 0, 2),
    op(0x15, 1, 0, CLIENT_PORT as u32),
    // refuse, or (jumped over) accept
    op(0x06, 0, 0, 0),
    op(0x06, 0, 0, 0xffff),
];

/// Whether the kernel vouches for the UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It stands in the packet, to be verified.
    Verify,
    /// The packet comes from a machine on the same host and its checksum was never finished
    /// (`TP_STATUS_CSUMNOTREADY`): what stands there is no checksum.
    Unfinished,
}

/// A DHCP message on its way from no address to everyone.
#[must_use]
pub fn broadcast(message: &[u8; MESSAGE_LEN]) -> [u8; PACKET_LEN] {
    let mut packet = [0; PACKET_LEN];
    let (header, payload) = packet.split_at_mut(IP_LEN + UDP_LEN);
    payload.copy_from_slice(message);
    let (ip, udp) = header.split_at_mut(IP_LEN);
    let total = (PACKET_LEN as u16).to_be_bytes();
    // version 4, five words; no service class; no identification, as the packet may not be
    // fragmented; 64 hops; checksum to come; from 0.0.0.0 to 255.255.255.255
    ip.copy_from_slice(&[
        0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, UDP, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255,
    ]);
    let of_header = !fold(sum(ip));
    put16(ip, 10, of_header);
    let len = (UDP_LEN + MESSAGE_LEN) as u16;
    put16(udp, 0, CLIENT_PORT);
    put16(udp, 2, SERVER_PORT);
    put16(udp, 4, len);
    let covered = pseudo(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, len) + sum(udp) + sum(payload);
    // a sum of zero is sent as all ones: zero would say that there is none
    let of_datagram = match !fold(covered) {
        0 => 0xffff,
        sum => sum,
    };
    put16(udp, 6, of_datagram);
    packet
}

/// The payload of a UDP datagram to the client's port, if the packet is one: IPv4, whole,
/// unfragmented, with right checksums.
#[must_use]
pub fn payload(packet: &[u8], checksum: Checksum) -> Option<&[u8]> {
    let first = *packet.first()?;
    let header_len = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || header_len < IP_LEN {
        return None;
    }
    // what follows the packet's own length is the padding of a short Ethernet frame
    let packet = packet.get(..usize::from(be16(packet, 2)?))?;
    let (ip, udp) = packet.split_at_checked(header_len)?;
    let fragment = be16(ip, 6)? & 0x3fff;
    if fold(sum(ip)) != 0xffff || fragment != 0 || ip.get(9) != Some(&UDP) {
        return None;
    }
    let len = be16(udp, 4)?;
    let datagram = udp.get(..usize::from(len))?;
    let payload = datagram.get(UDP_LEN..)?;
    if be16(datagram, 2)? != CLIENT_PORT {
        return None;
    }
    let told = be16(datagram, 6)?;
    if checksum == Checksum::Verify && told != 0 {
        let from = Ipv4Addr::from_bits(be32(ip, 12)?);
        let to = Ipv4Addr::from_bits(be32(ip, 16)?);
        if fold(pseudo(from, to, len) + sum(datagram)) != 0xffff {
            return None;
        }
    }
    Some(payload)
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// The pseudo header that a UDP checksum covers too (RFC 768).
fn pseudo(from: Ipv4Addr, to: Ipv4Addr, len: u16) -> u32 {
    sum(&from.octets()) + sum(&to.octets()) + u32::from(UDP) + u32::from(len)
}

/// The sum of 16-bit words, the last one padded (RFC 1071). Packets are at most 64 KiB, so 32
/// bits hold it.
fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| {
            let low = pair.get(1).copied().unwrap_or(0);
            u32::from(u16::from_be_bytes([pair[0], low]))
        })
        .sum()
}

/// Adds the carries back in, in two rounds: the first can leave one more.
fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    // what is cut off by the second round is zero
    ((once & 0xffff) + (once >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dhcp::testing::Noise;
    use std::vec::Vec;

    /// A server's packet as another implementation would make it, checksums done word by word.
    fn reply(payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(payload.len()).unwrap();
        let mut packet = std::vec![0x45, 0];
        packet.extend((28 + len).to_be_bytes());
        packet.extend([0x12, 0x34, 0, 0, 255, 17, 0, 0]);
        packet.extend([10, 0, 2, 2, 10, 0, 2, 15]);
        let ip = ones_complement(&packet);
        packet[10..12].copy_from_slice(&ip.to_be_bytes());
        let mut covered = std::vec![10, 0, 2, 2, 10, 0, 2, 15, 0, 17];
        covered.extend((8 + len).to_be_bytes());
        let mut udp = std::vec![0, 67, 0, 68];
        udp.extend((8 + len).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(payload);
        covered.extend(&udp);
        let sum = ones_complement(&covered);
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        packet.extend(udp);
        packet
    }

    fn ones_complement(bytes: &[u8]) -> u16 {
        let mut sum = 0u16;
        for at in (0..bytes.len()).step_by(2) {
            let word = u16::from(bytes[at]) << 8 | u16::from(*bytes.get(at + 1).unwrap_or(&0));
            let (added, carry) = sum.overflowing_add(word);
            sum = added + u16::from(carry);
        }
        !sum
    }

    /// What the kernel's interpreter does with [`FILTER`], for the operations that occur there.
    fn runs(packet: &[u8]) -> bool {
        let (mut a, mut x, mut at) = (0u32, 0u32, 0usize);
        loop {
            let i = FILTER[at];
            at += 1;
            let k = i.k as usize;
            let byte = |at: usize| packet.get(at).copied().map(u32::from);
            match i.code {
                0x30 => match byte(k) {
                    Some(value) => a = value,
                    None => return false,
                },
                0x28 | 0x48 => {
                    let from = if i.code == 0x48 { k + x as usize } else { k };
                    match (byte(from), byte(from + 1)) {
                        (Some(high), Some(low)) => a = high << 8 | low,
                        _ => return false,
                    }
                }
                0xb1 => x = byte(k).unwrap_or(0) % 16 * 4,
                0x15 => at += usize::from(if a == i.k { i.jt } else { i.jf }),
                0x45 => at += usize::from(if a & i.k != 0 { i.jt } else { i.jf }),
                0x06 => return i.k > 0,
                other => panic!("operation {other:#x}"),
            }
        }
    }

    #[test]
    fn a_broadcast_byte_for_byte() {
        let mut message = [0; MESSAGE_LEN];
        message[0] = 1;
        message[299] = 7;
        let packet = broadcast(&message);
        assert_eq!(packet.len(), 328);
        assert_eq!(packet[..4], [0x45, 0, 1, 0x48]);
        assert_eq!(packet[6..10], [0x40, 0, 64, 17]);
        assert_eq!(packet[12..20], [0, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(packet[20..26], [0, 68, 0, 67, 1, 0x34]);
        assert_eq!(packet[28..], message);
        assert_eq!(ones_complement(&packet[..20]), 0);
        let mut covered = Vec::from(&packet[12..20]);
        covered.extend([0, 17, 1, 0x34]);
        covered.extend(&packet[20..]);
        assert_eq!(ones_complement(&covered), 0);
    }

    #[test]
    fn a_reply_gives_its_payload() {
        for text in [&b"even"[..], b"odd", b""] {
            let packet = reply(text);
            assert_eq!(payload(&packet, Checksum::Verify), Some(text));
            let mut padded = packet.clone();
            padded.extend([0; 18]);
            assert_eq!(payload(&padded, Checksum::Verify), Some(text));
        }
    }

    #[test]
    fn a_bent_packet_is_refused() {
        let packet = reply(b"payload");
        for at in 0..packet.len() {
            let mut bent = packet.clone();
            bent[at] ^= 0x10;
            assert_eq!(payload(&bent, Checksum::Verify), None, "byte {at}");
        }
    }

    #[test]
    fn an_unfinished_checksum_is_no_fault() {
        let mut packet = reply(b"payload");
        packet[26] ^= 0xff;
        assert_eq!(payload(&packet, Checksum::Verify), None);
        let unchecked = payload(&packet, Checksum::Unfinished);
        assert_eq!(unchecked, Some(&b"payload"[..]));
        // none at all is allowed by RFC 768
        packet[26] = 0;
        packet[27] = 0;
        assert!(payload(&packet, Checksum::Verify).is_some());
    }

    #[test]
    fn every_cut_is_refused() {
        let packet = reply(b"payload");
        for len in 0..packet.len() {
            assert_eq!(payload(&packet[..len], Checksum::Unfinished), None);
        }
    }

    #[test]
    fn the_filter_lets_whole_datagrams_to_the_client_through() {
        let good = reply(b"payload");
        assert!(runs(&good));
        // another protocol, a first and a later fragment, another port
        for (at, value) in [(9, 6), (6, 0x20), (7, 1), (23, 67), (22, 1)] {
            let mut other = good.clone();
            other[at] = value;
            assert!(!runs(&other), "byte {at}");
        }
        // the ports move with the options of the IP header
        let mut options = good.clone();
        options[0] = 0x46;
        assert!(!runs(&options));
        options.splice(20..20, [0; 4]);
        assert!(runs(&options));
        for len in 0..24 {
            assert!(!runs(&good[..len]));
        }
    }

    #[test]
    fn noise_is_survived() {
        let mut noise = Noise::new(5);
        for _ in 0..10_000 {
            let len = noise.below(80);
            let mut bytes = noise.bytes(len);
            if let Some(first) = bytes.first_mut() {
                *first = 0x40 | (*first & 0xf);
            }
            let _ = payload(&bytes, Checksum::Unfinished);
            runs(&bytes);
        }
    }
}
