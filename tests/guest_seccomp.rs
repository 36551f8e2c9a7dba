//! The filter of system calls in a machine: what a program meets that makes a forbidden
//! call, and what init tells of it.

#[allow(dead_code)]
mod guest_support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ampoule::initramfs::Content;
use ampoule::seccomp::Policy;
use ampoule::sysno;
use ampoule::units::Arch;
use ampoule_init::report::{self, Report};
use ampoule_init::seccomp::PATH;
use ampoule_init::wire::{Seccomp, Setting};
use guest_support::{Guest, Run, compile};

const ARCH: Arch = Arch::X86_64;

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("tests/guests/seccomp.rs", "seccomp-in-guest"))
}

fn guest(arguments: &[&str], kind: Seccomp) -> Guest {
    Guest::with(program(), arguments, &[Setting::Seccomp(kind)])
}

fn run(arguments: &[&str], kind: Seccomp, policy: &Policy) -> Run {
    let mut guest = guest(arguments, kind);
    let file = Content::Bytes(policy.file(ARCH));
    guest.tree.file(PATH, 0o444, file).unwrap();
    let run = guest.run();
    assert_eq!(run.verdict(), "ampoule: verdict exit=0", "{}", run.console);
    run
}

/// What the default policy allows, but for some calls.
fn all_but(names: &[&str]) -> Policy {
    let mut calls = Policy::Default.allowed(ARCH);
    calls.retain(|call| !names.contains(&sysno::name(ARCH, *call).unwrap()));
    Policy::Only(calls)
}

/// The denials that were told, as text without the thread's number.
fn denied(run: &Run) -> Vec<String> {
    let denials = run.reports.iter().filter_map(|line| {
        let Some(Report::Denied { pid, .. }) = report::parse(line.as_bytes()) else {
            return None;
        };
        let line = line.strip_prefix("ampoule: denied ").unwrap();
        Some(line.replace(&format!(" pid={pid}"), ""))
    });
    denials.collect()
}

#[test]
fn forbidden_calls_are_refused_and_named() {
    let run = run(&["forbidden"], Seccomp::Default, &Policy::Default);
    // EPERM; what the kernel does not know stays ENOSYS
    for line in ["mount 1", "ptrace 1", "bpf 1", "unknown 38", "chroot 1"] {
        run.assert_says(line);
    }
    assert_eq!(
        denied(&run),
        [
            "call=mount comm=program count=1 path=/mnt a",
            "call=ptrace comm=program count=1",
            "call=bpf comm=program count=1",
            "call=chroot comm=a?worker count=1 path=/tmp",
        ]
    );
    // ENETUNREACH: the kernel's own answer
    run.assert_says("connect 101");
}

#[test]
fn a_call_outside_the_set_is_refused_with_its_address() {
    let run = run(&["forbidden"], Seccomp::Derived, &all_but(&["connect"]));
    run.assert_says("connect 1");
    let last = denied(&run).pop();
    let expected = "call=connect comm=program count=1 address=10.0.2.2 port=80";
    assert_eq!(last.as_deref(), Some(expected));
}

#[test]
fn a_program_whose_set_has_no_execve_is_started_and_starts_nothing() {
    let arguments = ["start", guest_support::APP];
    let policy = all_but(&["execve"]);
    let alone = run(&arguments, Seccomp::Learned, &policy);
    alone.assert_says("started Operation not permitted (os error 1)");
    assert_eq!(
        denied(&alone),
        ["call=execve comm=program count=1 path=/app/program"]
    );
    // with it, what is started has the same filter
    let starts = run(&arguments, Seccomp::Learned, &all_but(&[]));
    starts.assert_says("started exit status: 0");
    starts.assert_says("mount 1");
    assert_eq!(denied(&starts).len(), 4, "{:?}", starts.reports);
}

#[test]
fn a_flood_is_counted_and_told_in_few_lines() {
    let run = run(&["flood", "20000"], Seccomp::Default, &Policy::Default);
    run.assert_says("refused 20000");
    let counts = run
        .reports
        .iter()
        .filter_map(|line| match report::parse(line.as_bytes()) {
            Some(Report::Denied { call, count, .. }) => {
                assert_eq!(call, "ptrace");
                Some(count)
            }
            _ => None,
        });
    let counts: Vec<u32> = counts.collect();
    assert_eq!(counts.iter().sum::<u32>(), 20_000, "{counts:?}");
    // one at once, one a second, one at the end
    assert_eq!(counts[0], 1);
    assert!(counts.len() < 200, "{}", counts.len());
}

#[test]
fn learning_lets_everything_through_and_loses_no_call() {
    let run = run(&["forbidden"], Seccomp::Learning, &Policy::Learn);
    assert_eq!(denied(&run), [""; 0]);
    // the kernel's own answers: no such directory, no such call, no network
    for line in ["mount 2", "unknown 38", "connect 101"] {
        run.assert_says(line);
    }
    let called: Vec<String> = run
        .reports
        .iter()
        .filter_map(|line| match report::parse(line.as_bytes()) {
            Some(Report::Called { call }) => Some(call.to_owned()),
            _ => None,
        })
        .collect();
    let set: BTreeSet<&str> = called.iter().map(String::as_str).collect();
    assert_eq!(set.len(), called.len(), "told twice: {called:?}");
    for call in [
        "mount", "ptrace", "bpf", "chroot", "connect", "socket", "mmap", "brk",
    ] {
        assert!(set.contains(call), "{call} is not in {called:?}");
    }
    // what was learned is enough
    let calls = set.iter().map(|name| sysno::number(ARCH, name).unwrap());
    let learned = Policy::Only(calls.collect());
    let again = self::run(&["forbidden"], Seccomp::Learned, &learned);
    assert_eq!(denied(&again), [""; 0]);
    again.assert_says("connect 101");
}

#[test]
fn the_filter_is_there_when_it_should_be() {
    let off = guest(&["status"], Seccomp::Off).run();
    off.assert_says("Seccomp: 0");
    let on = run(&["status"], Seccomp::Default, &Policy::Default);
    on.assert_says("Seccomp: 2");
    on.assert_says("Seccomp_filters: 1");
    assert_eq!(denied(&on), [""; 0]);
}

#[test]
fn a_filter_that_is_missing_or_damaged_ends_the_machine() {
    let missing = guest(&["status"], Seccomp::Default).run();
    assert_eq!(
        missing.verdict(),
        "ampoule: verdict failed=config reason=open /ampoule/seccomp: ENOENT"
    );
    let mut damaged = guest(&["status"], Seccomp::Default);
    let file = Policy::Default.file(ARCH);
    let half = Content::Bytes(file[..100].to_vec());
    damaged.tree.file(PATH, 0o444, half).unwrap();
    assert_eq!(
        damaged.run().verdict(),
        "ampoule: verdict failed=config reason=/ampoule/seccomp is cut short"
    );
    let mut refused = guest(&["status"], Seccomp::Default);
    let nonsense = Content::Bytes([&[1, 0][..], &[0xff; 8]].concat());
    refused.tree.file(PATH, 0o444, nonsense).unwrap();
    assert_eq!(
        refused.run().verdict(),
        "ampoule: verdict failed=exec reason=filter the system calls of /app/program: EINVAL"
    );
}
