//! What rustc and cargo leave in a program: the compiler's commit in the paths of
//! panics, the crates in others of them, and the list of cargo-auditable.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::ZlibDecoder;
use memchr::memmem;
use serde::Deserialize;

use super::{DEPENDENCIES_MAX, Module};
use crate::app::binary::Binary;
use crate::app::traces::{self, Traces};

/// The path of the standard library, mapped to the compiler's commit.
pub const COMMIT: &[u8] = b"/rustc/";
/// The same as Debian's compiler has it, with its version.
pub const DEBIAN: &[u8] = b"/usr/src/rustc-";
/// Where cargo keeps the sources of crates, in paths that panics show.
const CRATES: &[u8] = b"/registry/src/";
/// The section of cargo-auditable: JSON, packed with zlib.
const AUDITABLE: &str = ".dep-v0";
/// Bytes of that list when unpacked (cargo-auditable's own reader has this limit).
const AUDITABLE_MAX: u64 = 8 << 20;
/// Digits of a commit.
const COMMIT_LEN: usize = 40;
/// Paths of crates that are looked at; a large program has 30,000.
const PATHS_MAX: usize = 1 << 18;

/// What is known of a program of Rust.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rust {
    /// `rustc` and its commit or version.
    pub compiler: Option<String>,
    /// The package that was built.
    pub package: Option<Module>,
    /// The crates linked in: all that cargo-auditable lists, else those that the
    /// paths of panics show.
    pub crates: BTreeMap<String, String>,
}

/// Whether `binary` has code of Rust, and what it says.
pub fn read(binary: &Binary<'_>, traces: &Traces) -> Option<Rust> {
    let text_at = |place: &u64| binary.bytes.get(usize::try_from(*place).ok()?..);
    let compiler = traces
        .places(COMMIT)
        .iter()
        .filter_map(text_at)
        .find_map(|text| commit(&text[COMMIT.len()..]))
        .or_else(|| {
            let mut debian = traces.places(DEBIAN).iter().filter_map(text_at);
            debian.find_map(|text| version(&text[DEBIAN.len()..]))
        });
    let listed = binary
        .section(AUDITABLE)
        .and_then(|section| auditable(binary.content(section)));
    if compiler.is_none() && listed.is_none() {
        return None;
    }
    let mut rust = listed.unwrap_or_default();
    if rust.crates.is_empty() {
        rust.crates = paths(binary);
    }
    rust.compiler = compiler;
    Some(rust)
}

/// The compiler whose commit or version begins `text`, up to a slash.
fn commit(text: &[u8]) -> Option<String> {
    let end = memchr::memchr(b'/', text.get(..text.len().min(COMMIT_LEN + 1))?)?;
    let name = std::str::from_utf8(&text[..end]).ok()?;
    let is_commit = name.len() == COMMIT_LEN && name.bytes().all(|b| b.is_ascii_hexdigit());
    let short = name.get(..9).unwrap_or(name);
    (is_commit || is_version(name)).then(|| format!("rustc {short}"))
}

fn version(text: &[u8]) -> Option<String> {
    let end = memchr::memchr(b'/', text.get(..text.len().min(16))?)?;
    let name = std::str::from_utf8(&text[..end]).ok()?;
    is_version(name).then(|| format!("rustc {name}"))
}

/// Whether `text` begins like a version: three numbers with points between.
fn is_version(text: &str) -> bool {
    let mut parts = text.splitn(3, '.');
    let number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    number(parts.next())
        && number(parts.next())
        && parts
            .next()
            .is_some_and(|patch| patch.starts_with(|c: char| c.is_ascii_digit()))
}

/// A name of a crate with its version, as cargo names its folder.
fn split(folder: &str) -> Option<(&str, &str)> {
    folder
        .match_indices('-')
        .map(|(at, _)| (&folder[..at], &folder[at + 1..]))
        .find(|(name, version)| !name.is_empty() && is_version(version))
}

