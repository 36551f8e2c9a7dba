//! Strings, sections and symbols by which languages and C libraries are known in a
//! program that says no more of itself.

use super::Libc;
use crate::app::binary::Binary;
use crate::app::traces::Traces;

/// What tells a language: any of these strings, from its runtime, not from what
/// programs talk about.
pub struct Language {
    pub name: &'static str,
    pub signs: &'static [&'static [u8]],
}

/// In the order in which they are asked: a runtime that is linked with another's
/// library comes first.
pub const LANGUAGES: &[Language] = &[
    Language {
        name: "Haskell",
        // rts/RtsMessages.c
        signs: &[b"(GHC version %s for %s)"],
    },
    Language {
        name: "Java",
        signs: &[GRAAL],
    },
    Language {
        name: "C#",
        // src/coreclr/nativeaot/Runtime
        signs: &[b"DotNetRuntimeDebugHeader", b"System.Private.CoreLib.dll"],
    },
    Language {
        name: "OCaml",
        // runtime/startup_aux.c
        signs: &[b"CAMLRUNPARAM\0"],
    },
    Language {
        name: "Nim",
        // lib/system/excpt.nim
        signs: &[b"Traceback (most recent call last, using override)\0"],
    },
    Language {
        name: "D",
        // druntime, core/exception.d
        signs: &[b"core.exception.RangeError"],
    },
    Language {
        name: "Crystal",
        // src/crystal/main.cr, src/exception/call_stack
        signs: &[b"CRYSTAL_LOAD_DEBUG_INFO"],
    },
    Language {
        name: "Pascal",
        // rtl/inc/system.inc
        signs: &[b"Runtime error \0", b"FPC_RESSTRINIT"],
    },
    Language {
        name: "Zig",
        // lib/std/debug.zig; a release without checks has nothing
        signs: &[b"switch on corrupt value"],
    },
    Language {
        name: "C++",
        signs: &[
            // libsupc++, vterminate.cc
            b"terminate called after throwing an instance of '",
            // libcxxabi, cxa_default_handlers.cpp
            b"terminating due to %s exception of type %s",
            b"terminating with %s exception of type %s",
            // the type information of the C++ ABI (Itanium, 2.9)
            b"N10__cxxabiv117__class_type_infoE\0",
        ],
    },
];

/// The compiler in the debug data of Zig (src/codegen/llvm.zig), a version behind it.
const ZIG: &[u8] = b"\0zig 0.";

/// The version of Zig's compiler, where the program has debug data.
pub fn zig(binary: &Binary<'_>) -> Option<String> {
    let strings = binary.content(binary.section(".debug_str")?);
    let at = memchr::memmem::find(strings, ZIG)? + 1;
    let name = strings[at..].split(|byte| *byte == 0).next()?;
    let name = std::str::from_utf8(&name[..name.len().min(16)]).ok()?;
    Some(name.to_owned())
}

/// What GraalVM's native-image says of itself, a version behind it.
pub const GRAAL: &[u8] = b"com.oracle.svm.core.VM=";

/// musl's text for error 0 (src/errno/__strerror.h).
const MUSL: &[u8] = b"No error information\0";
/// A tunable of glibc since 2.26 (elf/dl-tunables.list), in each static program.
const GLIBC: &[u8] = b"glibc.malloc.mxfast\0";
/// What older ones say (sysdeps/unix/sysv/linux/dl-osinfo.h).
const GLIBC_OLD: &[u8] = b"FATAL: kernel too old\n";
/// klibc takes its texts from the comments of Linux' asm-generic/errno.h.
const KLIBC: &[u8] = b"Invalid system call number\0";
/// Behind the name of glibc in its banner (csu/version.c).
const GLIBC_RELEASE: &[u8] = b" stable release version ";
/// The answer of confstr(_CS_GNU_LIBC_VERSION).
const GLIBC_CONFSTR: &[u8] = b"\0glibc 2.";
/// Bionic's own place of hosts.
const BIONIC: &[u8] = b"/system/etc/hosts\0";

/// All strings that are to be searched for.
pub fn texts() -> impl Iterator<Item = &'static [u8]> {
    let languages = LANGUAGES.iter().flat_map(|language| language.signs);
    let libc = [
        MUSL,
        GLIBC,
        GLIBC_OLD,
        KLIBC,
        GLIBC_RELEASE,
        GLIBC_CONFSTR,
        BIONIC,
    ];
    languages.copied().chain(libc)
}

/// The first of [`LANGUAGES`] that left a sign.
pub fn language(traces: &Traces) -> Option<&'static str> {
    let left = |sign: &&[u8]| traces.first(sign).is_some();
    let told = LANGUAGES
        .iter()
        .find(|language| language.signs.iter().any(left));
    told.map(|language| language.name)
}

/// Whether code of C++ is in it.
pub fn has_cxx(traces: &Traces) -> bool {
    let cxx = LANGUAGES.iter().filter(|language| language.name == "C++");
    cxx.flat_map(|language| language.signs)
        .any(|sign| traces.first(sign).is_some())
}

/// The C library that is linked in, or that the interpreter belongs to.
pub fn libc(binary: &Binary<'_>, traces: &Traces) -> Option<Libc> {
    let name = by_interpreter(binary).or_else(|| linked_in(binary, traces))?;
    let version = (name == "glibc").then(|| glibc_version(binary, traces));
    Some(Libc {
        name: name.to_owned(),
        version: version.flatten(),
    })
}

fn by_interpreter(binary: &Binary<'_>) -> Option<&'static str> {
    let path = binary.content(binary.section(".interp")?);
    let has = |text: &str| memchr::memmem::find(path, text.as_bytes()).is_some();
    let names = [
        ("/ld-musl-", "musl"),
        ("/klibc-", "klibc"),
        ("/ld-linux", "glibc"),
        ("/system/bin/linker", "bionic"),
        ("/ld-uClibc", "uClibc"),
    ];
    names
        .iter()
        .find(|(part, _)| has(part))
        .map(|(_, name)| *name)
}

fn linked_in(binary: &Binary<'_>, traces: &Traces) -> Option<&'static str> {
    let signs: [(&[u8], &str); 5] = [
        (GLIBC, "glibc"),
        (GLIBC_OLD, "glibc"),
        (MUSL, "musl"),
        (KLIBC, "klibc"),
        (BIONIC, "bionic"),
    ];
    let by_string = signs.iter().find(|(sign, _)| traces.first(sign).is_some());
    if let Some((_, name)) = by_string {
        return Some(name);
    }
    // a small program carries no texts, and may still have its symbols
    let symbols = [
        ("__libc_setup_tls", "glibc"),
        ("__init_libc", "musl"),
        ("__libc_init", "klibc"),
    ];
    let has = |name: &str| binary.symbols.iter().any(|symbol| symbol.name == name);
    let by_symbol = symbols.iter().find(|(symbol, _)| has(symbol));
    by_symbol.map(|(_, name)| *name)
}

fn glibc_version(binary: &Binary<'_>, traces: &Traces) -> Option<String> {
    let behind = |sign: &[u8], skip: usize| {
        let at = usize::try_from(traces.first(sign)?).ok()? + skip;
        let text = binary.bytes.get(at..)?;
        let version: String = text
            .iter()
            .take(16)
            .map(|byte| char::from(*byte))
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        let version = version.trim_end_matches('.');
        (!version.is_empty()).then(|| version.to_owned())
    };
    behind(GLIBC_RELEASE, GLIBC_RELEASE.len())
        .or_else(|| behind(GLIBC_CONFSTR, GLIBC_CONFSTR.len() - 2))
}
