//! Bytes on their way to a file that may be slow.

use crate::sys::{self, Errno};

/// First in, first out.
pub struct Queue {
    bytes: &'static mut [u8],
    start: usize,
    end: usize,
}

impl Queue {
    /// An empty queue of as many bytes as the buffer has.
    pub fn new(bytes: &'static mut [u8]) -> Queue {
        Queue {
            bytes,
            start: 0,
            end: 0,
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes there are to send.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// How many bytes can be added.
    pub fn room(&self) -> usize {
        self.bytes.len() - self.len()
    }

    /// Adds `bytes`, and says whether they had room; otherwise none is added.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.room() {
            return false;
        }
        if bytes.len() > self.bytes.len() - self.end {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
        true
    }

    /// Adds `bytes` where the caller has made sure of the room.
    pub fn push_or_lose(&mut self, bytes: &[u8]) {
        let _ = self.push(bytes);
    }

    /// Removes the first line.
    pub fn drop_line(&mut self) {
        let held = &self.bytes[self.start..self.end];
        let len = held
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(held.len(), |at| at + 1);
        self.start += len;
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Writes as much as the file takes now. An error other than "not now" is given.
    pub fn send(&mut self, file: &sys::fd::Fd) -> sys::Result<()> {
        while !self.is_empty() {
            match file.write(&self.bytes[self.start..self.end]) {
                Ok(0) | Err(Errno::EAGAIN) => break,
                Ok(sent) => self.start += sent,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
