//! One layer: an archive of changes, compressed or not, applied to the tree
//! (image-spec, layer.md).

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;
use tempfile::TempDir;

use crate::digest::Digest;
use crate::root::Node;

use super::folder::{CAPABILITIES, DEVICE, NOT_UTF8, OWNER_EXECUTES, PIPE, SET_ID, SET_ID_BIT};
use super::readers::{Checked, Hashing, Padded};
use super::{Limits, Rootfs, RootfsError};

/// First bytes of what layers are compressed with (RFC 1952; RFC 8878).
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The largest window that a layer may ask for, as a power of two: what `zstd --long`
/// makes. A decoder takes as much memory.
const WINDOW_LOG_MAX: u32 = 27;
/// Bytes of a header that goes before an entry: a path is at most 4096 long, and
/// extended attributes are at most 64 KiB each.
const EXTENSION_MAX: u64 = 1 << 20;
/// What whiteouts begin with, and what makes a directory opaque.
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// What the files of AUFS itself begin with.
const AUFS: &str = ".wh..wh.";
/// The key under which archives keep a file's capabilities.
const CAPABILITY_KEY: &str = "SCHILY.xattr.security.capability";

/// Where the content of layers goes: files named by numbers.
pub(super) struct Spool<'a> {
    dir: TempDir,
    files: u64,
    /// What is still allowed.
    left: Limits,
    limits: Limits,
    /// The root, for messages.
    root: PathBuf,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> Spool<'a> {
    pub fn new(
        scratch: &Path,
        root: &Path,
        limits: &Limits,
        interrupted: &'a dyn Fn() -> bool,
    ) -> Result<Spool<'a>, RootfsError> {
        let dir = tempfile::Builder::new()
            .prefix(".ampoule-")
            .tempdir_in(scratch)
            .map_err(|source| RootfsError::Spool {
                path: scratch.to_owned(),
                source,
            })?;
        Ok(Spool {
            dir,
            files: 0,
            left: *limits,
            limits: *limits,
            root: root.to_owned(),
            interrupted,
        })
    }

    /// The folder, which whoever has it keeps alive.
    pub fn keep(self) -> TempDir {
        self.dir
    }

    /// Takes all that `content` yields. Gives the file and its length.
    fn take(&mut self, content: &mut impl Read) -> Result<(PathBuf, u64), Trouble> {
        let path = self.dir.path().join(self.files.to_string());
        self.files += 1;
        let spooled = |source| RootfsError::Spool {
            path: self.dir.path().to_owned(),
            source,
        };
        let mut file = File::create(&path).map_err(spooled)?;
        let mut buffer = vec![0; 64 << 10];
        let mut len = 0;
        loop {
            let count = content.read(&mut buffer).map_err(Trouble::Archive)?;
            if count == 0 {
                return Ok((path, len));
            }
            file.write_all(&buffer[..count]).map_err(spooled)?;
            // usize is at most 64 bits wide on every host
            len += count as u64;
        }
    }
}

/// What can go wrong inside an archive.
enum Trouble {
    /// It cannot be read on.
    Archive(io::Error),
    /// It says what must not be.
    Reason(String),
    /// It has nothing to do with the archive.
    Other(RootfsError),
}

impl From<RootfsError> for Trouble {
    fn from(error: RootfsError) -> Trouble {
        Trouble::Other(error)
    }
}

/// A layer of an image.
pub(super) struct Layer {
    /// Its place among the layers.
    pub number: usize,
    /// Its blob, of this size and digest.
    pub path: PathBuf,
    pub size: u64,
    pub digest: Digest,
    /// The digest of the archive in it.
    pub unpacked: Digest,
}

impl Layer {
    /// Applies it, and holds it against its digests.
    pub fn apply(&self, root: &mut Rootfs, spool: &mut Spool<'_>) -> Result<(), RootfsError> {
        let read = |source| RootfsError::Read {
            path: self.path.clone(),
            source,
        };
        let blob = File::open(&self.path).map_err(read)?.take(self.size);
        let mut blob = Hashing::new(Checked {
            inner: blob,
            left: u64::MAX,
            interrupted: spool.interrupted,
        });
        let result = self.decode(&mut blob, root, spool);
        let unpacked = result.map_err(|trouble| self.error(trouble, spool))?;
        // what follows the compressed archive is part of the blob, too
        io::copy(&mut blob, &mut io::sink()).map_err(read)?;
        for (what, says, has) in [
            ("content", self.digest, blob.finish()),
            ("archive", self.unpacked, unpacked),
        ] {
            if says != has {
                return Err(RootfsError::Digest {
                    path: self.path.clone(),
                    what,
                    says,
                    has,
                });
            }
        }
        Ok(())
    }

