//! System calls that the network alone needs. Sockets in general are in [`super::socket`].

use core::net::Ipv4Addr;

use ampoule_init::net::dhcp::{CLIENT_PORT, SERVER_PORT};
use ampoule_init::net::frame::{Checksum, FILTER, Filter};
use ampoule_init::net::netlink::Index;

use super::arch::nr;
use super::fd::{Fd, retry};
use super::socket::{bind, send, socket};
use super::{Result, arg, call};

const AF_INET: u16 = 2;
const AF_NETLINK: u16 = 16;
const AF_PACKET: u16 = 17;
const SOCK_DGRAM: i32 = 2;
/// The IPv4 protocol in an Ethernet header (include/uapi/linux/if_ether.h).
const ETH_P_IP: u16 = 0x0800;
const SOL_SOCKET: i32 = 1;
const SOL_PACKET: i32 = 263;
/// The option, and the control message that it asks for (include/uapi/linux/if_packet.h).
const PACKET_AUXDATA: i32 = 8;

/// A socket for rtnetlink(7) that hears the multicast `groups` too.
pub fn routing(groups: u32) -> Result<Fd> {
    const NETLINK_ROUTE: i32 = 0;
    let socket = socket(AF_NETLINK.into(), SOCK_DGRAM, NETLINK_ROUTE)?;
    // struct sockaddr_nl: family, padding, port (the kernel's choice), groups
    let [family0, family1] = AF_NETLINK.to_ne_bytes();
    let [a, b, c, d] = groups.to_ne_bytes();
    let address = [family0, family1, 0, 0, 0, 0, 0, 0, a, b, c, d];
    bind(&socket, &address)?;
    Ok(socket)
}

/// A packet(7) socket for the DHCP answers that come in on one interface.
pub fn answers_on(index: Index) -> Result<Fd> {
    const SO_ATTACH_FILTER: i32 = 26;
    // no protocol yet: nothing may come in before the filter is in place
    let socket = socket(AF_PACKET.into(), SOCK_DGRAM, 0)?;
    let program = Program {
        len: FILTER.len() as u16,
        filter: FILTER.as_ptr(),
    };
    let at = core::ptr::from_ref(&program) as usize;
    let args = [
        arg(socket.raw()),
        arg(SOL_SOCKET),
        arg(SO_ATTACH_FILTER),
        at,
        size_of::<Program>(),
    ];
    // SAFETY: the kernel reads the program and the `len` instructions that it points to.
    unsafe { call(nr::SETSOCKOPT, args) }?;
    option(&socket, SOL_PACKET, PACKET_AUXDATA, &1_i32.to_ne_bytes())?;
    bind(&socket, &link_address(index))?;
    Ok(socket)
}

/// `struct sock_fprog` (include/uapi/linux/filter.h).
#[repr(C)]
struct Program {
    len: u16,
    filter: *const Filter,
}

/// `struct sockaddr_ll`: the interface, and everyone on its link.
fn link_address(index: Index) -> [u8; 20] {
    let [family0, family1] = AF_PACKET.to_ne_bytes();
    let [protocol0, protocol1] = ETH_P_IP.to_be_bytes();
    let [i, j, k, l] = index.0.to_ne_bytes();
    // hardware type and packet type are the kernel's to fill in; six bytes of address
    [
        family0, family1, protocol0, protocol1, i, j, k, l, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0, 0,
    ]
}

/// Sends an IPv4 packet to everyone on the link of an interface.
pub fn send_on_link(socket: &Fd, index: Index, packet: &[u8]) -> Result<()> {
    send(socket, packet, &link_address(index)).map(drop)
}

