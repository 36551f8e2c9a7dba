//! Bytes by place, from memory or from a file, so that no parser holds a whole app.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes at the front that tell most files apart.
pub const HEAD: usize = 4096;

/// A file's content.
pub trait Content {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;

    /// Up to `len` bytes from `offset`: fewer only where the content ends.
    ///
    /// # Errors
    /// What the system says.
    fn at_most(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;
}

impl Content for &[u8] {
    fn size(&self) -> io::Result<u64> {
        u64::try_from(self.len()).map_err(io::Error::other)
    }

    fn at_most(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..))
            .unwrap_or_default();
        Ok(rest[..len.min(rest.len())].to_vec())
    }
}

impl Content for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn at_most(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            let at = offset.saturating_add(u64::try_from(filled).map_err(io::Error::other)?);
            match self.read_at(&mut bytes[filled..], at) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}
