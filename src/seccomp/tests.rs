use std::collections::BTreeSet;

use ampoule_init::seccomp::{self as format, Action, CALLS, Shown};

use super::policy::GONE;
use super::{Policy, always, denied, program, shown};
use crate::sysno;
use crate::units::Arch;

const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

fn number(arch: Arch, name: &str) -> u32 {
    sysno::number(arch, name).unwrap()
}

/// What the file of `policy` decides.
fn decide(policy: &Policy, arch: Arch, number: u32) -> Action {
    let file = policy.file(arch);
    let filter = format::parse(&file).unwrap().filter;
    program::decide(filter, program::audit_arch(arch), number).unwrap()
}

fn only(arch: Arch, names: &[&str]) -> Policy {
    Policy::Only(names.iter().map(|name| number(arch, name)).collect())
}

#[test]
fn each_number_gets_what_the_policy_says() {
    for arch in ARCHES {
        let every_second = sysno::all(arch).into_iter().step_by(2).collect();
        for policy in [
            Policy::Default,
            only(arch, &["read", "openat"]),
            Policy::Only(every_second),
            Policy::Only(BTreeSet::new()),
        ] {
            let file = policy.file(arch);
            let policy_file = format::parse(&file).unwrap();
            let allowed = policy.allowed(arch);
            for number in 0..1024 {
                let expected = match sysno::name(arch, number) {
                    Some(_) if number as usize >= CALLS => Action::Unknown,
                    Some(name) if GONE.contains(&name) => Action::Unknown,
                    None => Action::Unknown,
                    Some("execve") => Action::Notify,
                    Some(_) if allowed.contains(&number) => Action::Allow,
                    Some(_) => Action::Notify,
                };
                let audit = program::audit_arch(arch);
                let decided = program::decide(policy_file.filter, audit, number);
                assert_eq!(decided, Some(expected), "{arch} {number}");
            }
            let execve = number(arch, "execve");
            let call = policy_file.call(execve as usize).unwrap();
            assert_eq!(call.granted, allowed.contains(&execve));
        }
    }
}

#[test]
fn numbers_of_other_interfaces_never_reach_the_kernel() {
    let file = Policy::Default.file(Arch::X86_64);
    let filter = format::parse(&file).unwrap().filter;
    let audit = program::audit_arch(Arch::X86_64);
    let x32 = 0x4000_0000;
    for number in [x32, x32 + 1, x32 + 520, 512, 547, CALLS as u32, u32::MAX] {
        let decided = program::decide(filter, audit, number);
        assert_eq!(decided, Some(Action::Unknown), "{number:#x}");
    }
    // i386, and the other of ours
    for other in [0x4000_0003, program::audit_arch(Arch::Aarch64), 0] {
        assert_eq!(program::decide(filter, other, 0), Some(Action::Kill));
    }
}

#[test]
fn the_tree_is_low_and_within_the_kernels_limit() {
    // as many ranges as there can be
    let filter = program::compile(Arch::X86_64, |number| match number % 2 {
        0 => Action::Allow,
        _ => Action::Notify,
    });
    assert!(filter.len() / format::INSTRUCTION <= 4096);
    let audit = program::audit_arch(Arch::X86_64);
    for number in 0..CALLS as u32 {
        let expected = if number % 2 == 0 {
            Action::Allow
        } else {
            Action::Notify
        };
        assert_eq!(program::decide(&filter, audit, number), Some(expected));
    }
    let default = Policy::Default.file(Arch::X86_64);
    let len = format::parse(&default).unwrap().filter.len() / format::INSTRUCTION;
    assert!(len < 256, "{len}");
}

