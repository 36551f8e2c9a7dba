//! What a server says: the fixed fields and the options, wherever they lie.

use super::{COOKIE, HEADER_LEN, code};
use crate::net::{Mac, be32};
use core::net::Ipv4Addr;

/// The most bytes one option can have over all its parts; longer ones are taken as absent. More
/// than a message of [`MAX_MESSAGE`](super::outgoing) bytes can carry.
pub(super) const MAX_OPTION: usize = 1536;

/// Why bytes are no answer of a DHCP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Shorter than the fixed part, or an option that runs past the end of its field.
    Truncated,
    /// Not a reply to an Ethernet client, or without DHCP's magic cookie.
    NotAReply,
    /// No message type, or one that a server does not send.
    Kind,
    /// An option overload (52) of another value than 1 to 3.
    Overload,
}

/// What a server's message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DHCPOFFER
    Offer,
    /// DHCPACK
    Ack,
    /// DHCPNAK
    Nak,
}

/// A server's message, checked as far as its form goes: every option lies within its field.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its meaning.
    pub kind: Kind,
    /// The exchange it answers.
    pub xid: u32,
    /// The client it is for.
    pub mac: Mac,
    /// `yiaddr`: the client's address to be.
    pub address: Ipv4Addr,
    /// The fields that hold options, in the order of RFC 3396 section 5: options, file, sname.
    fields: [&'a [u8]; 3],
}

impl<'a> Message<'a> {
    /// Reads the payload of a UDP datagram.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, rest) = bytes
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let (cookie, options) = rest.split_first_chunk::<4>().ok_or(ParseError::Truncated)?;
        // op 2 (reply), Ethernet, six bytes of hardware address
        if header[..3] != [2, 1, 6] || *cookie != COOKIE {
            return Err(ParseError::NotAReply);
        }
        let mut message = Self {
            kind: Kind::Nak,
            xid: be32(header, 4).unwrap_or_default(),
            mac: Mac(header[28..].first_chunk().copied().unwrap_or_default()),
            address: Ipv4Addr::from_bits(be32(header, 16).unwrap_or_default()),
            fields: [options, &[], &[]],
        };
        check(options)?;
        let (file, sname) = (&bytes[108..HEADER_LEN], &bytes[44..108]);
        let [_, second, third] = &mut message.fields;
        match single(options, code::OVERLOAD) {
            None => {}
            Some([1]) => *second = file,
            Some([2]) => *third = sname,
            Some([3]) => (*second, *third) = (file, sname),
            Some(_) => return Err(ParseError::Overload),
        }
        check(message.fields[1])?;
        check(message.fields[2])?;
        let mut scratch = Scratch::new();
        message.kind = match message.option(code::MESSAGE_TYPE, &mut scratch) {
            Some([2]) => Kind::Offer,
            Some([5]) => Kind::Ack,
            Some([6]) => Kind::Nak,
            _ => return Err(ParseError::Kind),
        };
        Ok(message)
    }

    /// The server's identifier (option 54).
    pub(super) fn server(&self) -> Option<Ipv4Addr> {
        self.address_option(code::SERVER_ID, &mut Scratch::new())
    }

    /// The value of an option, its parts joined (RFC 3396 section 7). `None` when it is absent
    /// or longer than [`MAX_OPTION`].
    pub(super) fn option<'s>(&self, wanted: u8, scratch: &'s mut Scratch) -> Option<&'s [u8]> {
        let mut found = false;
        let mut len = 0;
        for field in self.fields {
            for (code, value) in Options(field) {
                if code == wanted {
                    let end = len + value.len();
                    scratch.0.get_mut(len..end)?.copy_from_slice(value);
                    len = end;
                    found = true;
                }
            }
        }
        if found { scratch.0.get(..len) } else { None }
    }

    /// The IPv4 address in an option that holds one or more, the first of them.
    pub(super) fn address_option(&self, wanted: u8, scratch: &mut Scratch) -> Option<Ipv4Addr> {
        self.u32_option(wanted, scratch).map(Ipv4Addr::from_bits)
    }

    /// The 32-bit number at the beginning of an option.
    pub(super) fn u32_option(&self, wanted: u8, scratch: &mut Scratch) -> Option<u32> {
        be32(self.option(wanted, scratch)?, 0)
    }
}

/// Where an option's parts are joined.
pub(super) struct Scratch([u8; MAX_OPTION]);

impl Scratch {
    pub(super) const fn new() -> Self {
        Self([0; MAX_OPTION])
    }
}

/// Options of one field, up to the END option, the field's end or the first malformed one.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&code, rest) = self.0.split_first()?;
            if code == code::PAD {
                self.0 = rest;
                continue;
            }
            if code == code::END {
                return None;
            }
            let (&len, rest) = rest.split_first()?;
            let (value, rest) = rest.split_at_checked(usize::from(len))?;
            self.0 = rest;
            return Some((code, value));
        }
    }
}

/// Whether every option of a field lies within it. A missing END is forgiven.
fn check(field: &[u8]) -> Result<(), ParseError> {
    let mut options = Options(field);
    while options.next().is_some() {}
    match options.0.first() {
        None | Some(&code::END) => Ok(()),
        Some(_) => Err(ParseError::Truncated),
    }
}

