//! The guest's network: formats and decisions, none of which touches a kernel.
//!
//! Everything here takes bytes and times and returns bytes and decisions, so that it is
//! tested on the host. Packets come from strangers: a parser here may refuse, never panic.
//!
//! - [`dhcp`][]: the DHCPv4 messages and the client's state machine
//! - [`frame`][]: IPv4 and UDP around a DHCP message, and the socket filter
//! - [`netlink`][]: the requests to the kernel's routing socket, and its answers
//! - [`resolv`][]: `/run/resolv.conf`
//! - [`text`][]: text of fixed capacity, since PID 1 has no allocator

pub mod dhcp;
pub mod frame;
pub mod netlink;
pub mod resolv;
pub mod text;

use core::net::Ipv4Addr;

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

/// Milliseconds of a clock that never steps back (`CLOCK_BOOTTIME`, which counts a suspended
/// machine's sleep too: a lease ages while the machine sleeps).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// This time plus `milliseconds`, saturating.
    #[must_use]
    pub fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` until this time, 0 when it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// An IPv4 route as it goes into the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination network; bits beyond `prefix` are zero.
    pub destination: Ipv4Addr,
    /// Bits of the destination that count, 0 to 32.
    pub prefix: u8,
    /// Next hop; `None` is a route of link scope.
    pub gateway: Option<Ipv4Addr>,
    /// The next hop is a neighbour although no other route says so.
    pub onlink: bool,
}

impl Route {
    /// The default route over `gateway`.
    #[must_use]
    pub const fn default_over(gateway: Ipv4Addr) -> Self {
        Self {
            destination: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            gateway: Some(gateway),
            onlink: false,
        }
    }

    /// Whether this is a default route over a gateway.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.prefix == 0 && self.gateway.is_some()
    }
}

/// The network mask of `prefix` bits (0 to 32).
#[must_use]
pub fn mask(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
}

/// Whether `address` lies in the network `network/prefix`.
#[must_use]
pub fn covers(network: Ipv4Addr, prefix: u8, address: Ipv4Addr) -> bool {
    (network.to_bits() ^ address.to_bits()) & mask(prefix) == 0
}

/// The bytes of a 16-bit number in network order at `at`.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

/// The bytes of a 32-bit number in network order at `at`.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_holds_at_both_ends() {
        assert_eq!(mask(0), 0);
        assert_eq!(mask(24), 0xffff_ff00);
        assert_eq!(mask(32), u32::MAX);
        assert_eq!(mask(200), u32::MAX);
    }

    #[test]
    fn a_network_covers_its_own_only() {
        let network = Ipv4Addr::new(10, 1, 2, 0);
        assert!(covers(network, 24, Ipv4Addr::new(10, 1, 2, 255)));
        assert!(!covers(network, 24, Ipv4Addr::new(10, 1, 3, 0)));
        assert!(covers(network, 0, Ipv4Addr::new(192, 0, 2, 1)));
        assert!(!covers(network, 32, Ipv4Addr::new(10, 1, 2, 1)));
    }

    #[test]
    fn numbers_past_the_end_are_refused() {
        assert_eq!(be16(&[1, 2, 3], 1), Some(0x0203));
        assert_eq!(be16(&[1, 2, 3], 2), None);
        assert_eq!(be32(&[1, 2, 3], 0), None);
        assert_eq!(be32(&[0; 4], usize::MAX), None);
    }
}
