//! A stub made here, small and with everything that a layout must keep or drop.

use std::fs;
use std::io::{Cursor, Read};

use object::LittleEndian as LE;
use object::pe::{self, ImageNtHeaders64};
use object::pod;

use super::pe::CheckSum;
use super::*;
use crate::units::{Arch, Bytes};

const NT_AT: usize = 64;
const HEADERS: usize = 1024;

/// An EFI application of sections `.text` and `.sbat`, with junk behind them.
fn stub() -> Vec<u8> {
    let mut writer_sections = Vec::new();
    for (n, name) in [".text", ".sbat"].iter().enumerate() {
        let n = u32::try_from(n).unwrap();
        let offset = u32::try_from(HEADERS).unwrap() + n * 512;
        writer_sections.extend(super::pe::section_header(
            name,
            100,
            0x1000 * (n + 1),
            offset,
            512,
        ));
    }
    let mut stub = vec![0; HEADERS];
    stub[..2].copy_from_slice(b"MZ");
    stub[0x3c] = u8::try_from(NT_AT).unwrap();
    let (nt, _) = pod::from_bytes_mut::<ImageNtHeaders64>(&mut stub[NT_AT..]).unwrap();
    nt.signature.set(LE, pe::IMAGE_NT_SIGNATURE);
    nt.file_header.machine.set(LE, pe::IMAGE_FILE_MACHINE_AMD64);
    nt.file_header.number_of_sections.set(LE, 2);
    nt.file_header.time_date_stamp.set(LE, 12345);
    nt.file_header.pointer_to_symbol_table.set(LE, 2048);
    nt.file_header.number_of_symbols.set(LE, 1);
    let optional_len = size_of_val(&nt.optional_header) + 16 * 8;
    let optional_len = u16::try_from(optional_len).unwrap();
    nt.file_header.size_of_optional_header.set(LE, optional_len);
    nt.optional_header
        .magic
        .set(LE, pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC);
    nt.optional_header.section_alignment.set(LE, 4096);
    nt.optional_header.file_alignment.set(LE, 512);
    nt.optional_header
        .size_of_headers
        .set(LE, u32::try_from(HEADERS).unwrap());
    nt.optional_header.size_of_image.set(LE, 0x3000);
    nt.optional_header.size_of_initialized_data.set(LE, 100);
    nt.optional_header
        .subsystem
        .set(LE, pe::IMAGE_SUBSYSTEM_EFI_APPLICATION);
    nt.optional_header.number_of_rva_and_sizes.set(LE, 16);
    let directories = NT_AT + size_of::<ImageNtHeaders64>();
    stub[directories + 4 * 8..][..8].fill(0xaa);
    let table = directories + 16 * 8;
    stub[table..table + writer_sections.len()].copy_from_slice(&writer_sections);
    stub.extend([0x90; 512]);
    stub.extend([b's'; 512]);
    stub.extend(b"symbols and a signature");
    stub
}

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new(kernel: &[u8], initrd: &[u8]) -> Files {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("kernel"), kernel).unwrap();
        fs::write(dir.path().join("initrd"), initrd).unwrap();
        Files { dir }
    }

    fn assemble(&self, stub: &[u8]) -> Result<(Vec<u8>, Written), UkiError> {
        let (linux, initrd) = (
            self.dir.path().join("kernel"),
            self.dir.path().join("initrd"),
        );
        let parts = Parts {
            osrel: b"ID=ampoule\n",
            cmdline: b"console=ttyS0",
            uname: b"6.12.117",
            linux: &linux,
            initrd: &initrd,
        };
        let mut out = Cursor::new(Vec::new());
        let written = assemble(stub, &parts, &mut out)?;
        Ok((out.into_inner(), written))
    }
}

fn sample() -> (Vec<u8>, Written) {
    let kernel = [b"MZ", &[7; 5000][..]].concat();
    Files::new(&kernel, &[3; 777]).assemble(&stub()).unwrap()
}

#[test]
fn every_part_is_found_again_at_a_sector() {
    let (bytes, written) = sample();
    assert_eq!(written.len, Bytes(bytes.len() as u64));
    let uki = parse(Cursor::new(&bytes)).unwrap();
    assert_eq!(uki.arch, Arch::X86_64);
    let names: Vec<_> = uki.sections.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        [
            ".text", ".sbat", ".osrel", ".cmdline", ".uname", ".initrd", ".linux"
        ]
    );
    assert_eq!(uki.sections[2..], written.sections);
    let read = |name| {
        let mut content = Vec::new();
        let section = uki.require(name).unwrap();
        section_reader(Cursor::new(&bytes), section)
            .unwrap()
            .read_to_end(&mut content)
            .unwrap();
        content
    };
    assert_eq!(read(".osrel"), b"ID=ampoule\n");
    assert_eq!(read(".cmdline"), b"console=ttyS0");
    assert_eq!(read(".uname"), b"6.12.117");
    assert_eq!(read(".initrd"), [3; 777]);
    assert_eq!(read(".linux")[..3], [b'M', b'Z', 7]);
    assert_eq!(read(".linux").len(), 5002);
    assert!(uki.require(".none").is_err());
    verify(Cursor::new(&bytes)).unwrap();
}