/// Receives an IPv4 packet from a socket of [`answers_on`]: its length, cut to the buffer's,
/// and whether its checksum counts.
pub fn receive_packet(socket: &Fd, buffer: &mut [u8]) -> Result<(usize, Checksum)> {
    const TP_STATUS_CSUMNOTREADY: u32 = 8;
    let mut part = [buffer.as_mut_ptr() as usize, buffer.len()];
    let mut control = Control::default();
    let mut message = MessageHeader {
        name: 0,
        name_len: 0,
        parts: part.as_mut_ptr() as usize,
        part_count: 1,
        control: core::ptr::from_mut(&mut control) as usize,
        control_len: size_of::<Control>(),
        flags: 0,
    };
    let at = core::ptr::from_mut(&mut message) as usize;
    // SAFETY: the kernel writes the message's header, at most the buffer's length into the
    // buffer and at most `control_len` bytes into `control`, all of which are plain numbers.
    let len = retry(|| unsafe { call(nr::RECVMSG, [arg(socket.raw()), at, 0]) })?;
    let unfinished = control.level == SOL_PACKET
        && control.kind == PACKET_AUXDATA
        && control.status & TP_STATUS_CSUMNOTREADY != 0;
    let checksum = if unfinished {
        Checksum::Unfinished
    } else {
        Checksum::Verify
    };
    Ok((len, checksum))
}

/// `struct user_msghdr` (include/linux/socket.h).
#[repr(C)]
struct MessageHeader {
    name: usize,
    name_len: i32,
    parts: usize,
    part_count: usize,
    control: usize,
    control_len: usize,
    flags: u32,
}

/// `struct cmsghdr` with a `struct tpacket_auxdata`, of which only the first field is read.
#[repr(C)]
#[derive(Default)]
struct Control {
    len: usize,
    level: i32,
    kind: i32,
    status: u32,
    rest: [u32; 5],
}

/// A UDP socket on the DHCP client's port of one interface.
pub fn client_port_of(interface: &[u8]) -> Result<Fd> {
    const SO_REUSEADDR: i32 = 2;
    const SO_BROADCAST: i32 = 6;
    const SO_BINDTODEVICE: i32 = 25;
    let socket = socket(AF_INET.into(), SOCK_DGRAM, 0)?;
    // one such socket on each interface
    option(&socket, SOL_SOCKET, SO_REUSEADDR, &1_i32.to_ne_bytes())?;
    option(&socket, SOL_SOCKET, SO_BROADCAST, &1_i32.to_ne_bytes())?;
    option(&socket, SOL_SOCKET, SO_BINDTODEVICE, interface)?;
    bind(&socket, &inet_address(Ipv4Addr::UNSPECIFIED, CLIENT_PORT))?;
    Ok(socket)
}

/// Sends a datagram to the DHCP server's port at `to`.
pub fn send_to_server(socket: &Fd, to: Ipv4Addr, message: &[u8]) -> Result<()> {
    send(socket, message, &inet_address(to, SERVER_PORT)).map(drop)
}

/// `struct sockaddr_in`
fn inet_address(ip: Ipv4Addr, port: u16) -> [u8; 16] {
    let [family0, family1] = AF_INET.to_ne_bytes();
    let [port0, port1] = port.to_be_bytes();
    let [a, b, c, d] = ip.octets();
    [
        family0, family1, port0, port1, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0,
    ]
}

/// setsockopt(2)
fn option(socket: &Fd, level: i32, name: i32, value: &[u8]) -> Result<()> {
    let at = value.as_ptr() as usize;
    let args = [arg(socket.raw()), arg(level), arg(name), at, value.len()];
    // SAFETY: the kernel reads `len` bytes there.
    unsafe { call(nr::SETSOCKOPT, args) }.map(drop)
}

/// A number that differs between machines, as far as the kernel has gathered entropy; never
/// waits for more: getrandom(2), `GRND_INSECURE`.
pub fn random() -> u64 {
    const GRND_INSECURE: usize = 4;
    let mut bytes = [0_u8; 8];
    let at = bytes.as_mut_ptr() as usize;
    // SAFETY: the kernel writes at most `len` bytes there.
    let _ = unsafe { call(nr::GETRANDOM, [at, bytes.len(), GRND_INSECURE]) };
    u64::from_ne_bytes(bytes)
}
