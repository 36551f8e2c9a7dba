//! Prepares the machine for the program: three tables and what does not fit in one.

use core::ffi::CStr;

use ampoule_init::report::Failure;

use crate::config::Config;
use crate::sys::fd::Fd;
use crate::sys::fs::{self, MountFlags};
use crate::sys::power::{Command, reboot};
use crate::sys::{Errno, signal, socket};
use crate::trouble::{Result, Trouble};

/// A file system and where it is mounted.
struct Mount {
    kind: &'static CStr,
    target: &'static CStr,
    flags: MountFlags,
    data: &'static CStr,
}

const PLAIN: MountFlags = MountFlags::NO_SUID.and(MountFlags::NO_DEV);
const DATA: MountFlags = PLAIN.and(MountFlags::NO_EXEC);

/// Comes first: without it there is no console to tell of anything else.
const DEVICES: Mount = Mount {
    kind: c"devtmpfs",
    target: c"/dev",
    flags: MountFlags::NO_SUID.and(MountFlags::NO_EXEC),
    data: c"mode=0755",
};

/// proc(5), sysfs(5), devpts and tmpfs of Documentation/filesystems. /tmp may execute:
/// programs that unpack themselves do so there.
const MOUNTS: [Mount; 6] = [
    Mount {
        kind: c"proc",
        target: c"/proc",
        flags: DATA,
        data: c"",
    },
    Mount {
        kind: c"sysfs",
        target: c"/sys",
        flags: DATA.and(MountFlags::READ_ONLY),
        data: c"",
    },
    Mount {
        kind: c"devpts",
        target: c"/dev/pts",
        flags: MountFlags::NO_SUID.and(MountFlags::NO_EXEC),
        data: c"ptmxmode=0666,mode=0620,gid=5",
    },
    Mount {
        kind: c"tmpfs",
        target: c"/dev/shm",
        flags: DATA,
        data: c"mode=1777",
    },
    Mount {
        kind: c"tmpfs",
        target: c"/run",
        flags: DATA,
        data: c"mode=0755",
    },
    Mount {
        kind: c"tmpfs",
        target: c"/tmp",
        flags: PLAIN,
        data: c"mode=1777",
    },
];

/// Links that programs expect in /dev: target and name.
const LINKS: [(&CStr, &CStr); 4] = [
    (c"/proc/self/fd", c"/dev/fd"),
    (c"/proc/self/fd/0", c"/dev/stdin"),
    (c"/proc/self/fd/1", c"/dev/stdout"),
    (c"/proc/self/fd/2", c"/dev/stderr"),
];

/// Settings under /proc/sys, left alone where the kernel was built without what they
/// control: Documentation/admin-guide/sysctl.
const SETTINGS: [(&CStr, &[u8]); 9] = [
    // an unprivileged program serves port 80; this covers IPv6 too
    (c"/proc/sys/net/ipv4/ip_unprivileged_port_start", b"0"),
    // a kernel that panics restarts at once, whatever its command line says
    (c"/proc/sys/kernel/panic", b"-1"),
    (c"/proc/sys/kernel/panic_on_oops", b"1"),
    (c"/proc/sys/kernel/core_pattern", b"\n"),
    (c"/proc/sys/kernel/kptr_restrict", b"2"),
    (c"/proc/sys/kernel/dmesg_restrict", b"1"),
    // a process debugs none but its children; Debian's Yama sleeps until it is told
    (c"/proc/sys/kernel/yama/ptrace_scope", b"1"),
    // links in a directory that anybody may write to, such as /tmp
    (c"/proc/sys/fs/protected_symlinks", b"1"),
    (c"/proc/sys/fs/protected_hardlinks", b"1"),
];

/// Names a step that failed.
fn failed(what: &'static str, path: &'static CStr) -> impl FnOnce(Errno) -> Trouble {
    Trouble::met(Failure::Prepare, what, path.to_bytes())
}

/// Mounts /dev.
pub fn devices() -> Result<()> {
    mount(&DEVICES)
}

/// The file tree, as far as it needs no configuration.
pub fn tree() -> Result<()> {
    for one in &MOUNTS {
        mount(one)?;
    }
    for (target, path) in LINKS {
        fs::make_link(target, path).map_err(failed("link", path))?;
    }
    Ok(())
}

fn mount(mount: &Mount) -> Result<()> {
    let Mount {
        kind,
        target,
        flags,
        data,
    } = *mount;
    fs::make_directory(target, 0o755).map_err(failed("make directory", target))?;
    match fs::mount(kind, target, flags, data) {
        // something mounted it already
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(error) => Err(failed("mount", target)(error)),
    }
}

/// The signals, from now on as something to read. Control-Alt-Delete becomes one of them;
/// before, it restarts the machine at once.
pub fn signals() -> Result<Fd> {
    let signals = signal::take().map_err(failed("listen to signals", c""))?;
    // refused where the kernel knows no such keys
    let _ = reboot(Command::CtrlAltDelSignals);
    Ok(signals)
}

/// What the configuration decides, and the settings.
pub fn machine(config: &Config) -> Result<()> {
    for (path, value) in SETTINGS {
        // absent where the kernel has not what it sets
        let _ = fs::set(path, value);
    }
    if let Some(name) = config.hostname {
        fs::set_host_name(name).map_err(failed("set the host name", c""))?;
    }
    // 127.0.0.1 and ::1 come with it
    socket::interface_up(b"lo").map_err(failed("switch on", c"lo"))?;
    let read_only = MountFlags::REMOUNT.and(MountFlags::READ_ONLY);
    fs::mount(c"", c"/", read_only, c"").map_err(failed("make read-only", c"/"))
}
