//! Files that are no ELF, told by their first bytes.

/// What a file is that is no ELF.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// `#!` and the program that is to read it.
    Script {
        /// The interpreter's line, without `#!`.
        interpreter: String,
    },
    /// Windows, or EFI.
    Pe,
    /// macOS.
    MachO,
    /// A packed or bundled file.
    Archive(&'static str),
    /// WebAssembly.
    Wasm,
    /// Java byte code.
    JavaClass,
    /// Text.
    Text,
    /// Nothing known.
    Unknown,
}

/// Where and with which bytes an archive begins: file(1)'s magic, and each
/// format's own document.
const ARCHIVES: &[(usize, &[u8], &str)] = &[
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"PK\x03\x04", "a zip file"),
    (0, b"PK\x05\x06", "an empty zip file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\x04\x22\x4d\x18", "an lz4 file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z file"),
    (0, b"!<arch>\ndebian-binary", "a Debian package"),
    (0, b"!<arch>\n", "an ar archive"),
    (0, b"!<thin>\n", "a thin ar archive"),
    (0, b"\xed\xab\xee\xdb", "an RPM package"),
    (0, b"070701", "a cpio archive"),
    (0, b"hsqs", "a squashfs image"),
    (257, b"ustar", "a tar archive"),
    (510, b"\x55\xaa", "a disk image"),
];

/// Mach-O's magic numbers in both byte orders and widths (mach-o/loader.h).
const MACH_O: [[u8; 4]; 4] = [
    [0xfe, 0xed, 0xfa, 0xce],
    [0xfe, 0xed, 0xfa, 0xcf],
    [0xce, 0xfa, 0xed, 0xfe],
    [0xcf, 0xfa, 0xed, 0xfe],
];
/// A universal Mach-O (mach-o/fat.h), and, alas, Java's class file (JVMS 4.1).
const CAFEBABE: &[u8] = &[0xca, 0xfe, 0xba, 0xbe];
/// The count of architectures that no universal Mach-O reaches; Java's major
/// version, which stands in the same place, begins at 45 (JVMS table 4.1-A).
const FAT_MAX: u32 = 45;
/// Bytes of a script's first line that Linux looks at (`BINPRM_BUF_SIZE`,
/// include/uapi/linux/binfmts.h).
const SCRIPT_LINE: usize = 256;

/// The systems of EI_OSABI that are not Linux (gABI 4, ELF Identification, and
/// the registry that it points at); 0 and 3 are Linux's.
const OS_ABI: &[(u8, &str)] = &[
    (1, "HP-UX"),
    (2, "NetBSD"),
    (4, "Hurd"),
    (6, "Solaris"),
    (7, "AIX"),
    (8, "IRIX"),
    (9, "FreeBSD"),
    (10, "Tru64"),
    (12, "OpenBSD"),
    (13, "OpenVMS"),
    (15, "AROS"),
    (17, "CloudABI"),
];
/// Owners of notes by which other systems mark their programs.
const OS_NOTES: &[&str] = &["FreeBSD", "NetBSD", "OpenBSD", "DragonFly", "Haiku"];
/// The type of GNU's note on the system (LSB Core 5.0, 10.8 "ABI note tag").
const NT_GNU_ABI_TAG: u32 = 1;
/// The systems of that note in their order, Linux first.
const GNU_SYSTEMS: &[&str] = &["Linux", "Hurd", "Solaris", "FreeBSD", "NetBSD", "Syllable"];

/// The system that `EI_OSABI` names, if it is not Linux.
pub fn os_of_abi(abi: u8) -> Option<String> {
    if matches!(abi, 0 | 3) {
        return None;
    }
    let known = OS_ABI.iter().find(|(code, _)| *code == abi);
    Some(known.map_or_else(|| format!("system {abi}"), |(_, name)| (*name).to_owned()))
}

/// The system that a note names, if it is not Linux.
pub fn os_of_note(note: super::image::Note<'_>) -> Option<String> {
    let owner = std::str::from_utf8(note.owner).ok()?;
    if owner == "GNU" && note.kind == NT_GNU_ABI_TAG {
        let system = u32::from_le_bytes(note.description.get(..4)?.try_into().ok()?);
        let name = GNU_SYSTEMS.get(usize::try_from(system).ok()?);
        return (system != 0).then(|| (*name.unwrap_or(&"an unknown system")).to_owned());
    }
    OS_NOTES.contains(&owner).then(|| owner.to_owned())
}

/// Tells what the file beginning with `head` is.
pub fn tell(head: &[u8]) -> Foreign {
    if let Some(line) = head.strip_prefix(b"#!") {
        return script(line);
    }
    if head.starts_with(b"MZ") {
        return Foreign::Pe;
    }
    if MACH_O.iter().any(|magic| head.starts_with(magic)) {
        return Foreign::MachO;
    }
    if head.starts_with(CAFEBABE) {
        return fat_or_class(head);
    }
    if head.starts_with(b"\0asm") {
        return Foreign::Wasm;
    }
    let archive = ARCHIVES
        .iter()
        .find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    match archive {
        Some((_, _, name)) => Foreign::Archive(name),
        None if is_text(head) => Foreign::Text,
        None => Foreign::Unknown,
    }
}

fn script(line: &[u8]) -> Foreign {
    let line = line.split(|octet| *octet == b'\n').next().unwrap_or(line);
    let line = String::from_utf8_lossy(&line[..line.len().min(SCRIPT_LINE)]);
    Foreign::Script {
        interpreter: line.trim().escape_debug().to_string(),
    }
}

fn fat_or_class(head: &[u8]) -> Foreign {
    let count = head
        .get(4..8)
        .and_then(|count| count.try_into().ok())
        .map_or(u32::MAX, u32::from_be_bytes);
    if count < FAT_MAX {
        Foreign::MachO
    } else {
        Foreign::JavaClass
    }
}

/// Printable ASCII and UTF-8, with the usual white space.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // the head may end inside a character
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty()
        && valid
            .chars()
            .all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\x0c'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell() {
        let script = |line: &str| Foreign::Script {
            interpreter: line.to_owned(),
        };
        for (head, what) in [
            (&b"#!/bin/sh -e\necho"[..], script("/bin/sh -e")),
            (b"#! /usr/bin/env python3", script("/usr/bin/env python3")),
            (b"MZ\x90\0", Foreign::Pe),
            (b"\xcf\xfa\xed\xfe\x0c", Foreign::MachO),
            (b"\xca\xfe\xba\xbe\0\0\0\x02", Foreign::MachO),
            (b"\xca\xfe\xba\xbe\0\0\0\x41", Foreign::JavaClass),
            (b"\xca\xfe\xba\xbe", Foreign::JavaClass),
            (b"\0asm\x01", Foreign::Wasm),
            (b"!<arch>\nlibx.a/", Foreign::Archive("an ar archive")),
            (
                b"!<arch>\ndebian-binary  ",
                Foreign::Archive("a Debian package"),
            ),
            (b"\x1f\x8b\x08", Foreign::Archive("a gzip file")),
            (b"hello\n\xc3", Foreign::Text),
            (b"\x00\x01\x02", Foreign::Unknown),
            (b"\x7fEL", Foreign::Unknown),
        ] {
            assert_eq!(tell(head), what, "{head:?}");
        }
        let mut tar = [0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(tell(&tar), Foreign::Archive("a tar archive"));
    }
}
