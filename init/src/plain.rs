//! Numbers and addresses as text, and back.
//!
//! The standard library's formatting and parsing of the same would be a sixth of PID 1.
//! The tests hold these against it.

use core::fmt::{self, Display, Write};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A number in decimal digits.
#[derive(Clone, Copy)]
pub struct Decimal(pub u64);

impl Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 10 {
            Decimal(self.0 / 10).fmt(f)?;
        }
        digit(f, (self.0 % 10) as u32)
    }
}

/// One digit, hexadecimal from ten on.
fn digit(f: &mut fmt::Formatter<'_>, value: u32) -> fmt::Result {
    f.write_char(char::from_digit(value, 16).unwrap_or('?'))
}

/// Text that is never padded.
#[derive(Clone, Copy)]
pub struct Plain<'a>(pub &'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An IP address, version 6 as RFC 5952 wants it but never with dotted decimals.
#[derive(Clone, Copy)]
pub struct Address(pub IpAddr);

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => dotted(f, address),
            IpAddr::V6(address) => colons(f, &address.segments()),
        }
    }
}

fn dotted(f: &mut fmt::Formatter<'_>, address: Ipv4Addr) -> fmt::Result {
    for (index, byte) in address.octets().into_iter().enumerate() {
        if index > 0 {
            f.write_char('.')?;
        }
        Decimal(byte.into()).fmt(f)?;
    }
    Ok(())
}

fn colons(f: &mut fmt::Formatter<'_>, segments: &[u16; 8]) -> fmt::Result {
    let (start, len) = longest_zeroes(segments);
    let mut index = 0;
    while index < 8 {
        if len > 1 && index == start {
            f.write_str("::")?;
            index += len;
            continue;
        }
        if index > 0 && !(len > 1 && index == start + len) {
            f.write_char(':')?;
        }
        hexadecimal(f, segments[index].into())?;
        index += 1;
    }
    Ok(())
}

/// Where the longest row of zero segments begins, the first of equals, and its length.
fn longest_zeroes(segments: &[u16; 8]) -> (usize, usize) {
    let (mut best, mut row) = ((0, 0), (0, 0));
    for (index, segment) in segments.iter().enumerate() {
        row = if *segment == 0 {
            (row.0, row.1 + 1)
        } else {
            (index + 1, 0)
        };
        if row.1 > best.1 {
            best = row;
        }
    }
    best
}

fn hexadecimal(f: &mut fmt::Formatter<'_>, value: u32) -> fmt::Result {
    if value >= 16 {
        hexadecimal(f, value / 16)?;
    }
    digit(f, value % 16)
}

/// Reads a number of decimal digits alone, at most `max`.
#[must_use]
pub fn decimal(text: &[u8], max: u64) -> Option<u64> {
    number(text, 10, max)
}

fn number(text: &[u8], base: u64, max: u64) -> Option<u64> {
    let mut value = 0_u64;
    for byte in text {
        let digit = char::from(*byte).to_digit(base as u32)?;
        value = value.checked_mul(base)?.checked_add(digit.into())?;
        if value > max {
            return None;
        }
    }
    (!text.is_empty()).then_some(value)
}

/// Reads an IPv4 address: four numbers without leading zeroes.
#[must_use]
pub fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split(|byte| *byte == b'.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.len() > 1 && part[0] == b'0' {
            return None;
        }
        *octet = decimal(part, 255)? as u8;
    }
    parts.next().is_none().then_some(Ipv4Addr::from(octets))
}

/// Reads an address of either version; version 6 without dotted decimals.
#[must_use]
pub fn address(text: &[u8]) -> Option<IpAddr> {
    if text.contains(&b':') {
        ipv6(text).map(IpAddr::V6)
    } else {
        ipv4(text).map(IpAddr::V4)
    }
}

fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let mut segments = [0; 8];
    let gap = text.windows(2).position(|pair| pair == b"::");
    let (head, tail) = match gap {
        Some(at) => (&text[..at], &text[at + 2..]),
        None => (text, &text[text.len()..]),
    };
    let first = segments_of(head, &mut segments)?;
    let mut last = [0; 8];
    let rest = segments_of(tail, &mut last)?;
    let full = first + rest;
    // the gap stands for one zero segment at least
    if if gap.is_some() { full > 7 } else { full != 8 } {
        return None;
    }
    segments[8 - rest..].copy_from_slice(&last[..rest]);
    Some(Ipv6Addr::from(segments))
}

/// Reads segments between colons, and says how many; none in an empty text.
fn segments_of(text: &[u8], segments: &mut [u16; 8]) -> Option<usize> {
    if text.is_empty() {
        return Some(0);
    }
    let mut count = 0;
    for part in text.split(|byte| *byte == b':') {
        if part.len() > 4 {
            return None;
        }
        *segments.get_mut(count)? = number(part, 16, 0xffff)? as u16;
        count += 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    /// Numbers without a pattern, the same in every run.
    fn random() -> impl FnMut() -> u32 {
        let mut state = 7_u64;
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u32
        }
    }

    #[test]
    fn numbers_are_written_and_read() {
        for value in [0, 9, 10, 65535, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(Decimal(value).to_string(), value.to_string());
            assert_eq!(decimal(value.to_string().as_bytes(), u64::MAX), Some(value));
        }
        for bad in [
            "",
            "-1",
            "+1",
            " 1",
            "1 ",
            "0x1",
            "256",
            "18446744073709551616",
        ] {
            assert_eq!(decimal(bad.as_bytes(), 255), None, "{bad}");
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        let mut random = random();
        for _ in 0..20_000 {
            let v4 = IpAddr::V4(Ipv4Addr::from_bits(random()));
            assert_eq!(Address(v4).to_string(), v4.to_string());
            let mut segments = [0_u16; 8];
            for segment in &mut segments {
                // many zeroes, many short ones
                *segment = if random() % 2 == 0 {
                    0
                } else {
                    (random() >> (random() % 32)) as u16
                };
            }
            let v6 = Ipv6Addr::from(segments);
            // the standard library shows these with dotted decimals
            if v6.to_ipv4_mapped().is_none() {
                assert_eq!(Address(IpAddr::V6(v6)).to_string(), v6.to_string());
            }
        }
    }

    #[test]
    fn addresses_are_read_as_the_standard_library_does() {
        let mut random = random();
        let alphabet = [
            "::", ":", ".", "0", "1", "25", "255", "256", "f", "abcd", "12345", "g",
        ];
        for _ in 0..50_000 {
            let parts = 1 + random() % 12;
            let text: String = (0..parts)
                .map(|_| alphabet[random() as usize % alphabet.len()])
                .collect();
            let theirs: Option<IpAddr> = text.parse().ok();
            let dotted_v6 = text.contains(':') && text.contains('.');
            if !dotted_v6 {
                assert_eq!(address(text.as_bytes()), theirs, "{text}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "::",
            "::1",
            "1::",
            "fe80::1",
            "2001:db8:0:1:1:1:1:1",
            "::ffff:102:304",
            "1:0:0:2::3",
        ] {
            let read = address(text.as_bytes()).unwrap();
            assert_eq!(read, text.parse::<IpAddr>().unwrap());
            assert_eq!(Address(read).to_string(), text);
        }
    }
}
