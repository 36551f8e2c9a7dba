//! resolv.conf(5), as glibc and musl read it.

use super::text::Text;
use crate::plain::Address;
use core::fmt::Write;
use core::net::IpAddr;

/// The most bytes a file can take: three IPv6 name servers and the longest search list.
pub const MAX_FILE: usize = 512;

/// Renders the file. `search` holds domains parted by blanks, and may be empty. Without name
/// servers the file is empty: libc would otherwise ask 127.0.0.1 for the search list alike.
#[must_use]
pub fn render(servers: &[IpAddr], search: &[u8]) -> Text<MAX_FILE> {
    let mut file = Text::new();
    for server in servers {
        let before = file.as_bytes().len();
        if writeln!(file, "nameserver {}", Address(*server)).is_err() {
            file.truncate(before);
        }
    }
    if !file.is_empty() && !search.is_empty() {
        let before = file.as_bytes().len();
        if !(file.push(b"search ") && file.push(search) && file.push(b"\n")) {
            file.truncate(before);
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn servers_then_search() {
        let file = render(
            &[ip("10.0.2.3"), ip("2001:db8::53")],
            b"a.example b.example",
        );
        assert_eq!(
            file.as_bytes(),
            b"nameserver 10.0.2.3\nnameserver 2001:db8::53\nsearch a.example b.example\n"
        );
    }

    #[test]
    fn nothing_known_is_an_empty_file() {
        assert!(render(&[], b"").is_empty());
        assert!(render(&[], b"a.example").is_empty());
        assert_eq!(render(&[ip("::1")], b"").as_bytes(), b"nameserver ::1\n");
    }

    #[test]
    fn the_longest_file_fits() {
        let server = ip("2001:db8:1111:2222:3333:4444:5555:6666");
        let file = render(&[server; 3], &[b'a'; 255]);
        assert!(file.as_bytes().ends_with(b"aaa\n"));
        // and one that does not loses whole lines only
        let file = render(&[server; 20], b"");
        assert!(file.as_bytes().ends_with(b"6666\n"));
        assert_eq!(file.as_bytes().len() % 50, 0);
    }
}
