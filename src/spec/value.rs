//! The single values that file and flags share, each checked by itself.
//!
//! Every parser gives the reason in words when it refuses; who calls adds where
//! the value was written.

use std::net::{IpAddr, Ipv4Addr};

use ampoule_init::wire::{MAX_HOSTNAME, MAX_NAMESERVERS, MAX_PORTS, Network, OnExit};

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// Octets of a label of a host name (RFC 1123 section 2.1, RFC 1034 section 3.1).
const LABEL_MAX: usize = 63;
/// Octets of one argument or environment string with its NUL (`MAX_ARG_STRLEN`,
/// include/uapi/linux/binfmts.h: 32 pages).
const ARG_MAX: usize = 32 * 4096 - 1;
/// Octets of a path with its NUL (`PATH_MAX`, include/uapi/linux/limits.h).
const PATH_MAX: usize = 4096 - 1;
/// Octets of one component of a path (`NAME_MAX`, include/uapi/linux/limits.h).
const NAME_MAX: usize = 255;
/// The longest time that a setting may ask for: a day, in seconds.
const SECONDS_MAX: u32 = 24 * 60 * 60;
/// The most memory that a setting may ask for: a TiB, in MiB.
const MEMORY_MAX: u32 = 1 << 20;

/// Guest paths that belong to init or are mounted over when the machine starts,
/// and what to do instead.
const RESERVED: &[(&str, &str)] = &[
    ("/init", "it is init's"),
    ("/ampoule", "it is init's"),
    ("/proc", "the kernel's files are mounted over it"),
    ("/sys", "the kernel's files are mounted over it"),
    ("/dev", "the kernel's files are mounted over it"),
    ("/run", "a fresh file system is mounted over it"),
    ("/tmp", "a fresh file system is mounted over it"),
    ("/etc/resolv.conf", "init writes it; use the key `dns`"),
];

/// A value, or why it is refused.
pub type Checked<T> = Result<T, String>;

/// A name for an image: a label of a host name (RFC 1123 section 2.1), lower case.
///
/// # Errors
/// The reason in words.
pub fn name(text: &str) -> Checked<String> {
    if is_label(text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is no name: up to {LABEL_MAX} of a-z, 0-9 and inner hyphens"
        ))
    }
}

/// A name for an image made from the app's file name.
#[must_use]
pub fn name_from(file_name: &str) -> Option<String> {
    let kept: String = file_name
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => c,
            _ => '-',
        })
        .take(LABEL_MAX)
        .collect();
    let trimmed = kept.trim_matches('-');
    is_label(trimmed).then(|| trimmed.to_owned())
}

fn is_label(text: &str) -> bool {
    let octets = text.as_bytes();
    (1..=LABEL_MAX).contains(&octets.len())
        && octets
            .iter()
            .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A host name: labels with dots between them.
///
/// # Errors
/// The reason in words.
pub fn hostname(text: &str) -> Checked<String> {
    if text.len() <= MAX_HOSTNAME && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is no host name: up to {MAX_HOSTNAME} of a-z, 0-9 and inner hyphens, in parts with dots between"
    ))
}

/// A TCP port.
///
/// # Errors
/// The reason in words.
pub fn port(number: i64) -> Checked<u16> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{number} is no port: 1 to 65535")),
    }
}

/// TCP ports, none twice.
///
/// # Errors
/// The reason in words.
pub fn ports(list: Vec<u16>) -> Checked<Vec<u16>> {
    if list.len() > MAX_PORTS {
        return Err(format!(
            "{} ports; init watches up to {MAX_PORTS}",
            list.len()
        ));
    }
    let mut seen = std::collections::BTreeSet::new();
    match list.iter().find(|port| !seen.insert(**port)) {
        Some(port) => Err(format!("port {port} is there twice")),
        None => Ok(list),
    }
}

/// `UID` or `UID:GID`; the group is the user's number if it is not said.
///
/// # Errors
/// The reason in words.
pub fn user(text: &str) -> Checked<User> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    match (id(uid), id(gid)) {
        (Some(uid), Some(gid)) => Ok(User { uid, gid }),
        _ => Err(format!(
            "`{text}` is no user: UID or UID:GID in numbers; an image knows no names"
        )),
    }
}