    fn error(&self, trouble: Trouble, spool: &Spool<'_>) -> RootfsError {
        match trouble {
            Trouble::Other(error) => error,
            Trouble::Archive(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                RootfsError::TooLarge {
                    path: spool.root.clone(),
                    limit: spool.limits.bytes,
                }
            }
            Trouble::Archive(source) if source.raw_os_error().is_some() => RootfsError::Read {
                path: self.path.clone(),
                source,
            },
            Trouble::Archive(error) => RootfsError::Layer {
                path: self.path.clone(),
                reason: format!("cannot be unpacked: {error}; copy the image anew"),
            },
            Trouble::Reason(reason) => RootfsError::Layer {
                path: self.path.clone(),
                reason,
            },
        }
    }

    /// Unpacks what is compressed; gives the digest of the archive.
    fn decode(
        &self,
        blob: &mut impl Read,
        root: &mut Rootfs,
        spool: &mut Spool<'_>,
    ) -> Result<Digest, Trouble> {
        let mut blob = BufReader::with_capacity(64 << 10, blob);
        let head = io::BufRead::fill_buf(&mut blob).map_err(Trouble::Archive)?;
        if head.starts_with(GZIP) {
            self.archive(MultiGzDecoder::new(blob), root, spool)
        } else if head.starts_with(ZSTD) {
            let mut decoder = zstd::stream::Decoder::with_buffer(blob).map_err(Trouble::Archive)?;
            decoder
                .window_log_max(WINDOW_LOG_MAX)
                .map_err(Trouble::Archive)?;
            self.archive(decoder, root, spool)
        } else {
            self.archive(blob, root, spool)
        }
    }

    /// Applies the archive to its end; gives its digest.
    fn archive(
        &self,
        inner: impl Read,
        root: &mut Rootfs,
        spool: &mut Spool<'_>,
    ) -> Result<Digest, Trouble> {
        let mut bytes = Hashing::new(Checked {
            inner,
            left: spool.left.bytes,
            interrupted: spool.interrupted,
        });
        let end = Rc::new(Cell::new(None));
        let mut archive = tar::Archive::new(Padded {
            inner: &mut bytes,
            count: 0,
            end: Rc::clone(&end),
        });
        let mut extension = Extension::default();
        for entry in archive.entries().map_err(Trouble::Archive)?.raw(true) {
            let mut entry = entry.map_err(Trouble::Archive)?;
            spool.left.entries =
                spool
                    .left
                    .entries
                    .checked_sub(1)
                    .ok_or_else(|| RootfsError::TooMany {
                        path: spool.root.clone(),
                        limit: spool.limits.entries,
                    })?;
            if extension.read(&mut entry)? {
                continue;
            }
            let extension = std::mem::take(&mut extension);
            let content_end = entry.raw_file_position().saturating_add(entry.size());
            self.entry(&mut entry, extension, root, spool)?;
            if entry.size() > 0 && end.get().is_some_and(|end| end < content_end) {
                let source = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(Trouble::Archive(source));
            }
        }
        // behind the end of an archive there may be padding, which its digest covers
        io::copy(&mut bytes, &mut io::sink()).map_err(Trouble::Archive)?;
        spool.left.bytes = bytes.inner.left;
        Ok(bytes.finish())
    }

