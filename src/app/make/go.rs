//! What Go's linker leaves in a program: the table of its functions, and since 1.13
//! the version of the toolchain and the list of modules (debug/buildinfo, cmd/go's
//! `go version -m`).

use std::collections::BTreeMap;

use memchr::memmem;

use super::{DEPENDENCIES_MAX, Module};
use crate::app::binary::Binary;
use crate::app::traces::Traces;

/// What begins the block of build information (runtime/debug, cmd/link/internal/ld).
pub const MAGIC: &[u8] = b"\xff Go buildinf:";
/// What a version of Go begins with, for programs whose block was taken out.
pub const VERSION: &[u8] = b"go1.";
/// The build id of a program that was linked without its note.
const BUILD_ID: &[u8] = b"\xff Go build ID: \"";
/// Bytes of code in which that stands: the linker puts it at the front.
const BUILD_ID_WITHIN: usize = 4096;
/// The block's length up to strings in it (1.18 and later).
const INLINE_AT: usize = 32;
/// The bit of the flags that says so.
const INLINE: u8 = 2;
/// Bytes of a version and of a list of modules that are taken.
const VERSION_MAX: usize = 256;
const MODULES_MAX: usize = 4 << 20;
/// Bytes that cmd/go puts before and behind the list, so that it can be found.
const SENTINEL: usize = 16;
/// The first word of the table of functions, by its format: 1.2, 1.16, 1.18, 1.20
/// (internal/abi, `PCLnTabMagic`).
const TABLES: [u32; 4] = [0xffff_fffb, 0xffff_fffa, 0xffff_fff0, 0xffff_fff1];

/// What is known of a program of Go.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Go {
    /// The version of the toolchain, such as `go1.26.8`.
    pub version: Option<String>,
    /// The main module.
    pub module: Option<Module>,
    /// The modules linked in.
    pub modules: BTreeMap<String, String>,
}

/// Whether Go's linker made `binary`, and what it says.
pub fn read(binary: &Binary<'_>, traces: &Traces) -> Option<Go> {
    let block = traces
        .places(MAGIC)
        .iter()
        .find_map(|place| info(binary, *place));
    if let Some((version, modules)) = block {
        let mut go = listed(&modules);
        go.version = Some(version);
        return Some(go);
    }
    is_linked_by_go(binary).then(|| Go {
        version: version(binary, traces),
        ..Go::default()
    })
}

/// Whether the marks of Go's linker are there that no stripper takes out.
fn is_linked_by_go(binary: &Binary<'_>) -> bool {
    let names = [".gopclntab", ".data.rel.ro.gopclntab", ".note.go.buildid"];
    if names.iter().any(|name| binary.section(name).is_some()) {
        return true;
    }
    let starts_with_id = |address: u64| {
        let code = binary.at(address);
        memmem::find(&code[..code.len().min(BUILD_ID_WITHIN)], BUILD_ID).is_some()
    };
    let mut segments = binary.segments.iter();
    if segments.any(|segment| segment.executable && starts_with_id(segment.address)) {
        return true;
    }
    // without sections: magic, two zeros, the unit of instructions, the width of words
    let unit = match binary.arch {
        crate::units::Arch::X86_64 => 1,
        crate::units::Arch::Aarch64 => 4,
    };
    binary.sections.is_empty()
        && TABLES.iter().any(|magic| {
            let head = [&magic.to_le_bytes()[..], &[0, 0, unit, 8]].concat();
            memmem::find(binary.bytes, &head).is_some()
        })
}

/// The version and the list of modules of the block at `place`.
fn info(binary: &Binary<'_>, place: u64) -> Option<(String, String)> {
    let block = binary.bytes.get(usize::try_from(place).ok()?..)?;
    let flags = *block.get(MAGIC.len() + 1)?;
    let (version, modules) = if flags & INLINE != 0 {
        let (version, rest) = inline(block.get(INLINE_AT..)?)?;
        (
            version,
            inline(rest).map_or(&[][..], |(modules, _)| modules),
        )
    } else {
        let pointer = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(block.get(at..at + 8)?.try_into().ok()?))
        };
        let version = string_at(binary, pointer(16)?, VERSION_MAX)?;
        let modules = string_at(binary, pointer(24)?, MODULES_MAX).unwrap_or_default();
        (version, modules)
    };
    let version = std::str::from_utf8(version).ok()?;
    // the block's magic stands in programs that read such blocks, too
    if version.len() > VERSION_MAX || !(version.starts_with("go") || version.starts_with("devel")) {
        return None;
    }
    let inner = modules
        .len()
        .checked_sub(SENTINEL)
        .and_then(|end| modules.get(SENTINEL..end))
        .unwrap_or_default();
    Some((
        version.to_owned(),
        String::from_utf8_lossy(inner).into_owned(),
    ))
}

