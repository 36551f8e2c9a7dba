//! Addresses of the guest, its gateway and its name servers.

use std::net::{IpAddr, Ipv4Addr};

use ampoule_init::wire::{MAX_NAMESERVERS, Network};

use super::{Checked, scaled};

/// A name server's address.
///
/// # Errors
/// The reason in words.
pub fn name_server(text: &str) -> Checked<IpAddr> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("`{text}` is no IP address"))?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("`{text}` is not the address of one machine"));
    }
    Ok(address)
}

/// Name servers, as many as a resolver looks at.
///
/// # Errors
/// The reason in words.
pub fn name_servers(list: Vec<IpAddr>) -> Checked<Vec<IpAddr>> {
    match list.len() {
        0..=MAX_NAMESERVERS => Ok(list),
        len => Err(format!(
            "{len} name servers; programs look at {MAX_NAMESERVERS} (resolv.conf(5))"
        )),
    }
}

/// A fixed address `A.B.C.D/PREFIX` and its gateway, which must be in reach.
///
/// # Errors
/// The reason in words.
pub fn static_network(address: &str, gateway: Option<&str>) -> Checked<Network> {
    let refused = || format!("`{address}` is no address: write it like \"192.0.2.10/24\"");
    let (host, prefix) = address.split_once('/').ok_or_else(refused)?;
    let host: Ipv4Addr = host.parse().map_err(|_| refused())?;
    let prefix = scaled(prefix, 1, 32)
        .filter(|prefix| *prefix > 0)
        .and_then(|prefix| u8::try_from(prefix).ok())
        .ok_or_else(refused)?;
    if !is_host(host, prefix) {
        return Err(format!("`{address}` is not the address of one machine"));
    }
    let gateway = gateway
        .map(|text| check_gateway(text, host, prefix))
        .transpose()?;
    Ok(Network::Static {
        address: host,
        prefix,
        gateway,
    })
}

fn check_gateway(text: &str, host: Ipv4Addr, prefix: u8) -> Checked<Ipv4Addr> {
    let gateway: Ipv4Addr = text
        .parse()
        .map_err(|_| format!("`{text}` is no IPv4 address"))?;
    let mask = netmask(prefix);
    let near = gateway.to_bits() & mask == host.to_bits() & mask;
    // a /32 has no neighbours: its gateway is reached on the link (RFC 3442)
    if gateway == host || !(near || prefix == 32) || gateway.is_unspecified() {
        return Err(format!(
            "the gateway `{text}` is not a neighbour of {host}/{prefix}"
        ));
    }
    Ok(gateway)
}

/// Whether `host` can be a machine's own: no multicast or loopback, and neither
/// the first nor the last of its network (RFC 1122 section 3.2.1.3), which below
/// a /31 are no hosts (RFC 3021).
fn is_host(host: Ipv4Addr, prefix: u8) -> bool {
    let rest = host.to_bits() & !netmask(prefix);
    let edge = prefix < 31 && (rest == 0 || rest == !netmask(prefix));
    !(edge
        || host.is_unspecified()
        || host.is_multicast()
        || host.is_loopback()
        || host.is_broadcast())
}

/// The mask of a prefix of 1 to 32 bits.
fn netmask(prefix: u8) -> u32 {
    u32::MAX << (32 - u32::from(prefix.clamp(1, 32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_address_is_a_hosts_with_its_gateway_in_reach() {
        let network = static_network("10.0.2.15/24", Some("10.0.2.2")).unwrap();
        assert_eq!(
            network,
            Network::Static {
                address: Ipv4Addr::new(10, 0, 2, 15),
                prefix: 24,
                gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            }
        );
        assert!(static_network("10.0.2.15/32", Some("10.0.0.1")).is_ok());
        assert!(static_network("10.0.2.0/31", None).is_ok());
        for bad in [
            "10.0.2.15",
            "10.0.2.15/0",
            "10.0.2.15/33",
            "10.0.2.0/24",
            "10.0.2.255/24",
            "127.0.0.1/8",
            "::1/64",
        ] {
            assert!(static_network(bad, None).is_err(), "{bad}");
        }
        for bad in ["10.0.3.1", "10.0.2.15", "x"] {
            assert!(static_network("10.0.2.15/24", Some(bad)).is_err(), "{bad}");
        }
    }
}
