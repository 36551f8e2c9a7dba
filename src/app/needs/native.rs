//! Needs of programs of C, C++, Rust and other languages of their kind: their strings,
//! their symbols where they have some, and what they import.

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem;

use super::found::Found;
use super::programs::{self, SHELL};
use super::sites::{Held, Sites};
use super::table::{self, Stands, What};
use crate::app::binary::Binary;
use crate::app::make::Make;
use crate::app::traces::Traces;
use crate::need::Confidence::{self, Likely, Possible};
use crate::need::{Evidence, NeedKind};
use crate::units::Arch;

/// The configuration of glibc's name service.
pub const NSSWITCH: &str = "/etc/nsswitch.conf";
/// Bytes of code around the shell's address in which the address of `-c` is looked for.
const NEAR: u64 = 256;
/// Places that take the shell's address and are looked at.
const SHELL_SITES_MAX: usize = 64;
/// Bytes of a path that is told.
const PATH_MAX: usize = 256;

/// Functions that run the shell.
const SHELL_FUNCTIONS: &[&str] = &["system", "__libc_system", "popen", "_IO_popen"];
/// Functions whose first argument is the path or name of a program.
const EXEC_FUNCTIONS: &[&str] = &[
    "execl", "execle", "execlp", "execv", "execve", "execvp", "execvpe",
];
/// Those that have it as their second.
const SPAWN_FUNCTIONS: &[&str] = &["posix_spawn", "posix_spawnp"];
/// What a name in libraries begins with that call the shell only when they are told to.
const OPTIONAL: &[&str] = &["rd_kafka_"];

/// What functions that are imported or linked in tell, besides starting programs.
const FUNCTIONS: &[(&str, What)] = &[
    ("getpwnam", What::Users),
    ("getpwuid", What::Users),
    ("getpwnam_r", What::Users),
    ("getpwuid_r", What::Users),
    ("getgrnam", What::Users),
    ("getaddrinfo", What::Names),
    ("gethostbyname", What::Names),
];

/// Adds what `binary` says, which is not of Go.
pub fn find(
    binary: &Binary<'_>,
    traces: &Traces,
    make: &Make,
    sites: &Sites<'_, '_>,
    found: &mut Found,
) {
    for rule in table::TEXTS {
        let stands = |place: &&u64| match rule.stands {
            Stands::Anywhere => true,
            Stands::Whole => is_whole(binary, **place, rule.text.len()),
        };
        let places = traces.places(rule.text.as_bytes());
        if let Some(place) = places.iter().find(stands) {
            let evidence = binary.evidence(*place, rule.text);
            found.add(rule.what.kind(), rule.confidence, evidence);
        }
    }
    for package in table::CRATES {
        if let Some(version) = make.dependencies.get(package.name) {
            let folder = format!("/{}-{version}/", package.name);
            let place = memmem::find(binary.bytes, folder.as_bytes()).unwrap_or(0) as u64;
            let what = format!("the crate {} {version} is linked in", package.name);
            let evidence = binary.evidence(place, what);
            found.add(package.what.kind(), package.confidence, evidence);
        }
    }
    let imports = binary.imports();
    for (name, what) in FUNCTIONS {
        if imports.contains(name) {
            let evidence = binary.evidence(0, format!("{name} is imported"));
            found.add(what.kind(), Likely, evidence);
        }
    }
    started(binary, traces, make, sites, &imports, found);
}

/// Name service modules, which static glibc loads at run time.
pub fn name_service(binary: &Binary<'_>, traces: &Traces, make: &Make, found: &mut Found) {
    let glibc = make.libc.as_ref().is_some_and(|libc| libc.name == "glibc");
    if !glibc || binary.section(".interp").is_some() {
        return;
    }
    let mut places = traces.places(NSSWITCH.as_bytes()).iter();
    if let Some(place) = places.find(|place| is_whole(binary, **place, NSSWITCH.len())) {
        let evidence = binary.evidence(*place, NSSWITCH);
        found.add(NeedKind::NameServiceModules, Likely, evidence);
    }
}

/// Whether `len` bytes at `place` are a whole string of C.
fn is_whole(binary: &Binary<'_>, place: u64, len: usize) -> bool {
    let before = place.checked_sub(1);
    before.is_some_and(|before| ends(binary, before, 0)) && ends(binary, place, len)
}

