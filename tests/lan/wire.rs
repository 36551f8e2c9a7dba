//! Ethernet, ARP, IPv4, UDP and DHCP, as far as a test's network speaks them.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An address out of a test's text.
pub fn address(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

/// A DHCP message of the guest.
#[derive(Debug, Clone)]
pub struct Ask {
    /// 1 is DISCOVER, 3 is REQUEST.
    pub kind: u8,
    pub xid: u32,
    pub secs: u16,
    pub mac: [u8; 6],
    /// The address it uses already.
    pub ciaddr: Ipv4Addr,
    /// Where the packet came from and went to.
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Ask {
    /// The value of an option.
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        let found = self.options.iter().find(|(one, _)| *one == code);
        found.map(|(_, value)| &value[..])
    }

    /// Whether it asks for the option `code`.
    pub fn wants(&self, code: u8) -> bool {
        self.option(55).is_some_and(|list| list.contains(&code))
    }

    pub fn is_discover(&self) -> bool {
        self.kind == 1
    }

    pub fn is_request(&self) -> bool {
        self.kind == 3
    }

    /// Whether it asks to prolong a lease in use.
    pub fn is_renewal(&self) -> bool {
        self.is_request() && !self.ciaddr.is_unspecified()
    }
}

/// A DHCP message of the server.
#[derive(Debug, Clone)]
pub struct Reply {
    kind: u8,
    address: Ipv4Addr,
    server: Ipv4Addr,
    options: Vec<u8>,
    bent: bool,
}

impl Reply {
    /// The fitting grant: an offer for a DISCOVER, an acknowledgement for a REQUEST.
    pub fn grant(ask: &Ask, address: Ipv4Addr, server: Ipv4Addr) -> Reply {
        let kind = if ask.is_discover() { 2 } else { 5 };
        Reply::new(kind, address, server)
    }

    /// A refusal.
    pub fn refuse(server: Ipv4Addr) -> Reply {
        Reply::new(6, Ipv4Addr::UNSPECIFIED, server)
    }

    fn new(kind: u8, address: Ipv4Addr, server: Ipv4Addr) -> Reply {
        let reply = Reply {
            kind,
            address,
            server,
            options: Vec::new(),
            bent: false,
        };
        reply.with(53, &[kind]).with(54, &server.octets())
    }

    /// With one more option.
    pub fn with(mut self, code: u8, value: &[u8]) -> Reply {
        let len = u8::try_from(value.len()).expect("a short option");
        self.options.extend([code, len]);
        self.options.extend(value);
        self
    }

    /// With the times of the lease in seconds.
    pub fn lasting(self, seconds: u32) -> Reply {
        self.with(51, &seconds.to_be_bytes())
    }

    /// As it arrives over a line that changed a bit of it.
    pub fn bent(self) -> Reply {
        Reply { bent: true, ..self }
    }

    /// The whole frame.
    pub fn frame(&self, ask: &Ask, own: [u8; 6]) -> Vec<u8> {
        let mut message = vec![2, 1, 6, 0];
        message.extend(ask.xid.to_be_bytes());
        message.extend([0; 4]);
        message.extend(ask.ciaddr.octets());
        message.extend(self.address.octets());
        message.extend([0; 8]);
        message.extend(ask.mac);
        message.resize(236, 0);
        message.extend([99, 130, 83, 99]);
        message.extend(&self.options);
        message.push(255);
        // RFC 2131 section 4.1: to the address in use, else refusals to all, grants to the new
        let to = match self.kind {
            6 => Ipv4Addr::BROADCAST,
            _ if !ask.ciaddr.is_unspecified() => ask.ciaddr,
            _ => self.address,
        };
        let mac = if self.kind == 6 { [0xff; 6] } else { ask.mac };
        let mut frame = datagram(own, mac, (self.server, 67), (to, 68), &message);
        if self.bent {
            // in the offered address, which no other check covers than the UDP checksum
            frame[14 + 28 + 19] ^= 1;
        }
        frame
    }
}

/// Option 121 out of destinations, their prefix lengths and next hops (RFC 3442).
pub fn classless(routes: &[(&str, u8, &str)]) -> Vec<u8> {
    let mut value = Vec::new();
    for (destination, prefix, hop) in routes {
        value.push(*prefix);
        let octets = address(destination).octets();
        value.extend(&octets[..usize::from(*prefix).div_ceil(8)]);
        value.extend(address(hop).octets());
    }
    value
}

/// A UDP datagram of the guest.
pub struct Heard<'a> {
    pub via: [u8; 6],
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    /// The port that it goes to.
    pub port: u16,
    pub payload: &'a [u8],
}

