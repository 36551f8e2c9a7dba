//! Writes a unified kernel image: streamed, so that memory does not grow with
//! kernel or initrd.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::digest::{Digest, Digesting};
use crate::units::Bytes;

use super::layout::{Layout, Lengths, layout};
use super::pe::CheckSum;
use super::{FILE_ALIGNMENT, Section, UkiError};

/// Size of the buffer through which files pass.
const CHUNK: usize = 256 << 10;

/// The parts of a unified kernel image beside the stub.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Section `.osrel`: what the image is, in the form of os-release(5).
    pub osrel: &'a [u8],
    /// Section `.cmdline`: the kernel's command line, without a line end.
    pub cmdline: &'a [u8],
    /// Section `.uname`: what `uname -r` will print.
    pub uname: &'a [u8],
    /// Section `.linux`: the kernel, a PE file itself.
    pub linux: &'a Path,
    /// Section `.initrd`: the packed initramfs.
    pub initrd: &'a Path,
}

impl Parts<'_> {
    /// The parts' present lengths.
    ///
    /// # Errors
    /// Kernel or initrd cannot be examined.
    pub fn lengths(&self) -> Result<Lengths, UkiError> {
        let file = |path: &Path| match std::fs::metadata(path) {
            Ok(meta) => Ok(Bytes(meta.len())),
            Err(source) => Err(unreadable(path, source)),
        };
        Ok(Lengths {
            osrel: Bytes(self.osrel.len() as u64),
            cmdline: Bytes(self.cmdline.len() as u64),
            uname: Bytes(self.uname.len() as u64),
            initrd: file(self.initrd)?,
            linux: file(self.linux)?,
        })
    }

    fn source(&self, name: &str) -> Source<'_> {
        match name {
            ".osrel" => Source::Bytes(self.osrel),
            ".cmdline" => Source::Bytes(self.cmdline),
            ".uname" => Source::Bytes(self.uname),
            ".initrd" => Source::File(self.initrd),
            _ => Source::File(self.linux),
        }
    }
}

enum Source<'a> {
    Bytes(&'a [u8]),
    File(&'a Path),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The length of the file.
    pub len: Bytes,
    /// The sections that were added behind the stub's own.
    pub sections: Vec<Section>,
    /// Names the content: the digest of the file with its checksum, which follows
    /// from the rest, left zero.
    pub content: Digest,
}

/// Writes the unified kernel image of `stub` and `parts` to the beginning of
/// `out`. The same parts give the same bytes.
///
/// # Errors
/// As for [`layout`]; the kernel is no PE file; a part cannot be read or
/// changes while it is; the image cannot be written.
pub fn assemble(
    stub: &[u8],
    parts: &Parts<'_>,
    out: &mut (impl Write + Seek),
) -> Result<Written, UkiError> {
    let layout = layout(stub, &parts.lengths()?)?;
    check_kernel(parts.linux)?;
    out.seek(SeekFrom::Start(0)).map_err(UkiError::Write)?;
    let mut summed = Summed {
        out: Digesting::new(&mut *out),
        sum: CheckSum::default(),
    };
    write_sections(&layout, parts, &mut summed)?;
    let (sum, content) = (summed.sum.finish(), summed.out.finish());
    let at = layout.checksum_at as u64;
    out.seek(SeekFrom::Start(at))
        .and_then(|_| out.write_all(&sum.to_le_bytes()))
        .and_then(|()| out.flush())
        .map_err(UkiError::Write)?;
    Ok(Written {
        len: layout.len,
        sections: layout.sections,
        content,
    })
}

fn write_sections(
    layout: &Layout,
    parts: &Parts<'_>,
    out: &mut impl Write,
) -> Result<(), UkiError> {
    out.write_all(&layout.head).map_err(UkiError::Write)?;
    let mut buffer = vec![0; CHUNK];
    for section in &layout.sections {
        match parts.source(&section.name) {
            Source::Bytes(bytes) => out.write_all(bytes).map_err(UkiError::Write)?,
            Source::File(path) => copy(path, section.size, out, &mut buffer)?,
        }
        let padding = section.size.round_up(FILE_ALIGNMENT).0 - section.size.0;
        io::copy(&mut io::repeat(0).take(padding), out).map_err(UkiError::Write)?;
    }
    Ok(())
}

/// Copies the file, which must be as long as it was when it was laid out.
fn copy(path: &Path, len: Bytes, out: &mut impl Write, buffer: &mut [u8]) -> Result<(), UkiError> {
    let mut file = File::open(path).map_err(|source| unreadable(path, source))?;
    let mut left = len.0;
    loop {
        let got = match file.read(buffer) {
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(unreadable(path, source)),
        };
        if got == 0 && left == 0 {
            return Ok(());
        }
        match left.checked_sub(got as u64) {
            Some(rest) if got > 0 => left = rest,
            _ => return Err(UkiError::Changed(path.to_owned())),
        }
        out.write_all(&buffer[..got]).map_err(UkiError::Write)?;
    }
}

/// The stub starts the kernel through the firmware's LoadImage: a PE file.
fn check_kernel(path: &Path) -> Result<(), UkiError> {
    let mut magic = Vec::new();
    File::open(path)
        .and_then(|file| file.take(2).read_to_end(&mut magic))
        .map_err(|source| unreadable(path, source))?;
    if magic != *b"MZ" {
        return Err(UkiError::Kernel {
            path: path.to_owned(),
            reason: "it is no PE file; build it with CONFIG_EFI_STUB=y",
        });
    }
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> UkiError {
    let path: PathBuf = path.to_owned();
    UkiError::Part { path, source }
}

/// A writer that sums what passes.
struct Summed<W> {
    out: W,
    sum: CheckSum,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.out.write(buf)?;
        self.sum.update(&buf[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