/// The value of an option that stands in one piece.
fn single(field: &[u8], wanted: u8) -> Option<&[u8]> {
    Options(field)
        .find(|(code, _)| *code == wanted)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dhcp::testing::{Noise, Reply};
    use std::vec;
    use std::vec::Vec;

    fn joined(bytes: &[u8], wanted: u8) -> Option<Vec<u8>> {
        let message = Message::parse(bytes).unwrap();
        let mut scratch = Scratch::new();
        message.option(wanted, &mut scratch).map(<[u8]>::to_vec)
    }

    #[test]
    fn fixed_fields() {
        let bytes = Reply::new(2, 0xdead_beef).bytes();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.kind, Kind::Offer);
        assert_eq!(message.xid, 0xdead_beef);
        assert_eq!(message.mac, Reply::MAC);
        assert_eq!(message.address, Reply::ADDRESS);
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let good = Reply::new(5, 1).bytes();
        for (at, value) in [(0, 1), (1, 6), (2, 16), (236, 0), (239, 98)] {
            let mut bytes = good.clone();
            bytes[at] = value;
            assert_eq!(
                Message::parse(&bytes).unwrap_err(),
                ParseError::NotAReply,
                "byte {at}"
            );
        }
        for kind in [0, 1, 3, 4, 7, 8, 255] {
            let bytes = Reply::new(kind, 1).bytes();
            assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::Kind);
        }
    }

    #[test]
    fn long_options_are_joined_across_fields_in_order() {
        let bytes = Reply::new(5, 1)
            .option(119, b"one ")
            .option(52, &[3])
            .option(119, b"two ")
            .file(119, b"three ")
            .sname(119, b"four")
            .bytes();
        assert_eq!(joined(&bytes, 119).unwrap(), b"one two three four");
    }

    #[test]
    fn overload_decides_which_fields_count() {
        for (overload, expected) in [(1u8, b"of".to_vec()), (2, b"os".to_vec())] {
            let bytes = Reply::new(5, 1)
                .option(15, b"o")
                .option(52, &[overload])
                .file(15, b"f")
                .sname(15, b"s")
                .bytes();
            assert_eq!(joined(&bytes, 15).unwrap(), expected);
        }
        let bytes = Reply::new(5, 1).file(15, b"f").sname(15, b"s").bytes();
        assert_eq!(joined(&bytes, 15), None);
        for wrong in [&[0u8][..], &[4], &[], &[1, 1]] {
            let bytes = Reply::new(5, 1).option(52, wrong).bytes();
            assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::Overload);
        }
    }

    #[test]
    fn nothing_behind_the_end_counts_and_a_missing_end_is_forgiven() {
        let mut bytes = Reply::new(5, 1).bytes();
        bytes.extend([15, 1, b'x']);
        assert_eq!(joined(&bytes, 15), None);
        let mut bytes = Reply::new(5, 1).option(15, b"x").bytes();
        assert_eq!(bytes.pop(), Some(255));
        assert_eq!(joined(&bytes, 15).unwrap(), b"x");
    }

    #[test]
    fn padding_is_skipped() {
        let mut bytes = Reply::new(5, 1).bytes();
        bytes.pop();
        bytes.extend([0, 0, 0, 15, 1, b'x', 0, 255]);
        assert_eq!(joined(&bytes, 15).unwrap(), b"x");
    }

    #[test]
    fn an_option_of_no_bytes_is_there() {
        let bytes = Reply::new(5, 1).option(15, b"").bytes();
        assert_eq!(joined(&bytes, 15).unwrap(), b"");
    }

    #[test]
    fn an_option_that_is_too_long_is_absent() {
        let mut reply = Reply::new(5, 1);
        for _ in 0..7 {
            reply = reply.option(119, &[b'a'; 255]);
        }
        assert_eq!(joined(&reply.bytes(), 119), None);
    }

    #[test]
    fn every_cut_is_refused_or_reads_as_a_prefix() {
        let whole = Reply::new(5, 1)
            .option(1, &[255, 255, 255, 0])
            .option(15, b"example.org")
            .bytes();
        for len in 0..whole.len() {
            match Message::parse(&whole[..len]) {
                Err(ParseError::Truncated | ParseError::Kind) => {}
                Err(other) => panic!("{other:?} at {len}"),
                // only a cut between two options leaves a message
                Ok(_) => assert!([243, 249, 262].contains(&len), "{len}"),
            }
        }
    }

    #[test]
    fn noise_is_survived() {
        let mut noise = Noise::new(1);
        let whole = Reply::new(5, 1).option(52, &[3]).bytes();
        for _ in 0..2_000 {
            let mut bytes = whole.clone();
            bytes.extend(noise.bytes(64));
            bytes.truncate(noise.below(bytes.len() + 1));
            for _ in 0..noise.below(8) {
                let at = noise.below(bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = noise.next() as u8;
                }
            }
            if let Ok(message) = Message::parse(&bytes) {
                let mut scratch = Scratch::new();
                for code in 0..=255 {
                    message.option(code, &mut scratch);
                }
            }
            let _ = Message::parse(&vec![noise.next() as u8; noise.below(2000)]);
        }
    }
}