#[test]
fn the_headers_match_the_file() {
    let (bytes, _) = sample();
    let (nt, _) = pod::from_bytes::<ImageNtHeaders64>(&bytes[NT_AT..]).unwrap();
    assert_eq!(nt.file_header.number_of_sections.get(LE), 7);
    assert_eq!(nt.file_header.time_date_stamp.get(LE), 0);
    assert_eq!(nt.file_header.pointer_to_symbol_table.get(LE), 0);
    assert_eq!(nt.file_header.number_of_symbols.get(LE), 0);
    // .osrel at 0x3000, one page each, .linux at 0x7000 and two pages long
    assert_eq!(nt.optional_header.size_of_image.get(LE), 0x9000);
    let data = 100 + 3 * 512 + 1024 + 5120;
    assert_eq!(nt.optional_header.size_of_initialized_data.get(LE), data);
    let directories = NT_AT + size_of::<ImageNtHeaders64>();
    assert_eq!(bytes[directories + 32..directories + 40], [0; 8]);
    assert_eq!(bytes.len() % 512, 0);
    assert!(!bytes.windows(9).any(|w| w == b"signature"));
}

#[test]
fn the_same_parts_give_the_same_bytes() {
    assert_eq!(sample(), sample());
}

#[test]
fn the_checksum_is_the_standards() {
    // RFC 1071's example sums to ddf2; the length is added behind it
    let mut sum = CheckSum::default();
    let words = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    for byte in words {
        sum.update(&[byte]);
    }
    assert_eq!(sum.finish(), 0xf2dd + 8);
}

#[test]
fn a_flipped_byte_breaks_the_checksum() {
    let (bytes, written) = sample();
    for section in &written.sections {
        let mut bad = bytes.clone();
        bad[usize::try_from(section.offset.0).unwrap()] ^= 1;
        let error = verify(Cursor::new(&bad)).unwrap_err();
        assert!(error.to_string().ends_with("its checksum does not match"));
    }
}

#[test]
fn stubs_that_cannot_carry_a_kernel_are_refused() {
    let files = Files::new(b"MZ", b"");
    let refuse = |stub: &[u8]| files.assemble(stub).unwrap_err().to_string();
    assert!(refuse(b"").starts_with("the EFI stub cannot be used: "));
    let mut other = stub();
    other[NT_AT + 4] = 0x4c;
    assert!(refuse(&other).contains("not an EFI application"));
    let (whole, _) = files.assemble(&stub()).unwrap();
    assert!(refuse(&whole).contains("has a section .osrel already"));
    let mut tight = stub();
    let (nt, _) = pod::from_bytes_mut::<ImageNtHeaders64>(&mut tight[NT_AT..]).unwrap();
    nt.optional_header.size_of_headers.set(LE, 512);
    assert_eq!(
        refuse(&tight),
        "the EFI stub's header has room for 2 more sections and 5 are needed; \
         use another version of systemd-boot-efi"
    );
}

#[test]
fn a_kernel_without_an_efi_stub_is_refused() {
    let error = Files::new(b"\x7fELF", b"").assemble(&stub()).unwrap_err();
    assert!(error.to_string().contains("CONFIG_EFI_STUB"), "{error}");
    let gone = Files::new(b"MZ", b"");
    fs::remove_file(gone.dir.path().join("initrd")).unwrap();
    let error = gone.assemble(&stub()).unwrap_err();
    assert!(error.to_string().starts_with("cannot read "), "{error}");
}

#[test]
fn what_does_not_fit_32_bits_is_refused() {
    let lengths = Lengths {
        osrel: Bytes(1),
        cmdline: Bytes(1),
        uname: Bytes(1),
        initrd: Bytes(3 << 30),
        linux: Bytes(2 << 30),
    };
    let error = layout(&stub(), &lengths).unwrap_err();
    assert!(matches!(error, UkiError::TooLarge(_)), "{error}");
}

#[test]
fn hostile_files_are_errors_and_never_panics() {
    let (bytes, _) = sample();
    for len in 0..bytes.len() {
        assert!(parse(Cursor::new(&bytes[..len])).is_err(), "cut at {len}");
    }
    for at in 0..HEADERS {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bad = bytes.clone();
            bad[at] = value;
            let _ = parse(Cursor::new(&bad));
            let _ = verify(Cursor::new(&bad));
            let _ = layout(
                &bad,
                &Lengths {
                    osrel: Bytes(1),
                    cmdline: Bytes(1),
                    uname: Bytes(1),
                    initrd: Bytes(1),
                    linux: Bytes(1),
                },
            );
        }
    }
}
