use std::collections::BTreeSet;

use super::functions::Functions;
use super::patterns::{AARCH64, Pattern, X86_64};
use super::*;

const TEXT: u64 = 0x40_1000;
const DATA: u64 = 0x40_2000;
const PAGE: usize = 0x1000;

/// A static program with one page of code and one of data, which may be written to.
fn program(arch: Arch, text: &[u8], data: &[u8]) -> Vec<u8> {
    let machine: u16 = match arch {
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
    };
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(2u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    for word in [TEXT, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for (flags, offset, address, len) in [
        (5u32, PAGE, TEXT, text.len()),
        (6, 2 * PAGE, DATA, data.len()),
    ] {
        file.extend(1u32.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for word in [
            offset as u64,
            address,
            address,
            len as u64,
            len as u64,
            4096,
        ] {
            file.extend(word.to_le_bytes());
        }
    }
    file.resize(PAGE, 0);
    file.extend(text);
    file.resize(2 * PAGE, 0);
    file.extend(data);
    file
}

fn names(arch: Arch, calls: &Calls) -> BTreeSet<&'static str> {
    calls
        .found
        .keys()
        .map(|number| sysno::name(arch, *number).unwrap())
        .collect()
}

fn holds(arch: Arch, patterns: &[Pattern]) {
    for pattern in patterns {
        let file = program(arch, pattern.text, pattern.data);
        let calls = calls(&Binary::parse(&file).unwrap());
        let expected: BTreeSet<&str> = pattern.found.iter().copied().collect();
        assert_eq!(names(arch, &calls), expected, "{}", pattern.name);
        assert_eq!(
            !calls.unresolved.is_empty(),
            pattern.unresolved,
            "{}: {:?}",
            pattern.name,
            calls.unresolved
        );
    }
}

#[test]
fn x86_64_patterns() {
    holds(Arch::X86_64, X86_64);
}

#[test]
fn aarch64_patterns() {
    holds(Arch::Aarch64, AARCH64);
}

#[test]
fn the_place_of_a_call_is_told() {
    let file = program(Arch::X86_64, X86_64[0].text, &[]);
    let calls = calls(&Binary::parse(&file).unwrap());
    let evidence = &calls.found[&39];
    assert_eq!(
        (evidence.offset, evidence.what.as_str()),
        (0x1000, "getpid")
    );
}

#[test]
fn what_the_kernel_does_on_its_own_is_added() {
    // mov $13,%eax; syscall; mov $35,%eax; syscall; ret
    let text = [
        0xb8, 13, 0, 0, 0, 0x0f, 0x05, 0xb8, 35, 0, 0, 0, 0x0f, 0x05, 0xc3,
    ];
    let file = program(Arch::X86_64, &text, &[]);
    let calls = calls(&Binary::parse(&file).unwrap());
    let expected = [
        "nanosleep",
        "restart_syscall",
        "rt_sigaction",
        "rt_sigreturn",
    ];
    assert_eq!(names(Arch::X86_64, &calls), BTreeSet::from(expected));
}

#[test]
fn functions_come_from_gos_table() {
    // Go 1.20's layout: two functions of 8 bytes, and where the last ends
    let mut table = 0xffff_fff1u32.to_le_bytes().to_vec();
    table.extend([0, 0, 1, 8]);
    let (names, index) = (72u64, 96u64);
    for word in [2, 0, TEXT, names, 0, 0, 0, index] {
        table.extend(word.to_le_bytes());
    }
    table.extend(b"main.main\0main.wait\0\0\0\0\0");
    for (entry, record) in [(0u32, 20u32), (8, 28), (16, 0)] {
        table.extend(entry.to_le_bytes());
        table.extend(record.to_le_bytes());
    }
    table.truncate(index as usize + 20);
    for (entry, name) in [(0u32, 0u32), (8, 10)] {
        table.extend(entry.to_le_bytes());
        table.extend(name.to_le_bytes());
    }
    let text = [
        0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3, 0xb8, 186, 0, 0, 0, 0x0f, 0x05, 0xc3,
    ];
    let file = program(Arch::X86_64, &text, &table);
    let binary = Binary::parse(&file).unwrap();
    let functions = Functions::find(&binary);
    let found: Vec<_> = functions
        .iter()
        .map(|it| (it.address - TEXT, it.len, it.name, it.go))
        .collect();
    assert_eq!(
        found,
        [
            (0, 8, Some("main.main"), true),
            (8, 8, Some("main.wait"), true)
        ]
    );
    assert_eq!(functions.at(TEXT + 15).unwrap().name, Some("main.wait"));
    assert_eq!(functions.at(TEXT + 16), None);
    // the second is called by nobody
    let calls = calls(&binary);
    assert_eq!(calls.found[&39].what, "getpid by main.main");
    assert!(!calls.found.contains_key(&186));
}

#[test]
fn packed_programs_are_not_judged() {
    let mut file = program(Arch::X86_64, X86_64[0].text, &[]);
    file[0xec..0xf0].copy_from_slice(b"UPX!");
    let calls = calls(&Binary::parse(&file).unwrap());
    assert!(calls.found.is_empty());
    assert_eq!(calls.unresolved.len(), 1);
}

#[test]
fn no_bytes_make_it_panic() {
    // a linear congruential generator: the same bytes each time
    let mut state = 1u64;
    let mut next = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let patterns = match arch {
            Arch::X86_64 => X86_64,
            Arch::Aarch64 => AARCH64,
        };
        for round in 0..600 {
            let pattern = &patterns[next(patterns.len())];
            let mut file = program(arch, pattern.text, pattern.data);
            for _ in 0..=next(6) {
                // headers, and the code
                let at = if round % 2 == 0 {
                    16 + next(160)
                } else {
                    PAGE + next(pattern.text.len())
                };
                file[at] = [0, 0xff, 0x80, 1, next(256) as u8][next(5)];
            }
            if let Ok(binary) = Binary::parse(&file) {
                let _ = calls(&binary);
            }
        }
        for _ in 0..60 {
            let text: Vec<u8> = (0..next(PAGE)).map(|_| next(256) as u8).collect();
            let file = program(arch, &text, &text);
            let _ = calls(&Binary::parse(&file).unwrap());
        }
    }
}