/// A number of a user or group; the last one means "unchanged" to the kernel
/// (chown(2), setresuid(2)).
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits
        .then(|| text.parse().ok())?
        .filter(|id| *id != u32::MAX)
}

/// The name of an environment variable.
///
/// # Errors
/// The reason in words.
pub fn env_key(text: &str) -> Checked<String> {
    let plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic() && c != b'=');
    if plain {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{}` is no name of a variable: letters, digits and signs without `=` and spaces",
            text.escape_debug()
        ))
    }
}

/// `K=V`, where V may be empty and hold anything.
///
/// # Errors
/// The reason in words.
pub fn env(text: &str) -> Checked<(String, String)> {
    let (key, value) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` has no `=`: give the value too, the host's is never taken")
    })?;
    Ok((env_key(key)?, argument(value)?))
}

/// A string that the kernel takes as an argument or variable.
///
/// # Errors
/// The reason in words.
pub fn argument(text: &str) -> Checked<String> {
    if text.contains('\0') {
        return Err("a NUL cannot be passed to a program".to_owned());
    }
    if text.len() >= ARG_MAX {
        return Err(format!(
            "{} bytes in one string; Linux takes up to {ARG_MAX}",
            text.len()
        ));
    }
    Ok(text.to_owned())
}

/// An absolute path in the guest, without `.`, `..` and empty parts.
///
/// # Errors
/// The reason in words.
pub fn guest_path(text: &str) -> Checked<String> {
    let Some(relative) = text.strip_prefix('/') else {
        return Err(format!(
            "`{text}` is no path in the image: it begins with /"
        ));
    };
    let relative = relative.strip_suffix('/').unwrap_or(relative);
    if relative.is_empty() {
        return Ok("/".to_owned());
    }
    if relative
        .split('/')
        .any(|part| matches!(part, "" | "." | ".."))
    {
        return Err(format!("`{text}` has an empty part, `.` or `..` in it"));
    }
    if relative.contains(char::is_control) {
        return Err(format!("`{}` has a control character", text.escape_debug()));
    }
    if relative.len() >= PATH_MAX || relative.split('/').any(|part| part.len() > NAME_MAX) {
        return Err(format!(
            "the path of {} bytes is too long for Linux",
            text.len()
        ));
    }
    Ok(format!("/{relative}"))
}

/// A guest path where a file may be put.
///
/// # Errors
/// The reason in words.
pub fn file_path(text: &str) -> Checked<String> {
    let path = guest_path(text)?;
    free_path(&path)?;
    Ok(path)
}

/// Whether `path`, in the form that [`guest_path`] gives, is free for files.
///
/// # Errors
/// The reason in words.
pub fn free_path(path: &str) -> Checked<()> {
    let under = |top: &str| {
        path.strip_prefix(top)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match RESERVED.iter().find(|(top, _)| under(top)) {
        Some((top, why)) => Err(format!(
            "nothing can be put at {path}: {top} is taken, {why}"
        )),
        None => Ok(()),
    }
}

/// `HOST:GUEST`, split at the last colon before a `/`, so that a host path may
/// hold colons.
///
/// # Errors
/// The reason in words.
pub fn file(text: &str) -> Checked<(String, String)> {
    match text.rfind(":/") {
        Some(at) if at > 0 => Ok((text[..at].to_owned(), file_path(&text[at + 1..])?)),
        _ => Err(format!(
            "`{text}` is not HOST:GUEST, with a path in the image that begins with /"
        )),
    }
}

/// A time: `10s` or `2m`; in seconds.
///
/// # Errors
/// The reason in words.
pub fn seconds(text: &str) -> Checked<u32> {
    let refused = || format!("`{text}` is no time: write it like \"10s\" or \"2m\", up to a day");
    let (digits, scale) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        _ => return Err(refused()),
    };
    scaled(digits, scale, SECONDS_MAX).ok_or_else(refused)
}