/// Whether a string of C ends behind `len` bytes at `place`.
fn ends(binary: &Binary<'_>, place: u64, len: usize) -> bool {
    let end = usize::try_from(place)
        .ok()
        .and_then(|at| at.checked_add(len));
    end.and_then(|end| binary.bytes.get(end)) == Some(&0)
}

/// Programs that are started.
///
/// Every C library carries the shell's path for execvp(3), which hands it files that
/// are no programs. What uses it as a shell gives it `-c`: system(3), popen(3), and
/// programs of their own accord. So the address of the one near that of the other tells.
fn started(
    binary: &Binary<'_>,
    traces: &Traces,
    make: &Make,
    sites: &Sites<'_, '_>,
    imports: &BTreeSet<&str>,
    found: &mut Found,
) {
    // a language that starts programs by itself has no use for system(3): there it is
    // in a library of C that was linked in
    let language = make.language.as_deref();
    let native = !matches!(language, Some("Rust" | "Haskell" | "Java" | "C#"));
    let confidence = if native { Likely } else { Possible };
    let shell = || NeedKind::Program(SHELL.to_owned());
    let imported = SHELL_FUNCTIONS.iter().find(|name| imports.contains(*name));
    if let Some(name) = imported {
        let evidence = binary.evidence(0, format!("{name} is imported"));
        found.add(shell(), confidence, evidence);
    }
    let named = calls_by_name(binary, sites, confidence, found);
    let places = traces.places(SHELL.as_bytes());
    let texts: Vec<(u64, u64)> = places
        .iter()
        .filter_map(|place| Some((binary.address_of(*place)?, *place)))
        .collect();
    let mut addresses: Vec<u64> = texts.iter().map(|(address, _)| *address).collect();
    addresses.sort_unstable();
    for site in sites
        .references(&addresses)
        .into_iter()
        .take(SHELL_SITES_MAX)
    {
        let Some((_, place)) = texts.iter().find(|(address, _)| *address == site.target) else {
            continue;
        };
        // another string may end in this one: whose address is taken is all that counts
        let of_c = ends(binary, *place, SHELL.len());
        let option: &[u8] = if of_c { b"-c\0" } else { b"-c" };
        let gives = gives_command(binary, sites, site.at, option);
        let confidence = match (of_c, gives) {
            // symbols tell it better, by who calls
            (true, true) if !named => confidence,
            (false, true) if language == Some("Rust") => Likely,
            // some only read it, to see which C library the system has
            (false, false) if language == Some("Rust") => Possible,
            _ => continue,
        };
        let at = binary.offset_of(site.at).unwrap_or_default();
        let with = if gives { "with -c " } else { "" };
        let what = format!("{SHELL}, used {with}at {at:#x}");
        found.add(shell(), confidence, binary.evidence(*place, what));
    }
}

/// Whether code near `site` takes the address of `option`, the one that makes a shell
/// run a command.
fn gives_command(binary: &Binary<'_>, sites: &Sites<'_, '_>, site: u64, option: &[u8]) -> bool {
    let is_option = |address: u64| binary.at(address).starts_with(option);
    // a compiler may put the addresses of constant arguments into a table
    let leads = |address: u64| is_option(address) || binary.word(address).is_some_and(is_option);
    let (from, code) = sites.around(site, NEAR);
    let number = |at: usize| {
        let bytes = code.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    };
    match binary.arch {
        // any four bytes as a displacement or an address: that one of them leads to
        // just this string by chance is out of the question
        Arch::X86_64 => (0..code.len().saturating_sub(3)).any(|at| {
            let next = from.wrapping_add(at as u64 + 4);
            let disp = i64::from(number(at) as i32);
            leads(next.wrapping_add_signed(disp)) || is_option(u64::from(number(at)))
        }),
        Arch::Aarch64 => Sites::addresses(from, code).into_iter().any(leads),
    }
}