/// A string behind its length as a varint (encoding/binary), and what follows.
fn inline(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut len = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        len |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let text = bytes.get(at + 1..)?;
            return (len <= MODULES_MAX).then(|| text.split_at_checked(len))?;
        }
    }
    None
}

/// The string whose pointer and length stand at `address`.
fn string_at<'a>(binary: &Binary<'a>, address: u64, most: usize) -> Option<&'a [u8]> {
    let len = usize::try_from(binary.word(address.checked_add(8)?)?).ok()?;
    if len > most {
        return None;
    }
    binary.at(binary.word(address)?).get(..len)
}

/// The lines of runtime/debug's `ParseBuildInfo` that name modules.
fn listed(modules: &str) -> Go {
    let mut go = Go::default();
    let mut last: Option<String> = None;
    for line in modules.lines().take(DEPENDENCIES_MAX * 2) {
        let mut fields = line.split('\t');
        let kind = fields.next().unwrap_or_default();
        let Some(path) = fields.next().filter(|path| !path.is_empty()) else {
            continue;
        };
        match kind {
            "path" if go.module.is_none() => {
                go.module = Some(Module {
                    path: path.to_owned(),
                    version: None,
                });
            }
            "mod" => {
                go.module = Some(Module {
                    path: path.to_owned(),
                    version: released(fields.next()).map(str::to_owned),
                });
            }
            "dep" if go.modules.len() < DEPENDENCIES_MAX => {
                let version = released(fields.next()).unwrap_or_default();
                go.modules.insert(path.to_owned(), version.to_owned());
                last = Some(path.to_owned());
            }
            // what is linked in the place of the module before
            "=>" => {
                if let Some(replaced) = last.take() {
                    let version = released(fields.next()).unwrap_or_default();
                    go.modules
                        .insert(replaced, format!("{path} {version}").trim_end().to_owned());
                }
            }
            _ => {}
        }
    }
    go
}

/// A module's version, unless it says that it has none.
fn released(version: Option<&str>) -> Option<&str> {
    version.filter(|version| !version.is_empty() && *version != "(devel)")
}

/// The version that `runtime.buildVersion` points at: in a program without build
/// information that is the one string of this form with a pointer and its length.
fn version(binary: &Binary<'_>, traces: &Traces) -> Option<String> {
    let candidates: Vec<(u64, &[u8])> = traces
        .places(VERSION)
        .iter()
        .filter_map(|place| {
            let text = binary.bytes.get(usize::try_from(*place).ok()?..)?;
            Some((binary.address_of(*place)?, text))
        })
        .collect();
    if candidates.is_empty() {
        return None;
    }
    // hostile segments may all hold the same bytes: no more than the file in sum
    let mut left = binary.bytes.len();
    for segment in binary.segments.iter().filter(|segment| segment.writable) {
        let data = binary.at(segment.address);
        let data = &data[..data.len().min(left)];
        left -= data.len();
        for pair in data.windows(16).step_by(8) {
            let word = |at: usize| {
                let bytes = pair.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
                bytes.map_or(0, u64::from_le_bytes)
            };
            let Some((_, text)) = candidates.iter().find(|(address, _)| *address == word(0)) else {
                continue;
            };
            let len = usize::try_from(word(8)).unwrap_or(usize::MAX);
            let text = text.get(..len).filter(|_| len <= VERSION_MAX);
            if let Some(Ok(text)) = text.map(std::str::from_utf8) {
                return Some(text.to_owned());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_modules_is_read() {
        let go = listed(
            "path\tapp/cmd\nmod\tapp\tv1.2.3\th1:x=\ndep\ta/b\tv0.1.0\th1:y=\n\
             dep\tc\tv2.0.0\n=>\td\tv3.0.0\th1:z=\ndep\te\t(devel)\nbuild\tCGO_ENABLED=0\n",
        );
        let module = go.module.unwrap();
        assert_eq!(
            (module.path.as_str(), module.version.as_deref()),
            ("app", Some("v1.2.3"))
        );
        let modules: Vec<_> = go
            .modules
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(modules, [("a/b", "v0.1.0"), ("c", "d v3.0.0"), ("e", "")]);
    }

    #[test]
    fn lengths_that_lie_give_nothing() {
        assert_eq!(
            inline(&[3, b'a', b'b', b'c', b'd']),
            Some((&b"abc"[..], &b"d"[..]))
        );
        assert_eq!(inline(&[4, b'a']), None);
        assert_eq!(inline(&[0xff; 16]), None);
        assert_eq!(inline(&[0x80]), None);
        assert_eq!(inline(&[]), None);
    }
}
