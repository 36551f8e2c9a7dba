//! newc, the archive format that the kernel unpacks
//! (Documentation/driver-api/early-userspace/buffer-format.rst), through the
//! crate `cpio`.
//!
//! The crate cuts lengths to 32 bits, says Ok to an entry that was not filled,
//! and allocates what a hostile name length says: each is checked here.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use cpio::newc::{self, ModeFileType};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::units::Bytes;

use super::entry::{Entry, Kind, Written};
use super::error::InitramfsError;
use super::tree::{Content, Node, Tree, check_path};

/// The most that a reader unpacks. An initramfs lives in memory, so that no
/// honest one comes near.
pub const MAX_UNPACKED: u64 = 16 << 30;
/// The most entries that a reader takes.
pub const MAX_ENTRIES: usize = 1 << 20;

/// Length of an entry's fixed header: 6 bytes of magic, 13 fields of 8 digits.
const HEADER: usize = 110;
/// Where the field c_namesize lies in the header.
const NAMESIZE: std::ops::Range<usize> = 94..102;
/// Longest name with its NUL, and longest link target, that the kernel takes.
const PATH_MAX: u32 = 4096;
/// Name of the entry that ends the archive.
const TRAILER: &str = "TRAILER!!!";
/// Name under which the root itself is archived.
const ROOT: &str = ".";
/// The permission bits of a mode, and the bits that tell the kind.
const PERMISSIONS: u32 = 0o7777;
const FILE_TYPE: u32 = 0o170_000;
/// Size of the buffer through which files pass.
const CHUNK: usize = 256 << 10;

/// The length that [`write`] gives the tree's archive.
pub(super) fn archive_len(tree: &Tree) -> Bytes {
    let entry = |name: usize, body: u64| {
        let head = HEADER as u64 + name as u64 + 1;
        head.next_multiple_of(4) + body.next_multiple_of(4)
    };
    let entries = tree.iter().map(|(path, node)| {
        let body = match node {
            Node::File { content, .. } => content.len(),
            Node::Symlink { target } => target.len() as u64,
            Node::Dir { .. } | Node::Char { .. } => 0,
        };
        entry(archive_name(path).len(), body)
    });
    Bytes(entries.sum::<u64>() + entry(TRAILER.len(), 0))
}

/// Writes the tree as a newc archive: inodes numbered from 1 in byte order of
/// the paths, owner root, time zero. Host files are streamed and hashed as
/// they pass; memory does not grow with them.
///
/// # Errors
/// A host file cannot be read or is not of its stated length any more, or the
/// archive cannot be written.
pub fn write(tree: &Tree, out: impl Write) -> Result<Written, InitramfsError> {
    let mut out = Counted::new(out);
    let mut entries = Vec::with_capacity(tree.nodes());
    let mut buffer = vec![0; CHUNK];
    for (ino, (path, node)) in (1..).zip(tree.iter()) {
        let name = archive_name(path);
        let entry = write_entry(&mut out, tree, ino, name, (path, node), &mut buffer)?;
        entries.push(entry);
    }
    newc::trailer(&mut out).map_err(InitramfsError::Write)?;
    out.flush().map_err(InitramfsError::Write)?;
    let len = Bytes(out.count);
    Ok(Written { len, entries })
}

/// The path as archives hold it: relative to the root, which is `.`.
fn archive_name(path: &str) -> &str {
    match path.strip_prefix('/') {
        Some("") | None => ROOT,
        Some(name) => name,
    }
}

fn write_entry(
    out: &mut Counted<impl Write>,
    tree: &Tree,
    ino: u32,
    name: &str,
    (path, node): (&str, &Node),
    buffer: &mut [u8],
) -> Result<Entry, InitramfsError> {
    let head = newc::Builder::new(name).ino(ino);
    let mut entry = Entry {
        path: path.to_owned(),
        kind: Kind::File,
        mode: 0o777,
        size: Bytes(0),
        sha256: None,
        target: None,
        device: None,
    };
    match node {
        Node::Dir { mode } => {
            (entry.kind, entry.mode) = (Kind::Dir, *mode);
            let head = head.nlink(tree.links(path));
            put(out, head, *mode, ModeFileType::Directory, &[])?;
        }
        Node::File { mode, content } => {
            entry.mode = *mode;
            entry.size = Bytes(content.len());
            let head = head.mode(*mode).set_mode_file_type(ModeFileType::Regular);
            entry.sha256 = Some(write_file(out, head, content, buffer)?);
        }
        Node::Symlink { target } => {
            entry.kind = Kind::Symlink;
            entry.target = Some(target.clone());
            let body = target.as_bytes();
            put(out, head, entry.mode, ModeFileType::Symlink, body)?;
        }
        Node::Char { mode, major, minor } => {
            (entry.kind, entry.mode) = (Kind::Char, *mode);
            entry.device = Some((*major, *minor));
            let head = head.rdev_major(*major).rdev_minor(*minor);
            put(out, head, *mode, ModeFileType::Char, &[])?;
        }
    }
    Ok(entry)
}