/// What symbols tell: calls of the functions that start programs. Gives whether the
/// program has such symbols at all.
fn calls_by_name(
    binary: &Binary<'_>,
    sites: &Sites<'_, '_>,
    confidence: Confidence,
    found: &mut Found,
) -> bool {
    let mut targets: BTreeMap<u64, &str> = BTreeMap::new();
    for symbol in binary.symbols.iter().filter(|symbol| symbol.function) {
        let lists = [SHELL_FUNCTIONS, EXEC_FUNCTIONS, SPAWN_FUNCTIONS];
        if lists.iter().any(|list| list.contains(&symbol.name)) {
            targets.insert(symbol.address, symbol.name);
        }
    }
    let addresses: Vec<u64> = targets.keys().copied().collect();
    for site in sites.calls(&addresses) {
        let (Some(name), Some(caller)) = (targets.get(&site.target), binary.symbol_at(site.at))
        else {
            continue;
        };
        // the C library calls itself
        if targets.contains_key(&caller.address) {
            continue;
        }
        let optional = OPTIONAL.iter().any(|start| caller.name.starts_with(start));
        let confidence = if optional { Possible } else { confidence };
        let held = sites.held(caller.address, site.at);
        let place = binary.offset_of(site.at).unwrap_or_default();
        let argument = usize::from(SPAWN_FUNCTIONS.contains(name));
        let text = text(binary, &held, argument);
        let evidence = |text: &str| -> Evidence {
            binary.evidence(place, format!("{name}({text}) by {}", caller.name))
        };
        if SHELL_FUNCTIONS.contains(name) {
            let text = text.map_or_else(|| "…".to_owned(), |text| format!("{text:?}"));
            found.add(
                NeedKind::Program(SHELL.to_owned()),
                confidence,
                evidence(&text),
            );
        } else if let Some(path) = text.filter(|text| programs::is_program(text)) {
            let confidence = confidence.min(programs::confidence(&path));
            let evidence = evidence(&format!("{path:?}"));
            found.add(NeedKind::Program(path), confidence, evidence);
        }
    }
    !targets.is_empty()
}

/// The string that an argument points at, by C's own convention.
fn text(binary: &Binary<'_>, held: &Held, number: usize) -> Option<String> {
    const X86_64: [usize; 6] = [7, 6, 2, 1, 8, 9];
    let register = match binary.arch {
        Arch::X86_64 => *X86_64.get(number)?,
        Arch::Aarch64 => number,
    };
    let bytes = binary.at((*held.registers.get(register)?)?);
    let bytes = &bytes[..bytes.len().min(PATH_MAX)];
    let end = memchr::memchr(0, bytes).filter(|end| *end > 0)?;
    std::str::from_utf8(&bytes[..end]).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::binary::{Segment, Symbol};

    /// A program with symbols: `caller` gives the string at 0x1040 to `function`.
    fn programs(
        caller: &str,
        function: &str,
        argument: &str,
    ) -> Vec<(NeedKind, Confidence, String)> {
        // lea rdi, [rip + 0x39]; call 0x1020; ret
        let mut bytes = vec![0x48, 0x8d, 0x3d, 0x39, 0, 0, 0, 0xe8, 0x14, 0, 0, 0, 0xc3];
        bytes.resize(0x40, 0xc3);
        bytes.extend(argument.as_bytes());
        bytes.push(0);
        let symbol = |address, name| Symbol {
            address,
            size: 0x20,
            name,
            function: true,
        };
        let len = bytes.len() as u64;
        let binary = Binary {
            bytes: &bytes,
            arch: Arch::X86_64,
            entry: 0x1000,
            segments: vec![Segment {
                address: 0x1000,
                offset: 0,
                len,
                memory: len,
                writable: false,
                executable: true,
            }],
            sections: Vec::new(),
            symbols: vec![symbol(0x1000, caller), symbol(0x1020, function)],
        };
        let make = Make {
            language: Some("C".to_owned()),
            ..Make::default()
        };
        let mut found = Found::default();
        let sites = Sites::of(&binary);
        find(&binary, &Traces::default(), &make, &sites, &mut found);
        let needs = found.into_needs().into_iter();
        needs
            .map(|need| (need.kind, need.confidence, need.evidence[0].what.clone()))
            .collect()
    }

    #[test]
    fn symbols_tell_who_starts_what() {
        let program = |path: &str| NeedKind::Program(path.to_owned());
        assert_eq!(
            programs("main", "system", "reboot now"),
            [(
                program(SHELL),
                Likely,
                "system(\"reboot now\") by main".to_owned()
            )]
        );
        assert_eq!(
            programs("main", "execv", "/usr/bin/tool"),
            [(
                program("/usr/bin/tool"),
                Likely,
                "execv(\"/usr/bin/tool\") by main".to_owned()
            )]
        );
        // a bare name, and a library that does so only when it is told to
        assert_eq!(programs("main", "execvp", "tool")[0].1, Possible);
        assert_eq!(programs("rd_kafka_kinit", "system", "kinit")[0].1, Possible);
        // the C library's own way from one to the other
        assert_eq!(programs("execvp", "execve", "/bin/tool"), []);
    }
}
