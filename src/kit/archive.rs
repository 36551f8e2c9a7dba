//! A kit as one file: a plain tar (POSIX.1-1988 ustar) of fixed order and owner, so
//! that the same kit is the same file. Its parts are compressed already.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use super::error::{KitError, OnPath};
use super::manifest::{FILES, INIT, MANIFEST};

/// Block size of tar.
const BLOCK: usize = 512;
/// No part of a kit is larger than this: a length in a hostile header is not believed.
const LARGEST: u64 = 256 << 20;

/// Writes the kit in `folder` to `out`, the manifest first.
pub(super) fn write(folder: &Path, out: File, path: &Path) -> Result<(), KitError> {
    let mut out = BufWriter::new(out);
    for name in [MANIFEST].iter().chain(&FILES) {
        let part = folder.join(name);
        let file = File::open(&part).on("open", &part)?;
        let length = file.metadata().on("read", &part)?.len();
        add(&mut out, name, length, file).on("write", path)?;
    }
    out.write_all(&[0; 2 * BLOCK]).on("write", path)?;
    let file = out
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .on("write", path)?;
    file.sync_all().on("write", path)
}

fn add(out: &mut impl Write, name: &str, length: u64, contents: impl Read) -> io::Result<()> {
    out.write_all(&header(name, length))?;
    let copied = io::copy(&mut contents.take(length), out)?;
    if copied != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let padding = copied.next_multiple_of(BLOCK as u64) - copied;
    io::copy(&mut io::repeat(0).take(padding), out)?;
    Ok(())
}

fn mode(name: &str) -> u32 {
    if name == INIT { 0o755 } else { 0o644 }
}

/// A ustar header for a regular file of root's, of the year 1970.
fn header(name: &str, length: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put =
        |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{:07o}", mode(name)));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{length:011o}"));
    put(136, "00000000000");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum = checksum(&block);
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block[155] = b' ';
    block
}

/// The sum of the header's bytes, its own field taken as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    block
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            u32::from(if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            })
        })
        .sum()
}

/// Reads what [`write`] wrote into `folder`. Nothing but a kit's own files, each
/// once, is taken; what they contain is for the manifest to say.
pub(super) fn read(path: &Path, folder: &Path) -> Result<(), KitError> {
    let wrong = |reason: &str| KitError::Archive {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let mut file = BufReader::new(File::open(path).on("open", path)?);
    loop {
        let mut block = [0; BLOCK];
        file.read_exact(&mut block)
            .map_err(|_| wrong("it is cut off"))?;
        if block == [0; BLOCK] {
            break;
        }
        let (name, length) = parse(&block).map_err(wrong)?;
        let target = folder.join(name);
        let mut out = File::create_new(&target).map_err(|_| wrong("it has a file twice"))?;
        let copied = io::copy(&mut (&mut file).take(length), &mut out).on("write", &target)?;
        let padding = length.next_multiple_of(BLOCK as u64) - length;
        let skipped = io::copy(&mut (&mut file).take(padding), &mut io::sink()).on("read", path)?;
        if copied != length || skipped != padding {
            return Err(wrong("it is cut off"));
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode(name));
        fs::set_permissions(&target, mode).on("write", &target)?;
    }
    match [MANIFEST]
        .iter()
        .chain(&FILES)
        .find(|name| !folder.join(name).exists())
    {
        Some(name) => Err(wrong(&format!("it has no {name}"))),
        None => Ok(()),
    }
}

fn parse(block: &[u8; BLOCK]) -> Result<(&'static str, u64), &'static str> {
    if &block[257..262] != b"ustar" {
        return Err("it is no tar file");
    }
    if octal(&block[148..156]) != Some(u64::from(checksum(block))) {
        return Err("a header is damaged");
    }
    let end = block[..100]
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(100);
    let name = [MANIFEST]
        .into_iter()
        .chain(FILES)
        .find(|name| name.as_bytes() == &block[..end])
        .ok_or("it has a file that no kit has")?;
    if !matches!(block[156], b'0' | 0) {
        return Err("it has something that is no regular file");
    }
    let length = octal(&block[124..136]).ok_or("a length is damaged")?;
    if length > LARGEST {
        return Err("it has a file larger than any kit's");
    }
    Ok((name, length))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn kit() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (size, name) in [MANIFEST].iter().chain(&FILES).enumerate() {
            fs::write(folder.path().join(name), vec![7; size * 300]).unwrap();
        }
        folder
    }

    fn exported(kit: &Path) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kit.tar");
        write(kit, File::create(&path).unwrap(), &path).unwrap();
        (folder, path)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let kit = kit();
        let (_kept, path) = exported(kit.path());
        let into = tempfile::tempdir().unwrap();
        read(&path, into.path()).unwrap();
        for name in [MANIFEST].iter().chain(&FILES) {
            let bytes = |dir: &Path| fs::read(dir.join(name)).unwrap();
            assert_eq!(bytes(kit.path()), bytes(into.path()), "{name}");
        }
        let (_kept, again) = exported(kit.path());
        assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
    }

    #[test]
    fn another_tar_reads_it_too() {
        let (_kept, path) = exported(kit().path());
        let out = Command::new("tar").arg("-tvf").arg(&path).output().unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let list = String::from_utf8(out.stdout).unwrap();
        assert_eq!(list.lines().count(), 1 + FILES.len());
        assert!(list.contains("-rwxr-xr-x 0/0"), "{list}");
    }

    #[test]
    fn hostile_and_broken_files_are_refused() {
        let (_kept, path) = exported(kit().path());
        let good = fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.tar");
            fs::write(&path, bytes).unwrap();
            let into = tempfile::tempdir().unwrap();
            read(&path, into.path()).unwrap_err().to_string()
        };
        assert!(refused(b"").contains("cut off"));
        assert!(refused(&good[..good.len() - 2000]).contains("cut off"));
        assert!(refused(&[1; 2048]).contains("no tar file"));
        let mut flipped = good.clone();
        flipped[3] ^= 1;
        assert!(refused(&flipped).contains("damaged"));
        let with_header = |block: [u8; BLOCK]| [&block[..], &good[..]].concat();
        let stranger = with_header(header("../../etc/passwd", 0));
        assert!(refused(&stranger).contains("no kit has"));
        let twice = with_header(header(MANIFEST, 0));
        assert!(refused(&twice).contains("twice"));
        assert!(refused(&with_header(header(MANIFEST, LARGEST + 1))).contains("larger"));
        let mut link = header(MANIFEST, 0);
        link[156] = b'2';
        let sum = checksum(&link);
        link[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        assert!(refused(&with_header(link)).contains("no regular file"));
    }
}
