//! Which calls an app may make, and the file that says so to init.

use std::collections::BTreeSet;

use ampoule_init::seccomp::{self as format, Action, CALLS, Call};

use super::{denied, program, shown};
use crate::sysno;
use crate::units::Arch;

/// What every app may call, whatever its set says: name, and on whose behalf.
const ALWAYS: &[(&str, &str)] = &[
    // between the filter and the app's first instruction
    (
        "write",
        "init tells of the filter before it executes the app",
    ),
    ("exit_group", "and ends when that fails"),
    // on the app's behalf, with no instruction of its own that would show it
    (
        "rt_sigreturn",
        "the kernel's way back from a signal's handler",
    ),
    (
        "restart_syscall",
        "the kernel goes on with a call that a signal interrupted",
    ),
    ("exit", "the end of a thread"),
    // the kernel's own code in the app (vdso(7)) makes these where it has no clock to read
    ("clock_gettime", "vDSO"),
    ("clock_getres", "vDSO"),
    ("gettimeofday", "vDSO"),
    ("time", "vDSO"),
    ("getcpu", "vDSO"),
    ("getrandom", "vDSO"),
];

/// Names that have a number in Linux 6.12 and nothing behind it: syscall_64.tbl and
/// asm-generic/unistd.h. The kernel answers ENOSYS, and so does the filter.
pub(super) const GONE: &[&str] = &[
    "_sysctl",
    "afs_syscall",
    "create_module",
    "epoll_ctl_old",
    "epoll_wait_old",
    "get_kernel_syms",
    "get_thread_area",
    "getpmsg",
    "lookup_dcookie",
    "nfsservctl",
    "putpmsg",
    "query_module",
    "security",
    "set_thread_area",
    "tuxcall",
    "vserver",
];

/// The calls that every app may make, by name.
pub fn always() -> impl Iterator<Item = &'static str> {
    ALWAYS.iter().map(|(name, _)| *name)
}

fn numbers(arch: Arch, names: impl Iterator<Item = &'static str>) -> BTreeSet<u32> {
    names.filter_map(|name| sysno::number(arch, name)).collect()
}

/// The calls that the pinned kernel answers.
fn known(arch: Arch) -> BTreeSet<u32> {
    let mut known = sysno::all(arch);
    known.retain(|number| (*number as usize) < CALLS);
    &known - &numbers(arch, GONE.iter().copied())
}

/// Which calls an app may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// All but those that no server needs.
    Default,
    /// These, by number, and [`always`].
    Only(BTreeSet<u32>),
    /// All; init tells which.
    Learn,
}

impl Policy {
    /// The file that init reads ([`ampoule_init::seccomp`]) for an app of `arch`.
    #[must_use]
    pub fn file(&self, arch: Arch) -> Vec<u8> {
        let allowed = self.allowed(arch);
        let execve = sysno::number(arch, "execve");
        let always: BTreeSet<u32> = always()
            .filter_map(|name| sysno::number(arch, name))
            .collect();
        let known = known(arch);
        let filter = program::compile(arch, |number| {
            if !known.contains(&number) {
                Action::Unknown
            } else if always.contains(&number) {
                Action::Allow
            } else if *self == Policy::Learn || Some(number) == execve {
                // init starts the app itself by execve
                Action::Notify
            } else if allowed.contains(&number) {
                Action::Allow
            } else {
                Action::Notify
            }
        });
        let calls = (0..CALLS as u32).map(|number| {
            let name = sysno::name(arch, number)?;
            Some(Call {
                name,
                granted: Some(number) == execve && allowed.contains(&number),
                shown: shown::of(name),
            })
        });
        let mut file = Vec::new();
        format::encode(&filter, calls, &mut |bytes| file.extend_from_slice(bytes));
        file
    }

    /// The calls of `arch` that the app may make, by number.
    #[must_use]
    pub fn allowed(&self, arch: Arch) -> BTreeSet<u32> {
        let known = known(arch);
        match self {
            Policy::Learn => known,
            Policy::Default => &known - &numbers(arch, denied::names()),
            Policy::Only(calls) => &known & &(calls | &numbers(arch, always())),
        }
    }

    /// The calls of `arch` that an app with the filter of `file` may make, by name: read
    /// from the filter itself. `None`: the file is none of ours.
    #[must_use]
    pub fn read(file: &[u8], arch: Arch) -> Option<Vec<String>> {
        let policy = format::parse(file)?;
        let mut names = Vec::new();
        for number in 0..CALLS as u32 {
            let decided = program::decide(policy.filter, program::audit_arch(arch), number)?;
            let call = policy.call(number as usize);
            let granted = call.is_some_and(|call| call.granted);
            if decided == Action::Allow || (decided == Action::Notify && granted) {
                let name = sysno::name(arch, number);
                names.push(name.map_or_else(|| format!("#{number}"), str::to_owned));
            }
        }
        names.sort();
        Some(names)
    }
}
