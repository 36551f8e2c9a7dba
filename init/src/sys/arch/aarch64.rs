//! aarch64: Linux, arch/arm64/include/uapi/asm/unistd.h; AAPCS64 for the entry.

use core::arch::{asm, global_asm};

/// Numbers of the system calls: Linux, include/uapi/asm-generic/unistd.h.
pub mod nr {
    #![allow(dead_code, missing_docs)]
    pub const DUP3: usize = 24;
    pub const FCNTL: usize = 25;
    pub const IOCTL: usize = 29;
    pub const MKDIRAT: usize = 34;
    pub const SYMLINKAT: usize = 36;
    pub const MOUNT: usize = 40;
    pub const CHDIR: usize = 49;
    pub const FCHOWN: usize = 55;
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const PIPE2: usize = 59;
    pub const GETDENTS64: usize = 61;
    pub const LSEEK: usize = 62;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const PREAD64: usize = 67;
    pub const PPOLL: usize = 73;
    pub const SIGNALFD4: usize = 74;
    pub const SYNC: usize = 81;
    pub const CAPSET: usize = 91;
    pub const EXIT_GROUP: usize = 94;
    pub const CLOCK_GETTIME: usize = 113;
    pub const KILL: usize = 129;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const REBOOT: usize = 142;
    pub const SETRESUID: usize = 147;
    pub const SETRESGID: usize = 149;
    pub const SETSID: usize = 157;
    pub const SETGROUPS: usize = 159;
    pub const SETHOSTNAME: usize = 161;
    pub const UMASK: usize = 166;
    pub const PRCTL: usize = 167;
    pub const SOCKET: usize = 198;
    pub const BIND: usize = 200;
    pub const GETSOCKNAME: usize = 204;
    pub const SENDTO: usize = 206;
    pub const RECVFROM: usize = 207;
    pub const SETSOCKOPT: usize = 208;
    pub const RECVMSG: usize = 212;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const MMAP: usize = 222;
    pub const WAIT4: usize = 260;
    pub const PRLIMIT64: usize = 261;
    pub const RENAMEAT2: usize = 276;
    pub const SECCOMP: usize = 277;
    pub const GETRANDOM: usize = 278;
    pub const PIDFD_OPEN: usize = 434;
    pub const PIDFD_GETFD: usize = 438;
}

// The kernel enters with the stack aligned to 16, and the processor traps where it is not.
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "bl {entry}",
    "brk #1",
    entry = sym crate::sys::entry,
);

// See x86_64.rs. x9 and x10 are scratch registers of the calling convention.
global_asm!(
    ".globl memcpy",
    "memcpy:",
    "mov x9, x0",
    "2: cbz x2, 3f",
    "ldrb w10, [x1], #1",
    "strb w10, [x9], #1",
    "sub x2, x2, #1",
    "b 2b",
    "3: ret",
    ".globl memmove",
    "memmove:",
    "sub x9, x0, x1",
    "cmp x9, x2", // unsigned: a destination before the source wraps and is above
    "b.hs memcpy",
    "2: cbz x2, 3f", // the destination lies inside the source: from the end
    "sub x2, x2, #1",
    "ldrb w10, [x1, x2]",
    "strb w10, [x0, x2]",
    "b 2b",
    "3: ret",
    ".globl memset",
    "memset:",
    "mov x9, x0",
    "2: cbz x2, 3f",
    "strb w1, [x9], #1",
    "sub x2, x2, #1",
    "b 2b",
    "3: ret",
    ".globl bcmp",
    ".globl memcmp",
    "bcmp:",
    "memcmp:",
    "2: cbz x2, 3f",
    "ldrb w9, [x0], #1",
    "ldrb w10, [x1], #1",
    "sub x2, x2, #1",
    "subs w9, w9, w10",
    "b.eq 2b",
    "mov w0, w9",
    "ret",
    "3: mov w0, wzr",
    "ret",
);

// The six arguments are where the kernel wants them, the number is the seventh.
global_asm!(
    ".globl ampoule_syscall",
    "ampoule_syscall:",
    "mov x8, x6",
    "svc 0",
    "ret"
);

/// The virtual counter. Arm ARM, D13, CNTVCT_EL0.
pub fn counter() -> Option<u64> {
    let ticks: u64;
    // SAFETY: reads a register that the kernel opens to programs for its own vDSO.
    unsafe {
        asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack));
    }
    Some(ticks)
}
