//! Readers around a layer: what passes through is digested, bounded, and filled up.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// Bytes in a block of an archive (pax(1), ustar Interchange Format).
const BLOCK: u64 = 512;

/// A reader that digests what passes through it.
pub struct Hashing<R> {
    pub inner: R,
    hasher: Sha256,
}

impl<R> Hashing<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Hashing<R> {
        Hashing {
            inner,
            hasher: Sha256::new(),
        }
    }

    /// The digest of all that was read.
    pub fn finish(self) -> Digest {
        Digest::from_bytes(self.hasher.finalize().into())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// A reader that fills up the last block with zeroes: umoci's `insert`, for one, ends an
/// archive with the last byte of its last file, and Go reads that.
pub struct Padded<R> {
    pub inner: R,
    pub count: u64,
    /// Where the archive itself ended, once it has.
    pub end: Rc<Cell<Option<u64>>>,
}

impl<R: Read> Read for Padded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = match self.end.get() {
            Some(_) => 0,
            None => self.inner.read(buffer)?,
        };
        if count == 0 && !buffer.is_empty() {
            self.end.set(self.end.get().or(Some(self.count)));
            let lacks = self.count.next_multiple_of(BLOCK) - self.count;
            count = buffer.len().min(usize::try_from(lacks).unwrap_or(0));
            buffer[..count].fill(0);
        }
        // usize is at most 64 bits wide on every host
        self.count += count as u64;
        Ok(count)
    }
}

/// A reader that stops at a limit, and when it is told to.
pub struct Checked<'a, R> {
    pub inner: R,
    /// Bytes that may still come.
    pub left: u64,
    pub interrupted: &'a dyn Fn() -> bool,
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.interrupted)() {
            return Err(io::Error::other("interrupted"));
        }
        let count = self.inner.read(buffer)?;
        // usize is at most 64 bits wide on every host
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(count)
    }
}