/// Reads a frame that carries UDP over IPv4, and checks the header's checksum; the payload's
/// may be unfinished.
pub fn read_datagram(frame: &[u8]) -> Option<Heard<'_>> {
    if frame.get(12..14)? != [8, 0] || frame.get(23)? != &17 {
        return None;
    }
    let ip = frame.get(14..)?;
    let header = usize::from(ip[0] & 15) * 4;
    assert_eq!(checksum(&ip[..header]), 0, "a wrong checksum in {ip:x?}");
    let udp = &ip[header..usize::from(word(ip, 2))];
    Some(Heard {
        via: frame[..6].try_into().ok()?,
        from: quad(ip, 12),
        to: quad(ip, 16),
        port: word(udp, 2),
        payload: &udp[8..usize::from(word(udp, 4))],
    })
}

/// Reads a DHCP message of a client; one that is malformed fails the test.
pub fn read_ask(datagram: &Heard<'_>) -> Ask {
    let bytes = datagram.payload;
    assert_eq!(bytes[..4], [1, 1, 6, 0], "not a client's message");
    assert_eq!(bytes[236..240], [99, 130, 83, 99]);
    let mut options = Vec::new();
    let mut at = 240;
    while bytes[at] != 255 {
        let end = at + 2 + usize::from(bytes[at + 1]);
        options.push((bytes[at], bytes[at + 2..end].to_vec()));
        at = end;
    }
    let kind = options.iter().find(|(code, _)| *code == 53);
    Ask {
        kind: kind.expect("a message type").1[0],
        xid: u32::from_be_bytes(bytes[4..8].try_into().expect("four bytes")),
        secs: word(bytes, 8),
        mac: bytes[28..34].try_into().expect("six bytes"),
        ciaddr: quad(bytes, 12),
        from: datagram.from,
        to: datagram.to,
        options,
    }
}

/// The answer to an ARP request for one of `neighbours`, all of which live at `own`.
pub fn arp_answer(frame: &[u8], own: [u8; 6], neighbours: &[Ipv4Addr]) -> Option<Vec<u8>> {
    // ARP, for IPv4 over Ethernet, a request (RFC 826)
    if frame.get(12..22)? != [8, 6, 0, 1, 8, 0, 6, 4, 0, 1] {
        return None;
    }
    let wanted = quad(frame, 38);
    if !neighbours.contains(&wanted) {
        return None;
    }
    let mut answer = frame[6..12].to_vec();
    answer.extend(own);
    answer.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    answer.extend(own);
    answer.extend(wanted.octets());
    answer.extend(&frame[22..32]);
    Some(answer)
}

/// The prefix that [`router_advertisement`] gives out.
const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0);

/// The answer to an IPv6 router solicitation: a prefix to make addresses of (RFC 4861 sections
/// 4.2 and 4.6.2).
pub fn router_advertisement(frame: &[u8], own: [u8; 6]) -> Option<Vec<u8>> {
    // IPv6, ICMPv6, a router solicitation
    let asked = frame.get(12..14)? == [0x86, 0xdd] && frame.get(20)? == &58;
    if !asked || frame.get(54)? != &133 {
        return None;
    }
    let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let everyone = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    // hop limit 64, no flags, a router for 1800 s; times left open
    let mut icmp = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    // prefix information: /64, on-link and for addresses, for an hour
    icmp.extend([
        3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0,
    ]);
    icmp.extend(PREFIX.octets());
    let len = u16::try_from(icmp.len()).expect("short");
    let addresses = [router.octets(), everyone.octets()].concat();
    let covered = [
        &addresses[..],
        &[0, 0],
        &len.to_be_bytes(),
        &[0, 0, 0, 58],
        &icmp,
    ]
    .concat();
    let sum = checksum(&covered).to_be_bytes();
    icmp[2..4].copy_from_slice(&sum);
    let mut answer = vec![0x33, 0x33, 0, 0, 0, 1];
    answer.extend(own);
    answer.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    answer.extend(len.to_be_bytes());
    answer.extend([58, 255]);
    answer.extend(addresses);
    answer.extend(icmp);
    Some(answer)
}

fn datagram(
    own: [u8; 6],
    mac: [u8; 6],
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    payload: &[u8],
) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 8).expect("a short payload");
    let mut ip = vec![0x45, 0];
    ip.extend((len + 20).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    ip.extend(from.0.octets());
    ip.extend(to.0.octets());
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    let mut udp = Vec::new();
    udp.extend(from.1.to_be_bytes());
    udp.extend(to.1.to_be_bytes());
    udp.extend(len.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let mut covered = ip[12..20].to_vec();
    covered.extend([0, 17]);
    covered.extend(len.to_be_bytes());
    covered.extend(&udp);
    let sum = checksum(&covered).to_be_bytes();
    udp[6..8].copy_from_slice(&sum);
    [&mac[..], &own, &[8, 0], &ip, &udp].concat()
}

/// The internet checksum (RFC 1071): 0 over what holds its own.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) * 256 + u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn quad(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).expect("four bytes"))
}
