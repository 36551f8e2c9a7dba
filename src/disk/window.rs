//! A part of a file as if it were a file of its own.

use std::io::{self, Read, Seek, SeekFrom};

use super::Extent;

/// Reads an extent of `inner`, and nothing outside it.
#[derive(Debug)]
pub struct Window<R> {
    inner: R,
    start: u64,
    len: u64,
    at: u64,
}

impl<R: Read + Seek> Window<R> {
    /// The extent of `inner`, read from its beginning.
    pub fn new(inner: R, extent: Extent) -> Window<R> {
        Window {
            inner,
            start: extent.offset.0,
            len: extent.len.0,
            at: 0,
        }
    }
}

impl<R: Read + Seek> Read for Window<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buf.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let position = self.start.checked_add(self.at);
        let position = position.ok_or(io::ErrorKind::InvalidInput)?;
        self.inner.seek(SeekFrom::Start(position))?;
        let got = self.inner.read(&mut buf[..wanted])?;
        self.at += got as u64;
        Ok(got)
    }
}

impl<R: Read + Seek> Seek for Window<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
