//! Linux's system calls by number and by name, for each architecture.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use syscalls::{aarch64, x86_64};

use crate::units::Arch;

/// What Linux 6.12 has and the table of the crate has not, with one number everywhere:
/// scripts/syscall.tbl.
const NEWER: &[(&str, u32)] = &[("mseal", 462)];

/// What the table of the crate calls otherwise than the kernel's asm/unistd.h.
const RENAMED: &[(Arch, &str, &str)] = &[
    (Arch::Aarch64, "fstatat", "newfstatat"),
    (Arch::Aarch64, "sync_file_range2", "sync_file_range"),
];

/// What the table of the crate has for aarch64 and 32-bit architectures alone have: the
/// calls with 64-bit times, include/uapi/asm-generic/unistd.h.
const NARROW: RangeInclusive<u32> = 403..=423;

/// The name of the call with this number, as unistd.h of `arch` has it without `__NR_`.
#[must_use]
pub fn name(arch: Arch, number: u32) -> Option<&'static str> {
    if let Some((name, _)) = NEWER.iter().find(|(_, newer)| *newer == number) {
        return Some(name);
    }
    if arch == Arch::Aarch64 && NARROW.contains(&number) {
        return None;
    }
    let number = usize::try_from(number).ok()?;
    let name = match arch {
        Arch::X86_64 => x86_64::Sysno::new(number).map(|call| call.name()),
        Arch::Aarch64 => aarch64::Sysno::new(number).map(|call| call.name()),
    }?;
    let renamed = RENAMED.iter().find(|it| it.0 == arch && it.1 == name);
    Some(renamed.map_or(name, |it| it.2))
}

/// The number of the call with this name, if `arch` has it.
#[must_use]
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    if let Some((_, number)) = NEWER.iter().find(|(newer, _)| *newer == name) {
        return Some(*number);
    }
    let renamed = RENAMED.iter().find(|it| it.0 == arch && it.2 == name);
    let name = renamed.map_or(name, |it| it.1);
    match arch {
        Arch::X86_64 => name.parse().ok().map(|call: x86_64::Sysno| call as u32),
        Arch::Aarch64 => {
            let number = name.parse().ok().map(|call: aarch64::Sysno| call as u32);
            number.filter(|number| !NARROW.contains(number))
        }
    }
}

/// Every call that `arch` has, by number.
#[must_use]
pub fn all(arch: Arch) -> BTreeSet<u32> {
    // the crate's own iterator leaves out the last one
    const BOUND: u32 = 1024;
    (0..BOUND)
        .filter(|number| name(arch, *number).is_some())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for (arch, call, expected) in [
            (Arch::X86_64, "mount", 165),
            (Arch::X86_64, "openat2", 437),
            (Arch::Aarch64, "mount", 40),
            (Arch::Aarch64, "ptrace", 117),
            (Arch::Aarch64, "newfstatat", 79),
            (Arch::X86_64, "newfstatat", 262),
            (Arch::Aarch64, "sync_file_range", 84),
            (Arch::Aarch64, "mseal", 462),
        ] {
            assert_eq!(number(arch, call), Some(expected));
            assert_eq!(name(arch, expected), Some(call));
        }
        assert_eq!(number(Arch::Aarch64, "open"), None);
        assert_eq!(number(Arch::Aarch64, "futex_time64"), None);
        assert_eq!(number(Arch::Aarch64, "sync_file_range"), Some(84));
        assert_eq!(name(Arch::X86_64, 400), None);
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let all = all(arch);
            assert!(all.len() > 300);
            assert!(all.contains(&461) && all.contains(&462));
            assert!(
                all.iter()
                    .all(|call| number(arch, name(arch, *call).unwrap()) == Some(*call))
            );
        }
    }
}
