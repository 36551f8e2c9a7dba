//! Small ELF files, made here, through the reader and the verdict.

use object::Endianness;
use object::elf as raw;

use super::*;
use crate::sample::{Dynamic, Sample};

/// The shape of a sound file.
fn shape(sample: &Sample) -> Shape {
    inspect(&sample.bytes()).unwrap()
}

fn linkage(sample: &Sample) -> Linkage {
    match shape(sample).kind {
        Kind::Elf(elf) => match elf.kind {
            ElfKind::Program(linkage) => linkage,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn refusal(sample: &Sample) -> String {
    let refused = admit(&shape(sample), "app", &Allow::default());
    refused.unwrap_err().to_string()
}

fn damage(bytes: &[u8]) -> String {
    inspect(bytes).unwrap_err().to_string()
}

#[test]
fn static_programs_are_let_in() {
    for (sample, expected) in [
        (Sample::default(), Linkage::Static),
        (Sample::static_pie(), Linkage::StaticPie),
    ] {
        assert_eq!(linkage(&sample), expected);
        let shape = shape(&sample);
        assert_eq!(shape.arch(), Some(Arch::X86_64));
        admit(&shape, "app", &Allow::default()).unwrap();
    }
    let aarch64 = Sample {
        machine: raw::EM_AARCH64,
        ..Sample::default()
    };
    assert_eq!(shape(&aarch64).arch(), Some(Arch::Aarch64));
    let gnu = Sample {
        os: raw::ELFOSABI_GNU,
        note: Some(("GNU", 1, &[0, 0, 0, 0, 3, 0, 0, 0])),
        ..Sample::default()
    };
    admit(&shape(&gnu), "app", &Allow::default()).unwrap();
}

#[test]
fn a_pie_without_the_flag_is_known_by_offering_nothing() {
    let mut sample = Sample::static_pie();
    sample.dynamic = Some(Dynamic::default());
    assert_eq!(linkage(&sample), Linkage::StaticPie);
}

#[test]
fn a_dynamic_program_is_refused_with_all_that_it_needs() {
    assert_eq!(
        refusal(&Sample::dynamic()),
        "app: needs the interpreter /lib64/ld-linux-x86-64.so.2 and the libraries \
         libssl.so.3, libc.so.6; relink with -static (Go: CGO_ENABLED=0, Rust: a musl target), or bring them with --libs DIR"
    );
    let klibc = Sample {
        interpreter: Some("/lib/klibc-x.so"),
        ..Sample::default()
    };
    assert!(refusal(&klibc).contains("needs the interpreter /lib/klibc-x.so;"));
    let mut orphan = Sample::dynamic();
    orphan.interpreter = None;
    assert!(refusal(&orphan).contains("names no interpreter"));
}

#[test]
fn a_library_is_no_program() {
    let named = Sample {
        dynamic: Some(Dynamic {
            soname: Some("libx.so.1"),
            ..Dynamic::default()
        }),
        ..Sample::static_pie()
    };
    assert!(refusal(&named).contains("shared library (it is named libx.so.1)"));
    let offering = Sample {
        dynamic: Some(Dynamic {
            exports: true,
            ..Dynamic::default()
        }),
        ..Sample::static_pie()
    };
    assert!(refusal(&offering).contains("shared library (it offers symbols"));
}

#[test]
fn other_processors_and_systems_are_refused_by_name() {
    let i386 = Sample {
        machine: raw::EM_386,
        is_64: false,
        ..Sample::default()
    };
    assert!(refusal(&i386).contains("is for i386;"));
    let riscv = Sample {
        machine: raw::EM_RISCV,
        ..Sample::default()
    };
    assert!(refusal(&riscv).contains("is for riscv64;"));
    let x32 = Sample {
        is_64: false,
        ..Sample::default()
    };
    assert!(refusal(&x32).contains("x32"));
    let big = Sample {
        machine: raw::EM_AARCH64,
        endian: Endianness::Big,
        ..Sample::default()
    };
    assert!(refusal(&big).contains("big endian"));
    let freebsd = Sample {
        os: raw::ELFOSABI_FREEBSD,
        ..Sample::default()
    };
    assert!(refusal(&freebsd).contains("is for FreeBSD;"));
    for (owner, description) in [("OpenBSD", &[0; 4]), ("NetBSD", &[0; 4])] {
        let noted = Sample {
            note: Some((owner, 1, description)),
            ..Sample::default()
        };
        assert!(refusal(&noted).contains(&format!("is for {owner};")));
    }
    let hurd = Sample {
        note: Some(("GNU", 1, &[1, 0, 0, 0])),
        ..Sample::default()
    };
    assert!(refusal(&hurd).contains("is for Hurd;"));
}

#[test]
fn what_is_no_linked_program_is_refused() {
    for (kind, told) in [
        (raw::ET_REL, "is an object file"),
        (raw::ET_CORE, "is a core dump"),
        (raw::FileType(0xfe00), "its ELF type is 0xfe00"),
    ] {
        let sample = Sample {
            kind,
            ..Sample::default()
        };
        assert!(refusal(&sample).contains(told), "{told}");
    }
}

#[test]
fn what_hides_its_linkage_is_refused() {
    let mut sample = Sample::static_pie();
    sample.dynamic = None;
    assert_eq!(linkage(&sample), Linkage::Hidden);
    assert!(refusal(&sample).contains("does not say how it is linked"));
    sample.content.extend_from_slice(b"UPX!");
    assert!(refusal(&sample).contains("upx -d"));
    // at fixed addresses nothing is hidden: a packed static program runs
    sample.kind = raw::ET_EXEC;
    admit(&shape(&sample), "app", &Allow::default()).unwrap();
}

#[test]
fn a_shell_needs_leave() {
    let mut sample = Sample::default();
    sample
        .content
        .extend_from_slice(b"\0Stand-alone shell (version %s)\0");
    let shape = shape(&sample);
    let told = admit(&shape, "tool", &Allow::default()).unwrap_err();
    assert!(
        told.to_string()
            .contains("as sash does; give --allow-shell")
    );
    assert_eq!(shape.shell().unwrap().name, "sash");
    admit(
        &shape,
        "tool",
        &Allow {
            shell: true,
            ..Allow::default()
        },
    )
    .unwrap();
    let plain = inspect(&Sample::default().bytes()).unwrap();
    let told = admit(&plain, "bash-static", &Allow::default()).unwrap_err();
    assert!(told.to_string().contains("it is named like bash"));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = Sample::static_pie().bytes();
    for len in 4..whole.len() {
        let told = damage(&whole[..len]);
        assert!(!told.contains('\n'), "{told}");
    }
    assert!(damage(&whole[..whole.len() - 1]).contains("is cut short: a segment reaches"));
    assert!(damage(&whole[..80]).contains("table of program headers"));
    assert!(damage(&whole[..63]).contains("its header"));
    assert_eq!(inspect(&[]).unwrap().kind, Kind::Empty);
}

/// Offsets of fields in a 64-bit header (gABI 4, Elf64_Ehdr).
const E_PHOFF: usize = 32;
const E_PHENTSIZE: usize = 54;
const E_PHNUM: usize = 56;

#[test]
fn headers_that_lie_are_refused() {
    let whole = Sample::default().bytes();
    let with = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        damage(&file)
    };
    assert!(with(4, &[7]).contains("class"));
    assert!(with(5, &[7]).contains("byte order"));
    assert!(with(E_PHOFF, &[0xff; 8]).contains("beyond every file"));
    assert!(with(E_PHENTSIZE, &[32, 0]).contains("32 bytes instead of 56"));
    assert!(with(E_PHNUM, &[0, 0]).contains("no program headers"));
    assert!(with(E_PHNUM, &[0xff, 0xff]).contains("65535 program headers"));
    // of the one segment: type, offset, length in the file and in memory, address
    assert!(with(64, &[0]).contains("no segment to load"));
    assert!(with(64 + 8, &[0xff; 8]).contains("beyond every address"));
    assert!(with(64 + 32, &[0xff; 8]).contains("is cut short"));
    assert!(with(64 + 40, &[0; 8]).contains("longer in the file"));
    assert!(with(64 + 16, &[0, 0, 0, 0, 0, 0, 1, 0]).contains("beyond a process's"));
    assert!(with(24, &[0xff; 4]).contains("entry point"));
}

/// Changes single bytes all over a file that uses every part of the reader: errors
/// are fine, panics are bugs.
#[test]
fn no_changed_byte_makes_the_reader_panic() {
    let sample = Sample {
        note: Some(("GNU", 1, &[0; 16])),
        dynamic: Some(Dynamic {
            needed: vec!["libc.so.6"],
            soname: Some("libx.so"),
            exports: true,
            ..Dynamic::default()
        }),
        ..Sample::dynamic()
    };
    let whole = sample.bytes();
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut file = whole.clone();
            file[at] = value;
            if let Ok(shape) = inspect(&file) {
                let _ = admit(&shape, "app", &Allow::default());
            }
        }
    }
}

#[test]
fn a_file_is_read_as_its_bytes_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app");
    fs::write(&path, Sample::default().bytes()).unwrap();
    assert_eq!(load(&path).unwrap(), Sample::default().bytes());
    let arch = screen(&path, &Allow::default()).unwrap();
    assert_eq!(arch, Arch::X86_64);
    fs::write(&path, Sample::dynamic().bytes()).unwrap();
    assert!(matches!(
        screen(&path, &Allow::default()),
        Err(AppError::Refused { .. })
    ));
    assert!(matches!(load(dir.path()), Err(AppError::Directory(_))));
    assert!(matches!(
        load(&dir.path().join("no")),
        Err(AppError::Missing(_))
    ));
    assert!(matches!(
        load(Path::new("/dev/null")),
        Err(AppError::Special(_))
    ));
    // a hole of 4 GiB takes no room on a disk
    fs::File::create(&path).unwrap().set_len(1 << 32).unwrap();
    assert!(matches!(load(&path), Err(AppError::TooLong { .. })));
}
