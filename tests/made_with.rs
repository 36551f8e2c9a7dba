//! What programs were made with, told from small ELF files that carry what the
//! compilers and runtimes leave in theirs.

use ampoule::app::make::Make;
use ampoule::app::{Analysis, Relro, analyse};

#[path = "common/elf.rs"]
#[allow(dead_code)]
mod sample;

use sample::Sample;

fn analysed(content: &[u8]) -> Analysis {
    let sample = Sample {
        content: content.to_vec(),
        ..Sample::default()
    };
    analyse(&sample.bytes()).unwrap()
}

fn made(content: &[u8]) -> Make {
    analysed(content).make
}

/// Go's block of build information, at a place that is a multiple of 16.
fn go_block(flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut block = b"\xff Go buildinf:".to_vec();
    block.extend([8, flags]);
    block.resize(16, 0);
    block.extend(rest);
    block
}

const MODULES: &str = "0123456789abcdefpath\tapp\nmod\texample.org/app\tv1.2.3\th1:=\n\
                       dep\texample.org/dep\tv0.4.0\th1:=\nfedcba9876543210";

#[test]
fn go_with_its_build_information_in_line() {
    let mut rest = vec![0; 16];
    rest.extend([8]);
    rest.extend(b"go1.26.8");
    rest.extend([u8::try_from(MODULES.len()).unwrap()]);
    rest.extend(MODULES.as_bytes());
    let make = made(&go_block(2, &rest));
    assert_eq!(make.language.as_deref(), Some("Go"));
    assert_eq!(make.compiler.as_deref(), Some("go1.26.8"));
    let module = make.module.unwrap();
    assert_eq!(module.path, "example.org/app");
    assert_eq!(module.version.as_deref(), Some("v1.2.3"));
    assert_eq!(make.dependencies["example.org/dep"], "v0.4.0");
    assert_eq!(make.libc, None);
}

#[test]
fn go_with_pointers_to_its_build_information() {
    // headers of 64 and 56 bytes, rounded up to 16, in a segment at 0x400000
    let start = 0x40_0080_u64;
    let mut rest = Vec::new();
    let (version_header, modules_header) = (start + 32, start + 48);
    let (version, modules) = (start + 64, start + 80);
    for word in [
        version_header,
        modules_header,
        version,
        6,
        modules,
        MODULES.len() as u64,
    ] {
        rest.extend(word.to_le_bytes());
    }
    rest.extend(b"go1.16, not more");
    rest.extend(MODULES.as_bytes());
    let make = made(&go_block(0, &rest));
    assert_eq!(make.compiler.as_deref(), Some("go1.16"));
    assert_eq!(make.module.unwrap().path, "example.org/app");
}

#[test]
fn a_program_that_reads_build_information_is_not_made_by_go() {
    let make = made(b"\0\xff Go buildinf:\0reads what others carry\0");
    assert_eq!(make.language, None);
}

#[test]
fn go_without_build_information() {
    // a table of functions as 1.20 writes it for x86_64
    let make = made(b"\xf1\xff\xff\xff\0\0\x01\x08");
    assert_eq!(make.language.as_deref(), Some("Go"));
    assert_eq!(make.compiler, None);
    // runtime.buildVersion: the string, then where it stands and its length
    let mut content = b"go1.26.5httpmuxgo121\0\0\0\0\xf1\xff\xff\xff\0\0\x01\x08".to_vec();
    content.extend(0x40_0080_u64.to_le_bytes());
    content.extend(8_u64.to_le_bytes());
    assert_eq!(made(&content).compiler.as_deref(), Some("go1.26.5"));
}

#[test]
fn rust_by_the_paths_of_its_panics() {
    let make = made(
        b"/rustc/31fca3adb283cc9dfd56b49cdee9a96eb9c96ffd/library/core/src/str.rs\
          /home/me/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/mio-1.2.0/src/poll.rs\
          No error information\0",
    );
    assert_eq!(make.language.as_deref(), Some("Rust"));
    assert_eq!(make.compiler.as_deref(), Some("rustc 31fca3adb"));
    assert_eq!(make.dependencies["mio"], "1.2.0");
    assert_eq!(make.libc.unwrap().name, "musl");
}

#[test]
fn rust_that_carries_the_library_of_cxx() {
    let make = made(
        b"/rustc/31fca3adb283cc9dfd56b49cdee9a96eb9c96ffd/library/core/src/str.rs\
          terminate called after throwing an instance of '",
    );
    assert_eq!(make.language.as_deref(), Some("Rust"));
    assert_eq!(make.with, ["C++"]);
}

#[test]
fn other_runtimes_by_their_own_words() {
    for (content, language, compiler) in [
        (
            &b"com.oracle.svm.core.VM=GraalVM CE 25+37.1\0"[..],
            "Java",
            Some("GraalVM CE 25+37.1"),
        ),
        (
            b"internal error: %s\n    (GHC version %s for %s)\0",
            "Haskell",
            None,
        ),
        (
            b"terminate called after throwing an instance of '\0",
            "C++",
            None,
        ),
        (b"switch on corrupt value", "Zig", None),
        (b"glibc.malloc.mxfast\0", "C", None),
    ] {
        let make = made(content);
        assert_eq!(make.language.as_deref(), Some(language));
        assert_eq!(make.compiler.as_deref(), compiler);
    }
    assert_eq!(made(b"nothing that tells").language, None);
}

#[test]
fn the_version_of_glibc_where_it_shows() {
    let libc = |content: &[u8]| {
        let libc = made(content).libc.unwrap();
        assert_eq!(libc.name, "glibc");
        libc.version
    };
    let banner = b"glibc.malloc.mxfast\0GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable \
                   release version 2.36.\nCopyright\0";
    assert_eq!(libc(banner).as_deref(), Some("2.36"));
    assert_eq!(
        libc(b"glibc.malloc.mxfast\0glibc 2.41\0").as_deref(),
        Some("2.41")
    );
    assert_eq!(libc(b"glibc.malloc.mxfast\0"), None);
    assert_eq!(libc(b"FATAL: kernel too old\n\0"), None);
    assert_eq!(
        made(b"Invalid system call number\0").libc.unwrap().name,
        "klibc"
    );
}

#[test]
fn facts_of_the_file() {
    let sample = Sample {
        note: Some(("GNU", 3, &[0xab, 0xcd, 0xef, 0x01])),
        ..Sample::static_pie()
    };
    let mut bytes = sample.bytes();
    let facts = analyse(&bytes).unwrap().facts;
    assert_eq!(facts.build_id.as_deref(), Some("abcdef01"));
    assert_eq!(facts.notes.len(), 1);
    assert_eq!(facts.relro, Relro::None);
    assert_eq!(facts.writable_code, 1);
    assert!(facts.stripped && !facts.debug && !facts.executable_stack);
    assert_eq!(facts.appended, 0);
    bytes.extend([b'x'; 1000]);
    assert_eq!(analyse(&bytes).unwrap().facts.appended, 1000);
    let go = analysed(b"\xff Go build ID: \"a/b/c/d\"\n \xff").facts;
    assert_eq!(go.go_build_id.as_deref(), Some("a/b/c/d"));
}

#[test]
fn a_program_for_another_system_has_no_calls_of_linux() {
    let sample = Sample {
        os: object::elf::ELFOSABI_FREEBSD,
        ..Sample::default()
    };
    let analysis = analyse(&sample.bytes()).unwrap();
    assert!(analysis.calls.found.is_empty());
    assert!(analysis.needs.is_empty());
}
