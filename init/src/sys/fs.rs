//! The file tree: mounts, directories, links, settings in files.

use core::ffi::CStr;

use super::arch::nr;
use super::fd::{Fd, Flags};
use super::{Errno, Result, arg, call};

const AT_FDCWD: i32 = -100;

/// How a file system is mounted: Linux, include/uapi/linux/mount.h.
#[derive(Clone, Copy)]
pub struct MountFlags(usize);

#[allow(missing_docs)]
impl MountFlags {
    pub const READ_ONLY: MountFlags = MountFlags(1);
    pub const NO_SUID: MountFlags = MountFlags(2);
    pub const NO_DEV: MountFlags = MountFlags(4);
    pub const NO_EXEC: MountFlags = MountFlags(8);
    pub const REMOUNT: MountFlags = MountFlags(32);

    /// Both.
    pub const fn and(self, other: MountFlags) -> MountFlags {
        MountFlags(self.0 | other.0)
    }
}

/// mount(2). `kind` and `data` may be empty.
pub fn mount(kind: &CStr, target: &CStr, flags: MountFlags, data: &CStr) -> Result<()> {
    let (kind, data) = (kind.as_ptr() as usize, data.as_ptr() as usize);
    // SAFETY: all three end with NUL and are only read. The source is the kind: it is
    // what /proc/mounts shows.
    unsafe {
        call(
            nr::MOUNT,
            [kind, target.as_ptr() as usize, kind, flags.0, data],
        )
    }
    .map(drop)
}

/// mkdir(2); a directory that is there already is fine.
pub fn make_directory(path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the path ends with NUL and is only read.
    let made = unsafe {
        call(
            nr::MKDIRAT,
            [arg(AT_FDCWD), path.as_ptr() as usize, mode as usize],
        )
    };
    present(made)
}

/// symlink(2); a name that is there already is fine.
pub fn make_link(target: &CStr, path: &CStr) -> Result<()> {
    let (target, path) = (target.as_ptr() as usize, path.as_ptr() as usize);
    // SAFETY: both end with NUL and are only read.
    present(unsafe { call(nr::SYMLINKAT, [target, arg(AT_FDCWD), path]) })
}

fn present(made: Result<usize>) -> Result<()> {
    match made {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes `value` to a file that exists, as settings under /proc/sys take it.
pub fn set(path: &CStr, value: &[u8]) -> Result<()> {
    Fd::open(path, Flags::WRITE)?.write(value).map(drop)
}

/// Reads a short file whole; what does not fit is left off.
pub fn get<'b>(path: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
    let file = Fd::open(path, Flags::READ)?;
    let mut len = 0;
    loop {
        match file.read(&mut buffer[len..])? {
            0 => return Ok(&buffer[..len]),
            more => len += more,
        }
    }
}

/// Whether `path` can be opened for reading.
pub fn exists(path: &CStr) -> bool {
    Fd::open(path, Flags::READ).is_ok()
}

/// chdir(2).
pub fn change_directory(path: &CStr) -> Result<()> {
    // SAFETY: the path ends with NUL and is only read.
    unsafe { call(nr::CHDIR, [path.as_ptr() as usize]) }.map(drop)
}

/// Calls `each` with the name of every entry of a directory, `.` and `..` left out.
pub fn for_each_name(path: &CStr, each: &mut dyn FnMut(&[u8])) -> Result<()> {
    // struct linux_dirent64 of getdents64(2): the record's length at 16, the name at 19
    const RECORD_LEN: usize = 16;
    const NAME: usize = 19;
    let directory = Fd::open(path, Flags::READ.and(Flags::DIRECTORY))?;
    let mut buffer = [0_u8; 2048];
    loop {
        let at = buffer.as_mut_ptr() as usize;
        // SAFETY: the kernel writes at most the buffer's length.
        let len = unsafe { call(nr::GETDENTS64, [arg(directory.raw()), at, buffer.len()]) }?;
        let mut rest = &buffer[..len];
        if rest.is_empty() {
            return Ok(());
        }
        while let Some(record_len) = rest.get(RECORD_LEN..NAME - 1) {
            let record_len = usize::from(u16::from_ne_bytes([record_len[0], record_len[1]]));
            let Some((record, after)) = rest.split_at_checked(record_len.max(NAME)) else {
                break;
            };
            rest = after;
            let name = record[NAME..]
                .split(|byte| *byte == 0)
                .next()
                .unwrap_or_default();
            if name != b"." && name != b".." {
                each(name);
            }
        }
    }
}

/// Puts a file with these contents, readable by all, in the place of `path`: whoever opens it
/// finds the old contents or the new ones, whole. `temporary` lies in the same directory.
pub fn replace(path: &CStr, temporary: &CStr, contents: &[u8]) -> Result<()> {
    // include/uapi/asm-generic/fcntl.h: O_CREAT, O_TRUNC
    const CREATE_EMPTY: i32 = 0o1100;
    const MODE: usize = 0o644;
    let flags = Flags::WRITE.and(Flags::CLOSE_ON_EXEC).bits() | CREATE_EMPTY;
    let (from, to) = (temporary.as_ptr() as usize, path.as_ptr() as usize);
    // SAFETY: the path ends with NUL and is only read.
    let file = unsafe { call(nr::OPENAT, [arg(AT_FDCWD), from, arg(flags), MODE]) };
    let file = file.map(Fd::from_call)?;
    let mut rest = contents;
    while !rest.is_empty() {
        let written = file.write(rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    let args = [arg(AT_FDCWD), from, arg(AT_FDCWD), to, 0];
    // SAFETY: both paths end with NUL and are only read.
    unsafe { call(nr::RENAMEAT2, args) }.map(drop)
}

/// sync(2).
pub fn sync() {
    // SAFETY: no arguments.
    let _ = unsafe { call(nr::SYNC, []) };
}

/// sethostname(2).
pub fn set_host_name(name: &[u8]) -> Result<()> {
    // SAFETY: the kernel reads `len` bytes.
    unsafe { call(nr::SETHOSTNAME, [name.as_ptr() as usize, name.len()]) }.map(drop)
}

/// A path put together from parts, ended by NUL.
pub struct PathBuffer {
    bytes: [u8; 256],
    len: usize,
}

impl PathBuffer {
    /// `None`: it does not fit, or holds a NUL.
    pub fn join(parts: &[&[u8]]) -> Option<PathBuffer> {
        let mut path = PathBuffer {
            bytes: [0; 256],
            len: 0,
        };
        for part in parts {
            let end = path.len + part.len();
            path.bytes[..255]
                .get_mut(path.len..end)?
                .copy_from_slice(part);
            path.len = end;
        }
        (!path.bytes[..path.len].contains(&0)).then_some(path)
    }

    /// For system calls.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}
