//! Domain names out of options 15 and 119, fit to stand in a file that libc reads.

use crate::net::text::Text;

/// The most text the search list may have. musl reads 255 bytes of it.
pub const MAX_SEARCH: usize = 255;
/// The longest name in text form (RFC 1035 section 2.3.4: 255 octets on the wire).
const MAX_NAME: usize = 253;
/// The longest label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// Domains, parted by blanks.
pub type Search = Text<MAX_SEARCH>;

/// The domain search list (RFC 3397): names as RFC 1035 writes them, compressed by pointers
/// into the option. Reads up to the first malformed name; names that hold anything but letters,
/// digits, hyphens and underscores, or that do not fit any more, are left out.
pub fn from_search_list(option: &[u8]) -> Search {
    let mut search = Search::new();
    let mut at = 0;
    while at < option.len() {
        let mut name = Text::<MAX_NAME>::new();
        let Some(next) = read_name(option, at, &mut name) else {
            break;
        };
        add(&mut search, name.as_bytes());
        at = next;
    }
    search
}

/// The domain name (RFC 2132 section 3.17), or several parted by blanks as some servers send.
pub fn from_domain_name(option: &[u8]) -> Search {
    let mut search = Search::new();
    for name in option.split(|byte| *byte == b' ' || *byte == 0) {
        add(&mut search, name);
    }
    search
}

/// A host name (option 12), its domain cut off; empty when it is none.
pub fn host_name(option: &[u8]) -> Text<MAX_LABEL> {
    let label = option
        .split(|byte| *byte == b'.' || *byte == 0)
        .next()
        .unwrap_or_default();
    let mut name = Text::new();
    if is_label(label) {
        name.push(label);
    }
    name
}

/// Adds a name to the list unless it is not one, is there already, or does not fit.
fn add(search: &mut Search, name: &[u8]) {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let known = search
        .as_bytes()
        .split(|byte| *byte == b' ')
        .any(|other| other == name);
    if known || name.len() > MAX_NAME || !name.split(|byte| *byte == b'.').all(is_label) {
        return;
    }
    let before = search.as_bytes().len();
    if before > 0 && !search.push(b" ") {
        return;
    }
    if !search.push(name) {
        search.truncate(before);
    }
}

fn is_label(label: &[u8]) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && !label.starts_with(b"-")
        && label
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_')
}

/// Reads the name at `start` into `name` and returns where the next one begins.
fn read_name<const N: usize>(option: &[u8], start: usize, name: &mut Text<N>) -> Option<usize> {
    let mut at = start;
    // where this name began, or the pointer's target: a pointer may only lead before it, so
    // that every chain of pointers ends
    let mut limit = start;
    let mut next = None;
    loop {
        let length = usize::from(*option.get(at)?);
        match length {
            0 => return Some(next.unwrap_or(at + 1)),
            1..=MAX_LABEL => {
                let label = option.get(at + 1..at + 1 + length)?;
                if !name.is_empty() && !name.push(b".") || !name.push(label) {
                    return None;
                }
                at += 1 + length;
            }
            // two set bits mark a pointer of 14 bits (RFC 1035 section 4.1.4)
            0xc0.. => {
                let low = usize::from(*option.get(at + 1)?);
                next = next.or(Some(at + 2));
                at = (length & 0x3f) << 8 | low;
                if at >= limit {
                    return None;
                }
                limit = at;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dhcp::testing::Noise;
    use std::vec::Vec;

    #[test]
    fn the_example_of_rfc_3397() {
        // section 2: eng.apple.com and marketing.apple.com
        let option = b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04";
        assert_eq!(
            from_search_list(option).as_bytes(),
            b"eng.apple.com marketing.apple.com"
        );
    }

    #[test]
    fn a_pointer_chain_and_a_repeated_name() {
        let option = b"\x01a\x01b\0\x01c\xc0\x02\x01d\xc0\x05\x01c\xc0\x02";
        assert_eq!(from_search_list(option).as_bytes(), b"a.b c.b d.c.b");
    }

    #[test]
    fn pointers_that_do_not_lead_back_end_the_list() {
        for option in [
            &b"\xc0\x00"[..],
            b"\xc0\x02\xc0\x00",
            b"\x01a\xc0\x00",
            b"\x01a\0\xc0\x05\x01b\0",
            b"\x01a\0\xc0",
            b"\x01a\0\x40",
            b"\x01a\0\x80a",
            b"\x01a\0\x05b",
        ] {
            let search = from_search_list(option);
            assert!(
                search.is_empty() || search.as_bytes() == b"a",
                "{:?}",
                option
            );
        }
    }

    #[test]
    fn nothing_that_could_forge_a_line_gets_through() {
        assert!(from_search_list(b"\x0da\nnameserver 1\0").is_empty());
        assert!(from_domain_name(b"a\nnameserver.b").is_empty());
        assert!(from_domain_name(b"-a.b").is_empty());
        assert!(from_domain_name(b"a..b").is_empty());
        assert!(from_domain_name(b"").is_empty());
        assert_eq!(host_name(b"a\nb").as_bytes(), b"");
    }

    #[test]
    fn domain_names_as_servers_send_them() {
        assert_eq!(
            from_domain_name(b"us-east-2.compute.internal").as_bytes(),
            b"us-east-2.compute.internal"
        );
        assert_eq!(
            from_domain_name(b"example.org.\0").as_bytes(),
            b"example.org"
        );
        assert_eq!(from_domain_name(b"a.b c.d a.b").as_bytes(), b"a.b c.d");
    }

    #[test]
    fn host_names_lose_their_domain() {
        assert_eq!(host_name(b"web-1.c.project.internal").as_bytes(), b"web-1");
        assert_eq!(host_name(&[b'a'; 64]).as_bytes(), b"");
    }

    #[test]
    fn a_list_that_does_not_fit_keeps_whole_names() {
        let mut option = Vec::new();
        for first in b'a'..=b'j' {
            option.push(40);
            option.extend([first; 40]);
            option.push(0);
        }
        let search = from_search_list(&option);
        assert_eq!(search.as_bytes().len(), 6 * 40 + 5);
        assert!(
            search
                .as_bytes()
                .split(|b| *b == b' ')
                .all(|n| n.len() == 40)
        );
    }

    #[test]
    fn noise_is_survived() {
        let mut noise = Noise::new(2);
        for _ in 0..10_000 {
            let len = noise.below(80);
            let mut bytes = noise.bytes(len);
            // plausible lengths and pointers lead deeper
            for byte in &mut bytes {
                if noise.below(3) == 0 {
                    *byte = [0, 1, 3, 0xc0, b'a'][noise.below(5)];
                }
            }
            for search in [from_search_list(&bytes), from_domain_name(&bytes)] {
                assert!(!search.as_bytes().contains(&b'\n'));
            }
        }
    }
}