    fn entry(
        &self,
        entry: &mut tar::Entry<'_, impl Read>,
        extension: Extension,
        root: &mut Rootfs,
        spool: &mut Spool<'_>,
    ) -> Result<(), Trouble> {
        let header = entry.header().clone();
        let name = extension
            .path
            .unwrap_or_else(|| entry.path_bytes().into_owned());
        let Ok(name) = String::from_utf8(name) else {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            root.left_out.insert(format!("/{name}"), NOT_UTF8);
            return Ok(());
        };
        let path = absolute(&name)?;
        let target = match extension.link {
            Some(link) => Some(link),
            None => entry.link_name_bytes().map(|bytes| bytes.into_owned()),
        };
        let Some((parent, base)) = path.rsplit_once('/') else {
            // the root itself
            return Ok(());
        };
        if base == OPAQUE {
            root.tree.opaque(parent, self.number);
            return Ok(());
        }
        if let Some(hidden) = base.strip_prefix(WHITEOUT) {
            if matches!(hidden, "" | "." | "..") {
                return Err(Trouble::Reason(format!("has a whiteout named {name:?}")));
            }
            if !base.starts_with(AUFS) {
                root.tree
                    .whiteout(&format!("{parent}/{hidden}"), self.number);
            }
            return Ok(());
        }
        let mode = header.mode().map_err(Trouble::Archive)?;
        let kind = match header.entry_type() {
            // of old, a directory was a file whose name ends with a slash
            EntryType::Regular if name.ends_with('/') => EntryType::Directory,
            kind => kind,
        };
        let node = match kind {
            EntryType::Directory => Node::Dir,
            EntryType::Regular | EntryType::Continuous => {
                let (host, len) = spool.take(entry)?;
                Node::File {
                    host: Some(host),
                    len,
                    executable: mode & OWNER_EXECUTES != 0,
                }
            }
            EntryType::Symlink => match target.map(String::from_utf8) {
                Some(Ok(target)) if !target.is_empty() => Node::Link { target },
                Some(Err(_)) => {
                    root.left_out.insert(path, NOT_UTF8);
                    return Ok(());
                }
                _ => return Err(Trouble::Reason(format!("has a link {name:?} to nothing"))),
            },
            EntryType::Link => {
                let target = target.and_then(|target| String::from_utf8(target).ok());
                let target = absolute(&target.unwrap_or_default())?;
                match root.tree.get(&target) {
                    Some(Node::Dir) | None => {
                        return Err(Trouble::Reason(format!(
                            "has a hard link {name:?} to {target:?}, which is no file"
                        )));
                    }
                    Some(node) => node.clone(),
                }
            }
            EntryType::Char | EntryType::Block => {
                root.left_out.insert(path, DEVICE);
                return Ok(());
            }
            EntryType::Fifo => {
                root.left_out.insert(path, PIPE);
                return Ok(());
            }
            other => {
                return Err(Trouble::Reason(format!(
                    "has an entry {name:?} of the type {:?}, which is not known here",
                    char::from(other.as_byte())
                )));
            }
        };
        let is_file = matches!(node, Node::File { .. });
        let put = root.tree.put(&path, node, self.number);
        let path = put.map_err(|through| {
            Trouble::Reason(format!(
                "has an entry {name:?} below {through}, which is no directory"
            ))
        })?;
        root.left_out.remove(&path);
        root.stripped.remove(&path);
        if is_file && extension.capabilities {
            root.stripped.insert(path, CAPABILITIES);
        } else if is_file && mode & SET_ID != 0 {
            root.stripped.insert(path, SET_ID_BIT);
        }
        Ok(())
    }
}

/// What goes before an entry: what its own header has no room for (pax(1), and GNU's
/// long names).
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    capabilities: bool,
}

impl Extension {
    /// Whether `entry` is one; then it is read.
    fn read(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<bool, Trouble> {
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader => {}
            EntryType::XGlobalHeader => return Ok(true),
            _ => return Ok(false),
        }
        let size = entry.header().entry_size().map_err(Trouble::Archive)?;
        if size > EXTENSION_MAX {
            return Err(Trouble::Reason(format!(
                "has a header of {size} bytes before an entry"
            )));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(Trouble::Archive)?;
        if kind == EntryType::XHeader {
            self.pax(&bytes)?;
            return Ok(true);
        }
        let end = bytes.iter().position(|octet| *octet == 0);
        bytes.truncate(end.unwrap_or(bytes.len()));
        match kind {
            EntryType::GNULongName => self.path = Some(bytes),
            _ => self.link = Some(bytes),
        }
        Ok(true)
    }

    fn pax(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        for record in tar::PaxExtensions::new(bytes) {
            let record = record.map_err(Trouble::Archive)?;
            let value = record.value_bytes();
            match record.key() {
                Ok("path") => self.path = Some(value.to_owned()),
                Ok("linkpath") => self.link = Some(value.to_owned()),
                Ok(CAPABILITY_KEY) => self.capabilities = true,
                // a length that the header has no room for: 8 GiB and more
                Ok("size") => {
                    return Err(Trouble::Reason(
                        "has a file whose length stands outside of its header, as those of 8 GiB and more; a file in an initramfs is shorter than 4 GiB".to_owned(),
                    ));
                }
                Ok(key) if key.starts_with("GNU.sparse.") => {
                    return Err(Trouble::Reason(
                        "has a sparse file; write the layer without them".to_owned(),
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The path that an entry's name stands for; empty for the root.
fn absolute(name: &str) -> Result<String, Trouble> {
    let mut path = String::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                return Err(Trouble::Reason(format!(
                    "has an entry {name:?}, which leads out of the root"
                )));
            }
            part if part.contains('\0') => {
                return Err(Trouble::Reason(format!("has an entry {name:?}")));
            }
            part => {
                path.push('/');
                path.push_str(part);
            }
        }
    }
    Ok(path)
}
