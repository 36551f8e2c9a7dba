//! The filters on this machine's kernel: what they decide of each call, and what a program
//! meets that has one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use ampoule::seccomp::Policy;
use ampoule::sysno;
use ampoule::units::Arch;
use ampoule_init::seccomp::{Action, parse};
use std::os::unix::process::ExitStatusExt as _;

#[path = "common/compile.rs"]
mod compile;

const ARCH: Arch = Arch::X86_64;

fn program() -> &'static Path {
    static PROGRAM: OnceLock<std::path::PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compile::compile("tests/guests/seccomp.rs", "seccomp-on-host"))
}

/// Runs the program under a filter.
fn run(what: &str, filter: &[u8]) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, filter).unwrap();
    Command::new(program())
        .arg(what)
        .arg(file.path())
        .output()
        .unwrap()
}

fn policies() -> [Policy; 3] {
    // some neighbours, some far apart, the first and the last
    let names = ["read", "openat", "mmap", "munmap", "brk", "futex", "mseal"];
    let some = names.iter().filter_map(|name| sysno::number(ARCH, name));
    let every_second = sysno::all(ARCH).into_iter().step_by(2).collect();
    [
        Policy::Default,
        Policy::Only(some.collect()),
        Policy::Only(every_second),
    ]
}

/// An instruction of classic BPF.
fn op(code: u16, jt: u8, jf: u8, k: u32) -> Vec<u8> {
    let [a, b] = code.to_le_bytes();
    [&[a, b, jt, jf][..], &k.to_le_bytes()].concat()
}

/// What a call comes to under [`harmless`].
const MARKS: [(Action, u32); 3] = [
    (Action::Allow, 1001),
    (Action::Notify, 1002),
    (Action::Unknown, 1003),
];

/// The filter with its answers replaced by errnos that tell them apart, so that each call can
/// be made and none does anything; but for write and exit_group, which it allows.
fn harmless(filter: &[u8]) -> Vec<u8> {
    const RETURN: u16 = 0x06;
    let mut harmless = [
        op(0x20, 0, 0, 0),
        op(0x15, 1, 0, 1),
        op(0x15, 0, 1, 231),
        op(RETURN, 0, 0, Action::Allow as u32),
    ]
    .concat();
    for one in filter.chunks(8) {
        let k = u32::from_le_bytes(one[4..].try_into().unwrap());
        let mark = MARKS.iter().find(|(action, _)| *action as u32 == k);
        match mark {
            Some((_, errno)) if one[..2] == RETURN.to_le_bytes() => {
                harmless.extend(op(RETURN, 0, 0, 0x0005_0000 | errno));
            }
            _ => harmless.extend(one),
        }
    }
    harmless
}

#[test]
fn this_kernel_decides_of_every_call_as_the_policy_says() {
    for policy in policies() {
        let file = policy.file(ARCH);
        let filter = parse(&file).unwrap().filter;
        let output = run("numbers", &harmless(filter));
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let answers: BTreeMap<u32, u32> = text
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(number, errno)| (number.parse().unwrap(), errno.parse().unwrap()))
            .collect();
        assert_eq!(answers.len(), 1022 + 598 + 1);
        let allowed = policy.allowed(ARCH);
        for (number, errno) in answers {
            let expected = match sysno::name(ARCH, number) {
                Some("write" | "exit_group") => continue,
                Some("execve") => 1002,
                Some(_) if allowed.contains(&number) => 1001,
                // those that the kernel does not answer are held against the policy's own test
                Some(_) => [1002, 1003].into_iter().find(|one| *one == errno).unwrap(),
                None => 1003,
            };
            assert_eq!(errno, expected, "{number}");
        }
    }
}

#[test]
fn a_program_lives_under_its_filter() {
    const ENOSYS: i32 = 38;
    let file = Policy::Default.file(ARCH);
    let told = |output: Output| String::from_utf8(output.stdout).unwrap();
    // nobody listens: what is handed over is answered with ENOSYS
    assert_eq!(
        told(run("behave", parse(&file).unwrap().filter)),
        format!("mount {ENOSYS}\ngetppid 0\n500 {ENOSYS}\n")
    );
    let some = Policy::Only(sysno::number(ARCH, "mmap").into_iter().collect()).file(ARCH);
    assert_eq!(
        told(run("behave", parse(&some).unwrap().filter)),
        format!("mount {ENOSYS}\ngetppid {ENOSYS}\n500 {ENOSYS}\n")
    );
}

#[test]
fn a_call_of_another_architecture_ends_the_process() {
    const SIGSYS: i32 = 31;
    let file = Policy::Default.file(ARCH);
    let output = run("i386", parse(&file).unwrap().filter);
    // a kernel without the 32-bit interface ends it as well, by SIGSEGV
    assert!(
        matches!(output.status.signal(), Some(SIGSYS | 11)),
        "{output:?}"
    );
}

/// libseccomp's own table, through the command that its package `seccomp` brings.
#[test]
fn numbers_are_those_of_libseccomp() {
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let (mut same, mut newer, mut others) = (0, Vec::new(), Vec::new());
        for number in sysno::all(arch) {
            let name = sysno::name(arch, number).unwrap();
            let output = Command::new("scmp_sys_resolver")
                .args(["-a", arch.name(), name])
                .output()
                .expect("scmp_sys_resolver starts: install the package seccomp");
            let text = String::from_utf8(output.stdout).unwrap();
            match text.trim().parse::<i64>().unwrap() {
                // a call that came after this libseccomp
                -1 => newer.push(name),
                theirs if theirs == i64::from(number) => same += 1,
                theirs => others.push((name, number, theirs)),
            }
        }
        assert!(others.is_empty(), "{arch}: {others:?}");
        assert!(
            same >= 300 && newer.len() < 40,
            "{same}, unknown: {newer:?}"
        );
    }
}
