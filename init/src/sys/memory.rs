//! Memory that does not belong on the stack: from the kernel what has no fixed size, and
//! buffers that exist once.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use super::arch::nr;
use super::fd::Fd;
use super::{Result, arg, call};

/// A mapping, kept until the machine ends.
pub struct Map {
    start: *mut u8,
    len: usize,
}

// include/uapi/asm-generic/mman-common.h
const PROT_READ: usize = 1;
const PROT_WRITE: usize = 2;
const MAP_PRIVATE: usize = 2;
const MAP_ANONYMOUS: usize = 0x20;

impl Map {
    /// `len` bytes of zeroes.
    pub fn zeroes(len: usize) -> Result<Map> {
        Map::new(len, MAP_PRIVATE | MAP_ANONYMOUS, -1)
    }

    /// The content of a file. The file must not be written to afterwards.
    pub fn of_file(file: &Fd) -> Result<Map> {
        const SEEK_END: usize = 2;
        // SAFETY: no pointers.
        let len = unsafe { call(nr::LSEEK, [arg(file.raw()), 0, SEEK_END]) }?;
        Map::new(len, MAP_PRIVATE, file.raw())
    }

    fn new(len: usize, flags: usize, fd: i32) -> Result<Map> {
        if len == 0 {
            return Ok(Map {
                start: core::ptr::dangling_mut(),
                len,
            });
        }
        // SAFETY: no address is asked for, so nothing that is mapped is replaced. The
        // mapping is private: writing to it changes no file.
        let start = unsafe {
            call(
                nr::MMAP,
                [0, len, PROT_READ | PROT_WRITE, flags, arg(fd), 0],
            )
        }?;
        Ok(Map {
            start: core::ptr::with_exposed_provenance_mut(start),
            len,
        })
    }

    /// The bytes, for good.
    pub fn leak(self) -> &'static mut [u8] {
        // SAFETY: readable and writable for `len` bytes, or dangling with length 0; never
        // unmapped, and `self` was the only way to it.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

/// A buffer that exists once and is handed out once.
pub struct Buffer<const N: usize> {
    bytes: UnsafeCell<[u8; N]>,
    taken: AtomicBool,
}

// SAFETY: the bytes are reached through `take` alone, which gives them to one caller.
unsafe impl<const N: usize> Sync for Buffer<N> {}

impl<const N: usize> Buffer<N> {
    /// Zeroes.
    pub const fn new() -> Buffer<N> {
        Buffer {
            bytes: UnsafeCell::new([0; N]),
            taken: AtomicBool::new(false),
        }
    }

    /// The bytes.
    ///
    /// # Panics
    /// When they were taken before.
    #[allow(clippy::mut_from_ref, reason = "given out once")]
    pub fn take(&'static self) -> &'static mut [u8] {
        assert!(
            !self.taken.swap(true, Ordering::Relaxed),
            "a buffer was taken twice"
        );
        // SAFETY: this is the only reference, as the line above has made sure.
        unsafe { &mut *self.bytes.get() }
    }
}