/// The crates that the paths of panics show.
fn paths(binary: &Binary<'_>) -> BTreeMap<String, String> {
    let mut crates = BTreeMap::new();
    let finder = memmem::Finder::new(CRATES);
    let ranges = traces::data(binary);
    let pieces = ranges
        .into_iter()
        .filter_map(|range| binary.bytes.get(range));
    let found = pieces.flat_map(|piece| {
        let ends = finder.find_iter(piece).map(|at| at + CRATES.len());
        let paths = ends.map(|end| &piece[end..piece.len().min(end + 256)]);
        paths.take(PATHS_MAX).collect::<Vec<_>>()
    });
    for path in found.take(PATHS_MAX) {
        // the registry's folder, then the crate's
        let mut folders = path.split(|byte| *byte == b'/').skip(1);
        let folder = folders.next().and_then(|f| std::str::from_utf8(f).ok());
        if folders.next().is_none() || crates.len() == DEPENDENCIES_MAX {
            continue;
        }
        if let Some((name, version)) = folder.and_then(split) {
            crates.insert(name.to_owned(), version.to_owned());
        }
    }
    crates
}

/// The list of cargo-auditable (its PARSING.md): packages in no order, one the root.
#[derive(Deserialize)]
struct Auditable {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    #[serde(default)]
    root: bool,
    #[serde(default)]
    kind: Option<String>,
}

fn auditable(section: &[u8]) -> Option<Rust> {
    let mut json = Vec::new();
    let mut unpacked = ZlibDecoder::new(section).take(AUDITABLE_MAX);
    unpacked.read_to_end(&mut json).ok()?;
    let list: Auditable = serde_json::from_slice(&json).ok()?;
    let mut rust = Rust::default();
    for package in list.packages.into_iter().take(DEPENDENCIES_MAX) {
        if package.root {
            rust.package = Some(Module {
                path: package.name,
                version: Some(package.version),
            });
        } else if package.kind.as_deref() != Some("build") {
            rust.crates.insert(package.name, package.version);
        }
    }
    Some(rust)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    #[test]
    fn crates_and_versions_are_told_apart() {
        for (folder, name, version) in [
            ("mio-1.2.0", "mio", "1.2.0"),
            ("rustls-native-certs-0.8.1", "rustls-native-certs", "0.8.1"),
            ("sha-1-0.10.0", "sha-1", "0.10.0"),
            (
                "zstd-sys-2.0.16+zstd.1.5.7",
                "zstd-sys",
                "2.0.16+zstd.1.5.7",
            ),
            ("rand-0.9.0-beta.1", "rand", "0.9.0-beta.1"),
        ] {
            assert_eq!(split(folder), Some((name, version)));
        }
        assert_eq!(split("src"), None);
        assert_eq!(split("-1.0.0"), None);
        assert_eq!(split("a-1.0"), None);
    }

    #[test]
    fn the_compiler_is_told_by_commit_or_version() {
        let commit_of = |text: &[u8]| commit(text);
        let hash = b"31fca3adb283cc9dfd56b49cdee9a96eb9c96ffd/library/core";
        assert_eq!(commit_of(hash).as_deref(), Some("rustc 31fca3adb"));
        assert_eq!(
            commit_of(b"1.75.0/library").as_deref(),
            Some("rustc 1.75.0")
        );
        assert_eq!(commit_of(b"FAKE_PREFIX/library"), None);
        assert_eq!(commit_of(b""), None);
        assert_eq!(
            version(b"1.63.0/library/std").as_deref(),
            Some("rustc 1.63.0")
        );
    }

    #[test]
    fn the_list_of_cargo_auditable_is_read() {
        let json = br#"{"packages":[
            {"name":"adler","version":"0.2.3","source":"registry"},
            {"name":"app","version":"0.1.0","source":"local","dependencies":[0],"root":true},
            {"name":"cc","version":"1.0.0","source":"registry","kind":"build"}]}"#;
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
        packed.write_all(json).unwrap();
        let rust = auditable(&packed.finish().unwrap()).unwrap();
        assert_eq!(rust.package.unwrap().path, "app");
        assert_eq!(
            rust.crates,
            BTreeMap::from([("adler".to_owned(), "0.2.3".to_owned())])
        );
        assert_eq!(auditable(b"no zlib"), None);
    }
}
