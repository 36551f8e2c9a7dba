//! Sockets: the calls that all of PID 1 shares.

use super::arch::nr;
use super::fd::{Fd, retry};
use super::{Result, arg, call};

/// A non-blocking socket, closed in a program that is executed: socket(2). The arguments
/// are the numbers of include/linux/socket.h.
pub fn socket(domain: i32, kind: i32, protocol: i32) -> Result<Fd> {
    // SOCK_CLOEXEC and SOCK_NONBLOCK are the O_ flags
    let kind = kind | 0o2_004_000;
    // SAFETY: no pointers.
    unsafe { call(nr::SOCKET, [arg(domain), arg(kind), arg(protocol)]) }.map(Fd::from_call)
}

/// bind(2) to an address of the socket's family, laid out as the kernel has it.
pub fn bind(socket: &Fd, address: &[u8]) -> Result<()> {
    let at = address.as_ptr() as usize;
    // SAFETY: the kernel reads `len` bytes there.
    unsafe { call(nr::BIND, [arg(socket.raw()), at, address.len()]) }.map(drop)
}

/// recvfrom(2) without the sender: the length of the message, cut to the buffer's.
pub fn receive(socket: &Fd, buffer: &mut [u8]) -> Result<usize> {
    let (at, len) = (buffer.as_mut_ptr() as usize, buffer.len());
    // SAFETY: the kernel writes at most `len` bytes there.
    retry(|| unsafe { call(nr::RECVFROM, [arg(socket.raw()), at, len, 0, 0, 0]) })
}

/// sendto(2); an empty address for a socket that has a peer.
pub fn send(socket: &Fd, bytes: &[u8], address: &[u8]) -> Result<usize> {
    let to = if address.is_empty() {
        0
    } else {
        address.as_ptr() as usize
    };
    let args = [
        arg(socket.raw()),
        bytes.as_ptr() as usize,
        bytes.len(),
        0,
        to,
        address.len(),
    ];
    // SAFETY: the kernel reads the given lengths there.
    retry(|| unsafe { call(nr::SENDTO, args) })
}

/// The kernel's messages about devices that come and go: netlink(7), group 1 of
/// NETLINK_KOBJECT_UEVENT.
pub fn device_events() -> Result<Fd> {
    const AF_NETLINK: u16 = 16;
    const SOCK_DGRAM: i32 = 2;
    const NETLINK_KOBJECT_UEVENT: i32 = 15;
    let socket = socket(AF_NETLINK.into(), SOCK_DGRAM, NETLINK_KOBJECT_UEVENT)?;
    // struct sockaddr_nl: family, padding, port (the kernel's choice), groups
    let mut address = [0_u8; 12];
    address[..2].copy_from_slice(&AF_NETLINK.to_ne_bytes());
    address[8..].copy_from_slice(&1_u32.to_ne_bytes());
    bind(&socket, &address)?;
    Ok(socket)
}

/// Switches an interface on: netdevice(7), `SIOCSIFFLAGS`.
pub fn interface_up(name: &[u8]) -> Result<()> {
    const AF_INET: i32 = 2;
    const SOCK_DGRAM: i32 = 2;
    // include/uapi/linux/sockios.h, include/uapi/linux/if.h
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP: u16 = 1;
    let socket = socket(AF_INET, SOCK_DGRAM, 0)?;
    // struct ifreq: sixteen bytes of name, then a union of which the flags are first
    let mut request = [0_u8; 40];
    let len = name.len().min(15);
    request[..len].copy_from_slice(&name[..len]);
    request[16..18].copy_from_slice(&IFF_UP.to_ne_bytes());
    let at = request.as_mut_ptr() as usize;
    // SAFETY: the kernel reads and writes one ifreq, 40 bytes.
    unsafe { call(nr::IOCTL, [arg(socket.raw()), SIOCSIFFLAGS, at]) }.map(drop)
}
