//! Ports that a program is likely to listen on.

use std::collections::BTreeSet;

use memchr::memchr_iter;

use super::Listen;
use super::sites::Sites;
use crate::app::binary::Binary;
use crate::app::make::Make;
use crate::app::traces::Traces;
use crate::need::Confidence::{Likely, Possible};
use crate::units::Arch;

/// Ports that are told of one program.
pub const LISTENS_MAX: usize = 16;

/// Hosts before a port, and whether no other machine reaches them. An empty one is
/// every address, as Go has it.
const HOSTS: &[(&str, bool)] = &[
    ("0.0.0.0", false),
    ("[::]", false),
    ("*", false),
    ("", false),
    ("127.0.0.1", true),
    ("[::1]", true),
    ("localhost", true),
];

/// The strings before a port that are searched for.
pub const TEXTS: &[&str] = &["0.0.0.0:", "[::]:", "127.0.0.1:", "[::1]:"];
/// An address without a port; the port is then a number in the code.
pub const LOOPBACK: &str = "127.0.0.1";

/// Addresses of every interface.
pub const EVERYWHERE: &[&str] = &["0.0.0.0", "[::]"];

/// Bytes of code around the address of [`LOOPBACK`] in which the port is looked for.
const NEAR: u64 = 1024;
/// Places that take its address and are looked at.
const SITES_MAX: usize = 64;
/// Ports from here on need no privilege, and are no common numbers in code.
const UNPRIVILEGED: u16 = 1024;
/// Numbers of 16 bits that are no ports: limits, and what is made of them.
const NO_PORTS: &[u16] = &[0x7fff, 0x8000, 0xfffe, 0xffff];

/// The port of an address to listen on, and whether it is a loopback one.
pub fn address(text: &str) -> Option<(u16, bool)> {
    let (host, port) = text.rsplit_once(':')?;
    let (_, loopback) = HOSTS.iter().find(|(known, _)| *known == host)?;
    let digits = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = digits.then(|| port.parse().ok()).flatten()?;
    // 0 is whichever is free
    (port != 0).then_some((port, *loopback))
}

/// Whether a flag of this name sets a port.
pub fn is_flag(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let word = name.rsplit(['-', '_', '.']).next().unwrap_or_default();
    word == "port" || matches!(word, "httpport" | "listenport" | "serverport")
}

/// The ports that the strings of a program of C, C++ or Rust tell.
pub fn find(
    binary: &Binary<'_>,
    traces: &Traces,
    make: &Make,
    sites: &Sites<'_, '_>,
    listens: &mut Vec<Listen>,
) {
    for text in TEXTS {
        for place in traces.places(text.as_bytes()) {
            let Some(whole) = whole(binary, *place) else {
                continue;
            };
            if let Some((port, loopback)) = address(whole) {
                let evidence = binary.evidence(*place, whole);
                listens.push(Listen {
                    port,
                    loopback,
                    confidence: Possible,
                    evidence,
                });
            }
        }
    }
    // who knows the address of every interface listens on that, if told to
    let anywhere = EVERYWHERE
        .iter()
        .any(|text| traces.first(text.as_bytes()).is_some());
    if make.language.as_deref() == Some("Rust") && !anywhere {
        listens.extend(number_near(binary, traces, sites));
    }
}

/// A string of C that is nothing but an address, at `place`.
fn whole<'a>(binary: &Binary<'a>, place: u64) -> Option<&'a str> {
    let at = usize::try_from(place).ok()?;
    let before = binary.bytes.get(at.checked_sub(1)?)?;
    let text = binary.bytes.get(at..)?;
    let text = &text[..text.len().min(32)];
    let end = memchr::memchr(0, text).filter(|_| *before == 0)?;
    std::str::from_utf8(&text[..end]).ok()
}