/// Writes one entry whose body is at hand.
fn put(
    out: &mut Counted<impl Write>,
    head: newc::Builder,
    mode: u32,
    kind: ModeFileType,
    body: &[u8],
) -> Result<(), InitramfsError> {
    let len = u32::try_from(body.len()).map_err(|_| too_long())?;
    let mut entry = head.mode(mode).set_mode_file_type(kind).write(out, len);
    entry
        .write_all(body)
        .and_then(|()| entry.finish())
        .map_err(InitramfsError::Write)?;
    Ok(())
}

/// Writes one regular file and gives the digest of what was written.
fn write_file(
    out: &mut Counted<impl Write>,
    head: newc::Builder,
    content: &Content,
    buffer: &mut [u8],
) -> Result<Digest, InitramfsError> {
    let len = u32::try_from(content.len()).map_err(|_| too_long())?;
    let mut entry = head.write(out, len);
    let digest = match content {
        Content::Bytes(bytes) => {
            entry.write_all(bytes).map_err(InitramfsError::Write)?;
            Digest::of(bytes)
        }
        Content::Host { path, .. } => {
            let file = open(path)?;
            copy_exactly(&file, path, content.len(), &mut entry, buffer)?
        }
    };
    entry.finish().map_err(InitramfsError::Write)?;
    Ok(digest)
}

fn open(path: &Path) -> Result<File, InitramfsError> {
    let failed = |source| InitramfsError::Host {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(InitramfsError::NotAFile(path.to_owned()));
    }
    Ok(file)
}

/// Copies `len` bytes and finds the end of the file after them, neither
/// earlier nor later: `finish` of the crate would not notice.
fn copy_exactly(
    mut file: &File,
    path: &Path,
    len: u64,
    out: &mut impl Write,
    buffer: &mut [u8],
) -> Result<Digest, InitramfsError> {
    let changed = || InitramfsError::Changed {
        path: path.to_owned(),
        expected: Bytes(len),
    };
    let mut hasher = Sha256::new();
    let mut left = len;
    loop {
        let got = match file.read(buffer) {
            Ok(got) => got as u64,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                let path = path.to_owned();
                return Err(InitramfsError::Host { path, source });
            }
        };
        if got == 0 && left == 0 {
            return Ok(digest_of(hasher));
        }
        if got == 0 || got > left {
            return Err(changed());
        }
        let chunk = &buffer[..usize::try_from(got).unwrap_or(buffer.len())];
        hasher.update(chunk);
        out.write_all(chunk).map_err(InitramfsError::Write)?;
        left -= got;
    }
}

fn digest_of(hasher: Sha256) -> Digest {
    Digest::from_bytes(hasher.finalize().into())
}

/// The tree refuses such content, so that this is a second lock.
fn too_long() -> InitramfsError {
    InitramfsError::Corrupt("a file of 4 GiB or more does not fit the format".to_owned())
}

/// Is shown the content of files while they are read: the path, and a piece.
pub type See<'s> = &'s mut dyn FnMut(&str, &[u8]);

/// Reads the entries of a newc archive up to its trailer, hashing each file.
/// After the trailer only zeros may follow: the kernel would unpack anything
/// else, and an inspection must not miss it.
///
/// # Errors
/// The archive is cut off, malformed, or over [`MAX_UNPACKED`] or [`MAX_ENTRIES`].
pub(super) fn read(archive: impl Read, see: See<'_>) -> Result<Vec<Entry>, InitramfsError> {
    read_within(archive, MAX_UNPACKED, see)
}

/// As [`read`], with a limit of one's own on the unpacked bytes.
pub(super) fn read_within(
    archive: impl Read,
    limit: u64,
    see: See<'_>,
) -> Result<Vec<Entry>, InitramfsError> {
    let mut archive = Limited {
        inner: archive,
        left: limit,
    };
    let mut entries: Vec<Entry> = Vec::new();
    let mut seen = HashSet::new();
    let mut buffer = vec![0; CHUNK];
    while let Some(entry) = read_entry(&mut archive, &mut buffer, see)? {
        if entries.len() == MAX_ENTRIES {
            return Err(InitramfsError::TooMany);
        }
        // of two, the guest would have the second
        if !seen.insert(entry.path.clone()) {
            return Err(corrupt(&format!("{} is in it twice", entry.path)));
        }
        entries.push(entry);
    }
    loop {
        match archive.read(&mut buffer).map_err(read_error)? {
            0 => return Ok(entries),
            n if buffer[..n].iter().all(|&byte| byte == 0) => {}
            _ => return Err(corrupt("something follows its trailer")),
        }
    }
}