/// An amount of memory: `64MiB` or `2GiB`; in MiB.
///
/// # Errors
/// The reason in words.
pub fn memory(text: &str) -> Checked<u32> {
    let refused =
        || format!("`{text}` is no amount of memory: write it like \"64MiB\" or \"2GiB\"");
    let (digits, scale) = match (text.strip_suffix("MiB"), text.strip_suffix("GiB")) {
        (Some(digits), _) => (digits, 1),
        (_, Some(digits)) => (digits, 1024),
        _ => return Err(refused()),
    };
    scaled(digits.trim_end(), scale, MEMORY_MAX).ok_or_else(refused)
}

fn scaled(digits: &str, scale: u32, most: u32) -> Option<u32> {
    let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    let number: u32 = plain.then(|| digits.parse().ok())??;
    number.checked_mul(scale).filter(|number| *number <= most)
}

/// `poweroff` or `reboot`.
///
/// # Errors
/// The reason in words.
pub fn on_exit(text: &str) -> Checked<OnExit> {
    match text {
        "poweroff" => Ok(OnExit::PowerOff),
        "reboot" => Ok(OnExit::Reboot),
        _ => Err(format!("`{text}` is neither \"poweroff\" nor \"reboot\"")),
    }
}

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
    fn names_are_labels() {
        for good in ["a", "a-1", "0x", &"a".repeat(63)] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"a".repeat(64)] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert!(hostname("web-1.example.net").is_ok());
        assert!(hostname("web..net").is_err());
        assert_eq!(name_from("Über_App.v2").as_deref(), Some("ber-app-v2"));
        assert_eq!(name_from(&"x".repeat(99)).map(|n| n.len()), Some(63));
    }

    #[test]
    fn ports_are_bounded_and_unique() {
        assert_eq!(port(65535), Ok(65535));
        for bad in [0, -1, 65536] {
            assert!(port(bad).is_err(), "{bad}");
        }
        assert!(ports((1..=33).collect()).is_err());
        assert!(ports(vec![80, 443, 80]).unwrap_err().contains("port 80"));
    }

    #[test]
    fn users_are_numbers() {
        assert_eq!(user("0"), Ok(User { uid: 0, gid: 0 }));
        assert_eq!(user("1:2"), Ok(User { uid: 1, gid: 2 }));
        for bad in ["", "root", "1:", ":1", "+1", "4294967295", "1:2:3"] {
            assert!(user(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_need_a_name_and_a_value() {
        assert_eq!(env("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(env("A="), Ok(("A".into(), String::new())));
        for bad in ["A", "=b", "A B=c", "A=\0"] {
            assert!(env(bad).is_err(), "{bad}");
        }
        assert!(argument(&"x".repeat(ARG_MAX)).is_err());
    }

    #[test]
    fn guest_paths_are_absolute_and_plain() {
        assert_eq!(guest_path("/srv/a/").as_deref(), Ok("/srv/a"));
        assert_eq!(guest_path("/").as_deref(), Ok("/"));
        for bad in ["", "srv", "/a//b", "/a/../b", "/./a", "/a\nb"] {
            assert!(guest_path(bad).is_err(), "{bad:?}");
        }
        assert!(guest_path(&format!("/{}", "x".repeat(256))).is_err());
    }

    #[test]
    fn what_is_inits_or_mounted_over_is_taken() {
        for bad in [
            "/init",
            "/ampoule/config",
            "/proc",
            "/dev/x",
            "/etc/resolv.conf",
            "/tmp/a",
        ] {
            assert!(file_path(bad).is_err(), "{bad}");
        }
        for good in ["/initrd", "/etc/hosts", "/srv/proc", "/"] {
            assert!(file_path(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn host_and_guest_part_at_the_last_colon_before_a_slash() {
        assert_eq!(file("a:/b"), Ok(("a".into(), "/b".into())));
        assert_eq!(file("C:/x:y:/b"), Ok(("C:/x:y".into(), "/b".into())));
        for bad in ["a", ":/b", "a:b", ""] {
            assert!(file(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_and_memory_carry_their_unit() {
        assert_eq!(seconds("10s"), Ok(10));
        assert_eq!(seconds("2m"), Ok(120));
        assert_eq!(memory("64MiB"), Ok(64));
        assert_eq!(memory("2GiB"), Ok(2048));
        for bad in ["", "10", "s", "-1s", "1.5s", "86401s", "99999999999s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        for bad in ["64", "64MB", "MiB", "9999999GiB"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

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