/// Rust has host and port apart, `("127.0.0.1", 1414)`: a number of 16 bits near the
/// place that takes the host's address, and again near another.
fn number_near(binary: &Binary<'_>, traces: &Traces, sites: &Sites<'_, '_>) -> Option<Listen> {
    let alone = |place: &&u64| {
        let end = usize::try_from(**place).ok().map(|at| at + LOOPBACK.len());
        let next = end.and_then(|end| binary.bytes.get(end));
        !matches!(next, Some(b':' | b'/'))
    };
    let places = traces.places(LOOPBACK.as_bytes()).iter().filter(alone);
    let mut targets: Vec<(u64, u64)> = places
        .filter_map(|place| Some((binary.address_of(*place)?, *place)))
        .collect();
    targets.sort_unstable();
    let addresses: Vec<u64> = targets.iter().map(|(address, _)| *address).collect();
    // each number once for each site, with the host that is meant
    let mut seen: Vec<(u16, u64)> = Vec::new();
    for site in sites.references(&addresses).into_iter().take(SITES_MAX) {
        let numbers = numbers(binary.arch, sites, site.at);
        seen.extend(numbers.into_iter().map(|number| (number, site.target)));
    }
    let times = |number: u16| seen.iter().filter(|(other, _)| *other == number).count();
    let (port, target) = *seen.iter().max_by_key(|(number, _)| times(*number))?;
    let (_, place) = targets.iter().find(|(address, _)| *address == target)?;
    let confidence = match (times(port), binary.arch) {
        (2.., _) => Likely,
        (_, Arch::X86_64) => Possible,
        // there such a number may be any
        (_, Arch::Aarch64) => return None,
    };
    let what = format!("{LOOPBACK}, and the number {port} near it");
    Some(Listen {
        port,
        loopback: true,
        confidence,
        evidence: binary.evidence(*place, what),
    })
}

/// The numbers that may be ports in the code around `at`. On x86_64 an instruction
/// with an operand of 16 bits says so; on aarch64 any that fits does, and less code is
/// looked at.
fn numbers(arch: Arch, sites: &Sites<'_, '_>, at: u64) -> BTreeSet<u16> {
    let found: Vec<u16> = match arch {
        Arch::X86_64 => {
            let (_, code) = sites.around(at, NEAR);
            let prefixes = memchr_iter(0x66, code);
            // mov with the register in the opcode
            let number = |at: usize| match code.get(at + 1..at + 4) {
                Some([0xb8..=0xbf, low, high]) => Some(u16::from_le_bytes([*low, *high])),
                _ => None,
            };
            prefixes.filter_map(number).collect()
        }
        Arch::Aarch64 => {
            let (_, code) = sites.around(at, NEAR / 2);
            let number = |bytes: &[u8]| {
                let word = u32::from_le_bytes(bytes.try_into().ok()?);
                // movz of 32 bits without a shift
                (word & 0xffe0_0000 == 0x5280_0000).then_some((word >> 5) as u16)
            };
            code.chunks_exact(4).filter_map(number).collect()
        }
    };
    let port = |number: &u16| *number >= UNPRIVILEGED && !NO_PORTS.contains(number);
    found.into_iter().filter(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on_are_told_from_others() {
        for (text, told) in [
            (":8080", Some((8080, false))),
            ("0.0.0.0:80", Some((80, false))),
            ("[::]:9070", Some((9070, false))),
            ("localhost:2019", Some((2019, true))),
            ("127.0.0.1:1414", Some((1414, true))),
            ("[::1]:53", Some((53, true))),
            ("127.0.0.1:0", None),
            ("0.0.0.0:65536", None),
            ("10.0.0.1:80", None),
            ("http://127.0.0.1:80", None),
            ("0.0.0.0:6881,[::]:6881", None),
            ("0.0.0.0:+80", None),
            ("8080", None),
        ] {
            assert_eq!(address(text), told, "{text}");
        }
    }

    #[test]
    fn flags_that_set_a_port_are_told_from_others() {
        assert!(is_flag("port") && is_flag("http-port") && is_flag("listen_port"));
        assert!(!is_flag("transport") && !is_flag("report") && !is_flag("ports"));
    }
}