/// The next entry; `None` for the trailer.
fn read_entry(
    archive: &mut Limited<impl Read>,
    buffer: &mut [u8],
    see: See<'_>,
) -> Result<Option<Entry>, InitramfsError> {
    let mut header = [0; HEADER];
    archive.read_exact(&mut header).map_err(read_error)?;
    let name_len = std::str::from_utf8(&header[NAMESIZE])
        .ok()
        .and_then(|digits| u32::from_str_radix(digits, 16).ok());
    if !name_len.is_some_and(|len| (1..=PATH_MAX).contains(&len)) {
        return Err(corrupt("an entry's name has no valid length"));
    }
    let mut reader = newc::Reader::new(header.as_slice().chain(archive)).map_err(read_error)?;
    let head = reader.entry().clone();
    if head.is_trailer() {
        reader.finish().map_err(read_error)?;
        return Ok(None);
    }
    let mut entry = describe(&head)?;
    match entry.kind {
        Kind::File => {
            let mut see = |chunk: &[u8]| see(&entry.path, chunk);
            entry.sha256 = Some(hash(&mut reader, head.file_size(), buffer, &mut see)?);
        }
        Kind::Symlink => entry.target = Some(read_target(&mut reader, head.file_size())?),
        Kind::Dir | Kind::Char if head.file_size() > 0 => {
            return Err(corrupt(&format!("{} has content", entry.path)));
        }
        Kind::Dir | Kind::Char => {}
    }
    reader.finish().map_err(read_error)?;
    Ok(Some(entry))
}

fn describe(head: &newc::Entry) -> Result<Entry, InitramfsError> {
    let path = match head.name() {
        "" => return Err(corrupt("an entry has no name")),
        ROOT => "/".to_owned(),
        name => format!("/{name}"),
    };
    check_path(&path).map_err(|e| corrupt(&e.to_string()))?;
    let (file, symlink) = (ModeFileType::Regular, ModeFileType::Symlink);
    let (dir, char) = (ModeFileType::Directory, ModeFileType::Char);
    let kind = match head.mode() & FILE_TYPE {
        t if t == u32::from(file) => Kind::File,
        t if t == u32::from(symlink) => Kind::Symlink,
        t if t == u32::from(dir) => Kind::Dir,
        t if t == u32::from(char) => Kind::Char,
        _ => return Err(corrupt(&format!("{path} is of a kind no image holds"))),
    };
    if path == "/" && kind != Kind::Dir {
        return Err(corrupt("its root is not a directory"));
    }
    let size = if kind == Kind::File {
        head.file_size()
    } else {
        0
    };
    Ok(Entry {
        path,
        kind,
        mode: head.mode() & PERMISSIONS,
        size: Bytes(u64::from(size)),
        sha256: None,
        target: None,
        device: (kind == Kind::Char).then(|| (head.rdev_major(), head.rdev_minor())),
    })
}

/// The digest of an entry's content, which must all be there.
fn hash(
    body: &mut impl Read,
    len: u32,
    buffer: &mut [u8],
    see: &mut dyn FnMut(&[u8]),
) -> Result<Digest, InitramfsError> {
    let mut hasher = Sha256::new();
    let mut left = u64::from(len);
    while left > 0 {
        let got = match body.read(buffer) {
            Ok(0) => return Err(corrupt("it ends inside a file")),
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(read_error(e)),
        };
        hasher.update(&buffer[..got]);
        see(&buffer[..got]);
        left = left.saturating_sub(got as u64);
    }
    Ok(digest_of(hasher))
}

fn read_target(body: &mut impl Read, len: u32) -> Result<String, InitramfsError> {
    if len == 0 || len >= PATH_MAX {
        return Err(corrupt("a symbolic link's target has no valid length"));
    }
    let mut target = vec![0; len as usize];
    body.read_exact(&mut target).map_err(read_error)?;
    String::from_utf8(target).map_err(|_| corrupt("a symbolic link's target is not UTF-8"))
}

fn corrupt(what: &str) -> InitramfsError {
    InitramfsError::Corrupt(what.to_owned())
}

/// Tells the limit's own error, and a cut archive, from a failing reader.
fn read_error(e: io::Error) -> InitramfsError {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => corrupt("it is cut off"),
        io::ErrorKind::InvalidData => InitramfsError::Corrupt(e.to_string()),
        io::ErrorKind::FileTooLarge => InitramfsError::TooLarge,
        _ => InitramfsError::Read(e),
    }
}

/// A reader that fails once it has yielded `left` bytes and more would come.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        match self.left.checked_sub(got as u64) {
            Some(left) => self.left = left,
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        }
        Ok(got)
    }
}

/// A writer that counts, and that keeps back the flush with which the crate
/// ends every file: a compressor would end a block at each.
struct Counted<W> {
    inner: W,
    count: u64,
}

impl<W: Write> Counted<W> {
    fn new(inner: W) -> Counted<W> {
        Counted { inner, count: 0 }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buf)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