#[test]
fn what_is_no_filter_of_ours_is_none() {
    let audit = program::audit_arch(Arch::X86_64);
    for filter in [
        &[][..],
        &[0; 8],
        &[0x06, 0, 0, 0, 1, 2, 3, 4],
        &[0x05, 0, 0, 0, 255, 255, 255, 255],
    ] {
        assert_eq!(program::decide(filter, audit, 0), None);
    }
    assert_eq!(Policy::read(b"", Arch::X86_64), None);
    assert_eq!(Policy::read(&[0, 0], Arch::X86_64), None);
}

#[test]
fn what_is_written_is_read_back_by_name() {
    for arch in ARCHES {
        let policy = only(arch, &["openat", "execve"]);
        let mut expected: Vec<&str> = always()
            .filter(|name| sysno::number(arch, name).is_some())
            .chain(["openat", "execve"])
            .collect();
        expected.sort_unstable();
        assert_eq!(Policy::read(&policy.file(arch), arch).unwrap(), expected);
        let default = Policy::read(&Policy::Default.file(arch), arch).unwrap();
        assert!(!default.contains(&"mount".to_owned()));
        assert!(default.contains(&"execve".to_owned()));
    }
}

#[test]
fn learning_hears_of_all_that_is_not_always_allowed() {
    for arch in ARCHES {
        assert_eq!(
            decide(&Policy::Learn, arch, number(arch, "openat")),
            Action::Notify
        );
        assert_eq!(
            decide(&Policy::Learn, arch, number(arch, "mount")),
            Action::Notify
        );
        assert_eq!(
            decide(&Policy::Learn, arch, number(arch, "write")),
            Action::Allow
        );
    }
}

/// Every name of the tables is a call of one architecture at least, and stands there once.
#[test]
fn the_tables_name_calls() {
    let known = |name: &str| {
        ARCHES
            .iter()
            .any(|arch| sysno::number(*arch, name).is_some())
    };
    for table in [
        denied::names().collect::<Vec<_>>(),
        shown::names().collect(),
        always().collect(),
        GONE.to_vec(),
    ] {
        let unknown: Vec<_> = table.iter().filter(|name| !known(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let once: BTreeSet<_> = table.iter().collect();
        assert_eq!(once.len(), table.len());
    }
    assert!(denied::GROUPS.iter().all(|group| !group.reason.is_empty()));
}

#[test]
fn a_server_keeps_what_it_needs() {
    let needed = [
        "read",
        "write",
        "openat",
        "mmap",
        "mprotect",
        "clone",
        "clone3",
        "futex",
        "epoll_wait",
        "accept4",
        "socket",
        "bind",
        "listen",
        "sendfile",
        "execve",
        "wait4",
        "kill",
        "prctl",
        "seccomp",
        "io_uring_setup",
        "memfd_create",
        "sched_setaffinity",
        "setpriority",
        "mlock",
        "getrandom",
        "rseq",
        "pidfd_open",
        "get_mempolicy",
    ];
    let allowed = Policy::Default.allowed(Arch::X86_64);
    for name in needed {
        assert!(allowed.contains(&number(Arch::X86_64, name)), "{name}");
    }
    for name in [
        "mount",
        "ptrace",
        "bpf",
        "kexec_load",
        "reboot",
        "unshare",
        "keyctl",
    ] {
        assert!(!allowed.contains(&number(Arch::X86_64, name)), "{name}");
    }
}

#[test]
fn arguments_are_shown_where_they_tell_something() {
    assert_eq!(shown::of("mount"), Some(Shown::Path(1)));
    assert_eq!(shown::of("connect"), Some(Shown::Address(1)));
    assert_eq!(shown::of("ptrace"), None);
}

#[test]
fn the_page_tells_of_every_call_that_is_refused() {
    let page = include_str!("../../docs/seccomp.md");
    for group in denied::GROUPS {
        let calls: Vec<String> = group.calls.iter().map(|name| format!("`{name}`")).collect();
        let row = format!("| {} | {} |", calls.join(", "), group.reason);
        assert!(page.contains(&row), "not in the page: {row}");
    }
    let missing: Vec<_> = always()
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
