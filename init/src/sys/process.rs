//! Processes: start, confine, reap.

use core::ffi::CStr;

use super::arch::nr;
use super::memory::Map;
use super::{Errno, Result, arg, call};

/// Which side of a fork this is.
pub enum Side {
    /// The new process.
    Child,
    /// The old one, with the number of the new.
    Parent(u32),
}

/// fork(2).
pub fn fork() -> Result<Side> {
    const SIGCHLD: usize = 17;
    // SAFETY: without CLONE_VM the child has its own copy of all memory and runs on from
    // here; PID 1 has one thread, so nothing is left half-done in the copy.
    match unsafe { call(nr::CLONE, [SIGCHLD, 0, 0, 0, 0]) }? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid as u32)),
    }
}

/// exit_group(2).
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: no pointers; does not return.
        let _ = unsafe { call(nr::EXIT_GROUP, [arg(code)]) };
    }
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a code.
    Exit(u8),
    /// By a signal.
    Signal(u8),
}

/// What there is to reap.
pub enum Reaped {
    /// This process ended.
    Ended(u32, End),
    /// Every child runs.
    NothingYet,
    /// There is no child.
    NoChild,
}

/// wait4(2) for any child, without waiting.
pub fn reap() -> Reaped {
    const WNOHANG: usize = 1;
    let mut status = 0_i32;
    let at = core::ptr::from_mut(&mut status) as usize;
    // SAFETY: the kernel writes one int there.
    match unsafe { call(nr::WAIT4, [arg(-1), at, WNOHANG, 0]) } {
        Ok(0) => Reaped::NothingYet,
        Ok(pid) => Reaped::Ended(pid as u32, ended(status)),
        Err(_) => Reaped::NoChild,
    }
}

/// wait(2): the low seven bits are the signal, the next byte the code.
fn ended(status: i32) -> End {
    let [low, code, ..] = status.to_le_bytes();
    match low & 0x7f {
        0 => End::Exit(code),
        signal => End::Signal(signal),
    }
}

/// setsid(2): a session and process group of its own.
pub fn new_session() -> Result<()> {
    // SAFETY: no arguments.
    unsafe { call(nr::SETSID, []) }.map(drop)
}

/// umask(2): what a file that the program makes is not allowed by default.
pub fn set_umask(mask: u32) -> Result<()> {
    // SAFETY: no pointers.
    unsafe { call(nr::UMASK, [mask as usize]) }.map(drop)
}

/// User and group, real, effective and saved, and no further groups.
pub fn become_user(uid: u32, gid: u32) -> Result<()> {
    let (uid, gid) = (uid as usize, gid as usize);
    // SAFETY: no pointers: the list of groups has no entries.
    unsafe {
        call(nr::SETGROUPS, [0, 0])?;
        call(nr::SETRESGID, [gid, gid, gid])?;
        call(nr::SETRESUID, [uid, uid, uid])?;
    }
    Ok(())
}

/// Removes every capability from the bounding set: capabilities(7). Nothing that is
/// executed later can get one.
pub fn drop_bounding_capabilities() -> Result<()> {
    const PR_CAPBSET_DROP: usize = 24;
    for capability in 0..64 {
        // SAFETY: no pointers.
        match unsafe { call(nr::PRCTL, [PR_CAPBSET_DROP, capability, 0, 0, 0]) } {
            Ok(_) => {}
            // past the last one that this kernel knows
            Err(Errno::EINVAL) if capability > 0 => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Gives up every capability, the ambient ones included: capset(2).
pub fn drop_capabilities() -> Result<()> {
    const PR_CAP_AMBIENT: usize = 47;
    const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let header = [LINUX_CAPABILITY_VERSION_3, 0];
    let none = [0_u32; 6];
    // SAFETY: the kernel reads a header of two words and, in this version, two sets of
    // three words.
    unsafe {
        call(
            nr::PRCTL,
            [PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0],
        )?;
        call(
            nr::CAPSET,
            [header.as_ptr() as usize, none.as_ptr() as usize],
        )?;
    }
    Ok(())
}

/// Nothing that is executed gains privileges: prctl(2), `PR_SET_NO_NEW_PRIVS`.
pub fn no_new_privileges() -> Result<()> {
    const PR_SET_NO_NEW_PRIVS: usize = 38;
    // SAFETY: no pointers.
    unsafe { call(nr::PRCTL, [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0]) }.map(drop)
}

/// What setrlimit(2) limits: include/uapi/asm-generic/resource.h.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Resource {
    /// Bytes of a core dump.
    Core = 4,
    /// One more than the highest descriptor.
    Files = 7,
}

/// prlimit(2) of this process.
pub fn set_limit(resource: Resource, soft: u64, hard: u64) -> Result<()> {
    let limits = [soft, hard];
    // SAFETY: the kernel reads two words there.
    unsafe {
        call(
            nr::PRLIMIT64,
            [0, resource as usize, limits.as_ptr() as usize, 0],
        )
    }
    .map(drop)
}

/// Strings for a program that is executed, as `argv` and `envp` hold them.
pub struct Strings {
    /// First the pointers with the null at their end, then the strings.
    memory: &'static mut [u8],
    next_pointer: usize,
    /// Where the null behind the pointers stands.
    null: usize,
    next_byte: usize,
}

const POINTER: usize = size_of::<usize>();

impl Strings {
    /// Room for `count` strings of `bytes` bytes in all, their NULs not counted.
    pub fn with_room(count: usize, bytes: usize) -> Result<Strings> {
        let null = count * POINTER;
        let next_byte = null + POINTER;
        let memory = Map::zeroes(next_byte + count + bytes)?.leak();
        Ok(Strings {
            memory,
            next_pointer: 0,
            null,
            next_byte,
        })
    }

    /// Adds one. It must have been counted, and hold no NUL.
    pub fn push(&mut self, string: &[u8]) {
        let at = self.next_byte;
        let end = at + string.len();
        // execute() relies on the null and on the last string's NUL
        assert!(self.next_pointer < self.null && end < self.memory.len());
        self.memory[at..end].copy_from_slice(string);
        let address = self.memory[at..].as_ptr() as usize;
        let place = self.next_pointer..self.next_pointer + POINTER;
        self.memory[place].copy_from_slice(&address.to_ne_bytes());
        self.next_pointer += POINTER;
        self.next_byte = end + 1;
    }
}

/// execve(2). Returns only why it could not be done.
pub fn execute(path: &CStr, arguments: &Strings, environment: &Strings) -> Errno {
    let (arguments, environment) = (arguments.memory.as_ptr(), environment.memory.as_ptr());
    let args = [
        path.as_ptr() as usize,
        arguments as usize,
        environment as usize,
    ];
    // SAFETY: the path ends with NUL. Each `Strings` begins with the pointers that were
    // pushed, into its own memory that is never freed, and then a null: `push` keeps off
    // that place and the byte behind each string, and the memory was zeroed.
    match unsafe { call(nr::EXECVE, args) } {
        Err(error) => error,
        Ok(_) => Errno::EINVAL,
    }
}
