//! Roots of the public certificate authorities: Mozilla's, as webpki-root-certs has them.

use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::{Addition, Content, File};
use crate::need::Need;

/// Where Debian has the bundle; every list of places that programs carry has it.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where OpenSSL and its heirs look besides, for programs that look there alone.
const ELSEWHERE: &[&str] = &[
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/lib/ssl/cert.pem",
    "/usr/local/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];
/// The one that gets its link wherever a program knows it.
const ALPINE: &str = "/etc/ssl/cert.pem";
/// Where an owner's own certificates may be.
pub(super) const PLACES: &[&str] = &[
    "/etc/ca-certificates",
    "/etc/pki",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/usr/lib/ssl",
    "/usr/local/share/ca-certificates",
    "/usr/local/share/certs",
    "/usr/local/ssl",
    "/usr/share/ca-certificates",
];
/// The crate, at the version in Cargo.lock.
pub(super) const SOURCE: &str = "webpki-root-certs 1.0.11";

/// Characters in a line of PEM (RFC 7468, section 2).
const LINE: usize = 64;

pub(super) fn addition(need: &Need) -> Addition {
    let asks = |path: &&&str| {
        need.evidence
            .iter()
            .any(|place| place.what.contains(**path))
    };
    let bundle = [BUNDLE].iter().any(|path| asks(&path));
    let links = ELSEWHERE
        .iter()
        .filter(asks)
        .filter(|path| !bundle || **path == ALPINE);
    let mut files: Vec<File> = links
        .map(|path| File {
            path: (*path).to_owned(),
            content: Content::Link(BUNDLE.to_owned()),
        })
        .collect();
    files.push(File {
        path: BUNDLE.to_owned(),
        content: Content::Bytes(pem().into_bytes()),
    });
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let what = "the public certificate authorities, as Mozilla trusts them";
    Addition::new(BUNDLE, what, SOURCE, need, files)
}

/// Every root as a textual certificate (RFC 7468, section 5).
fn pem() -> String {
    let mut text = String::new();
    for root in TLS_SERVER_ROOT_CERTS {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = base64(root.as_ref());
        for line in encoded.as_bytes().chunks(LINE) {
            text.extend(line.iter().map(|byte| char::from(*byte)));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(group);
        for place in 0..4 {
            // a chunk of n bytes fills n + 1 places
            let sextet = (group >> (18 - 6 * place)) & 63;
            text.push(match place <= chunk.len() {
                true => char::from(ALPHABET[sextet as usize]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn the_bundle_holds_every_root_in_lines_of_64() {
        let pem = pem();
        let begins = pem.matches("-----BEGIN CERTIFICATE-----\n").count();
        assert_eq!(begins, TLS_SERVER_ROOT_CERTS.len());
        assert!(begins > 100, "{begins}");
        assert!(pem.lines().all(|line| line.len() <= LINE));
    }
}
