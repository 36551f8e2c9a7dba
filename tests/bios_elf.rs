//! The ELF file unpacked from the kit's kernel: the very load segments of the
//! kernel build's vmlinux, and a monitor that wants an ELF file boots it.

mod bios_support;

use std::fs;

use ampoule::boot::elf::unpack_kernel;
use ampoule::digest::Digest;
use ampoule_qemu::{DirectKernel, Machine};
use bios_support::{Running, initrd, kit, noise};
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

#[test]
fn the_load_segments_are_those_of_the_build() {
    let kit = kit();
    let bzimage = fs::read(kit.kernel()).expect("the kernel");
    let elf = unpack_kernel(&bzimage).expect("an ELF file");
    let le = LittleEndian;
    let header = FileHeader64::<LittleEndian>::parse(&elf[..]).expect("a header");
    let segments = header
        .program_headers(le, &elf[..])
        .expect("program headers");
    let unpacked: Vec<String> = (segments.iter())
        .filter(|segment| segment.p_type(le) == PT_LOAD)
        .map(|segment| {
            format!(
                "{:#x} {:#x} {:#x} {:#x} {:#x} {}",
                segment.p_vaddr(le),
                segment.p_paddr(le),
                segment.p_filesz(le),
                segment.p_memsz(le),
                segment.p_flags(le),
                Digest::of(segment.data(le, &elf[..]).expect("its bytes"))
            )
        })
        .collect();
    let built = fs::read_to_string(kit.vmlinux_segments()).expect("the build's segments");
    let built: Vec<&str> = (built.lines())
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert!(built.len() >= 2, "text and data at least");
    assert_eq!(unpacked, built);
}

#[test]
fn a_monitor_boots_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (archive, wanted) = initrd(dir.path(), noise(100_000));
    let place = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    };
    let bzimage = fs::read(kit().kernel()).expect("the kernel");
    let kernel = DirectKernel {
        kernel: place("vmlinux", &unpack_kernel(&bzimage).expect("an ELF file")),
        initrd: Some(place("initrd", &archive)),
        cmdline: "console=ttyS0 quiet panic=-1".into(),
    };
    let machine = Machine::direct(kernel).nic(None).report(false);
    let mut machine = Running::start(&machine);
    assert_eq!(machine.expect("sha256 "), wanted);
    machine.expect_off();
}
