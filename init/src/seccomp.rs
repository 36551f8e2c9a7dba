//! The filter of system calls: a file in the initramfs, written by the host.
//!
//! [`PATH`] holds a number of instructions (two bytes, little-endian), as many
//! instructions of classic BPF (`struct sock_filter`, eight bytes each), and then one entry
//! for each system call, from number 0 on, ended by one NUL byte. An entry is empty where
//! there is no such call. Else it is the call's name; before it stands [`GRANTED`] where
//! the call is to go on when the filter hands it over, and behind it what PID 1 shows of
//! its arguments: `/N` says that argument N is a path, `@N` that it is a socket address.
//!
//! The filter hands over ([`Action::Notify`]) what it refuses, so that PID 1 can name it,
//! and execve(2), which the program itself is started by.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::report::Subject;

/// Where the file lies in the guest.
pub const PATH: &str = "/ampoule/seccomp";

/// Bytes of one instruction: include/uapi/linux/filter.h, `struct sock_filter`.
pub const INSTRUCTION: usize = 8;

/// One more than the highest number of a call that the pinned kernel knows, `mseal`:
/// Linux 6.12, include/uapi/asm-generic/unistd.h and arch/x86/entry/syscalls/syscall_64.tbl.
pub const CALLS: usize = 463;

/// Put before the name of a call that goes on when it is handed over.
pub const GRANTED: u8 = b'+';

/// What a filter decides of a call: include/uapi/linux/seccomp.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// The process ends by SIGSYS.
    Kill = 0x8000_0000,
    /// ENOSYS, as the kernel answers a call that it does not know.
    Unknown = 0x0005_0000 | 38,
    /// PID 1 decides.
    Notify = 0x7fc0_0000,
    /// The call is made.
    Allow = 0x7fff_0000,
}

/// A file that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy<'a> {
    /// The instructions, a whole number of them.
    pub filter: &'a [u8],
    entries: &'a [u8],
}

/// What is known of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Its name in unistd.h, without `__NR_`.
    pub name: &'a str,
    /// Whether it goes on when the filter hands it over.
    pub granted: bool,
    /// The argument that is shown.
    pub shown: Option<Shown>,
}

/// An argument that points to something worth showing; its place counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A path ended by NUL.
    Path(usize),
    /// A `struct sockaddr`.
    Address(usize),
}

/// Reads a file; `None` when it is cut short.
pub fn parse(file: &[u8]) -> Option<Policy<'_>> {
    let (len, rest) = file.split_first_chunk()?;
    let len = usize::from(u16::from_le_bytes(*len)) * INSTRUCTION;
    let (filter, entries) = rest.split_at_checked(len)?;
    Some(Policy { filter, entries })
}

impl<'a> Policy<'a> {
    /// What the file says of the call with this number.
    pub fn call(&self, number: usize) -> Option<Call<'a>> {
        let entry = self.entries.split(|byte| *byte == 0).nth(number)?;
        let (granted, entry) = match entry {
            [GRANTED, rest @ ..] => (true, rest),
            _ => (false, entry),
        };
        let (name, shown) = match entry {
            [name @ .., b'/', place] => (name, Some(Shown::Path(digit(*place)))),
            [name @ .., b'@', place] => (name, Some(Shown::Address(digit(*place)))),
            _ => (entry, None),
        };
        let name = core::str::from_utf8(name).ok()?;
        (!name.is_empty()).then_some(Call {
            name,
            granted,
            shown,
        })
    }
}

/// The place of one of six arguments.
fn digit(place: u8) -> usize {
    usize::from(place.wrapping_sub(b'0')) % 6
}

/// Writes a file: `filter`, and an entry for each of `calls`, the first that of number 0.
///
/// # Panics
/// When `filter` is no whole number of instructions, or more than `BPF_MAXINSNS`.
pub fn encode<'a>(
    filter: &[u8],
    calls: impl Iterator<Item = Option<Call<'a>>>,
    out: &mut dyn FnMut(&[u8]),
) {
    /// include/uapi/linux/bpf_common.h
    const BPF_MAXINSNS: usize = 4096;
    let len = filter.len() / INSTRUCTION;
    assert!(filter.len() % INSTRUCTION == 0 && len <= BPF_MAXINSNS);
    out(&(len as u16).to_le_bytes());
    out(filter);
    for call in calls {
        if let Some(call) = call {
            if call.granted {
                out(&[GRANTED]);
            }
            out(call.name.as_bytes());
            match call.shown {
                Some(Shown::Path(place)) => out(&[b'/', b'0' + place as u8]),
                Some(Shown::Address(place)) => out(&[b'@', b'0' + place as u8]),
                None => {}
            }
        }
        out(&[0]);
    }
}

/// What a `struct sockaddr` says, as far as `bytes` reach: unix(7), ip(7), ipv6(7). What
/// stands behind a path's NUL is left off.
pub fn address(bytes: &[u8]) -> Option<Subject<'_>> {
    const AF_UNIX: u16 = 1;
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    let (family, rest) = bytes.split_first_chunk()?;
    let port = || rest.first_chunk().map(|port| u16::from_be_bytes(*port));
    match u16::from_ne_bytes(*family) {
        AF_UNIX => Some(path(rest)),
        AF_INET => {
            let address: [u8; 4] = *rest.get(2..)?.first_chunk()?;
            Some(Subject::Socket(
                IpAddr::V4(Ipv4Addr::from(address)),
                port()?,
            ))
        }
        AF_INET6 => {
            // the flow label stands between
            let address: [u8; 16] = *rest.get(6..)?.first_chunk()?;
            Some(Subject::Socket(
                IpAddr::V6(Ipv6Addr::from(address)),
                port()?,
            ))
        }
        _ => None,
    }
}

/// The path at the beginning of `bytes`, up to its NUL.
pub fn path(bytes: &[u8]) -> Subject<'_> {
    let end = bytes.iter().position(|byte| *byte == 0);
    Subject::Path(&bytes[..end.unwrap_or(bytes.len())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn call(name: &str) -> Call<'_> {
        Call {
            name,
            granted: false,
            shown: None,
        }
    }

    fn file() -> Vec<u8> {
        let calls = [
            Some(call("read")),
            None,
            Some(Call {
                shown: Some(Shown::Path(1)),
                ..call("openat")
            }),
            Some(Call {
                granted: true,
                shown: Some(Shown::Path(0)),
                ..call("execve")
            }),
            Some(Call {
                shown: Some(Shown::Address(4)),
                ..call("sendto")
            }),
        ];
        let mut file = Vec::new();
        encode(&[7; 16], calls.into_iter(), &mut |bytes| {
            file.extend_from_slice(bytes)
        });
        file
    }

    #[test]
    fn what_is_written_is_read_back() {
        let file = file();
        let policy = parse(&file).unwrap();
        assert_eq!(policy.filter, [7; 16]);
        assert_eq!(policy.call(0), Some(call("read")));
        assert_eq!(policy.call(1), None);
        assert_eq!(policy.call(2).unwrap().shown, Some(Shown::Path(1)));
        let execve = policy.call(3).unwrap();
        assert!(execve.granted && execve.shown == Some(Shown::Path(0)));
        assert_eq!(policy.call(4).unwrap().shown, Some(Shown::Address(4)));
        assert_eq!(policy.call(5), None);
        assert_eq!(policy.call(500), None);
    }

    #[test]
    fn a_filter_that_is_cut_short_is_none() {
        let file = file();
        for len in 0..2 + 16 {
            assert_eq!(parse(&file[..len]), None, "{len}");
        }
        // entries that are missing are calls without a name
        assert!(parse(&file[..2 + 16]).unwrap().call(0).is_none());
    }

    #[test]
    fn addresses_of_each_family_are_told() {
        let mut v4 = Vec::from(2_u16.to_ne_bytes());
        v4.extend([0x1f, 0x90, 10, 0, 2, 2, 0, 0]);
        let expected = Subject::Socket("10.0.2.2".parse().unwrap(), 8080);
        assert_eq!(address(&v4), Some(expected));
        let mut v6 = Vec::from(10_u16.to_ne_bytes());
        v6.extend([0, 80, 0, 0, 0, 0]);
        v6.extend([0; 15]);
        v6.push(1);
        let expected = Subject::Socket("::1".parse().unwrap(), 80);
        assert_eq!(address(&v6), Some(expected));
        let mut unix = Vec::from(1_u16.to_ne_bytes());
        unix.extend(b"/run/x\0left over");
        assert_eq!(address(&unix), Some(Subject::Path(b"/run/x")));
        for len in 0..8 {
            assert_eq!(address(&v4[..len]), None);
        }
        assert_eq!(address(&[99, 0, 1, 2, 3, 4, 5, 6]), None);
    }
}
