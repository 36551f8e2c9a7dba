//! `ampoule inspect --extract`: what a monitor that boots a kernel itself is given.

use std::fs;
use std::time::Duration;

use ampoule::boot::elf::unpack_kernel;
use ampoule::digest::Digest;
use ampoule::kit::Kit;
use ampoule::units::Arch;
use ampoule_qemu::{Accel, DirectKernel, Machine, Vm};

use crate::image::{Image, told};

#[test]
fn the_parts_of_an_image_boot_as_an_elf_file() {
    let image = Image::new(&["exit", "42"], &[]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ampoule"));
    command.current_dir(&image.folder);
    let output = command
        .args(["inspect", "app.img", "--extract", "parts"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));

    let parts = image.folder.path().join("parts");
    let shown = String::from_utf8(output.stdout).unwrap();
    let names = ["vmlinuz", "vmlinux", "initrd", "cmdline"];
    for name in names {
        let bytes = fs::read(parts.join(name)).unwrap();
        let row = shown.lines().find(|line| line.ends_with(name)).unwrap();
        assert!(row.contains(&Digest::of(&bytes).to_string()), "{shown}");
        assert!(row.contains(&bytes.len().to_string()), "{shown}");
    }
    assert_eq!(fs::read_dir(&parts).unwrap().count(), names.len());

    let kit = Kit::open(Arch::X86_64).unwrap();
    let kernel = fs::read(kit.kernel()).unwrap();
    assert!(fs::read(parts.join("vmlinuz")).unwrap() == kernel);
    assert!(fs::read(parts.join("vmlinux")).unwrap() == unpack_kernel(&kernel).unwrap());

    let cmdline = fs::read_to_string(parts.join("cmdline")).unwrap();
    let kernel = DirectKernel {
        kernel: parts.join("vmlinux"),
        initrd: Some(parts.join("initrd")),
        cmdline: cmdline.trim_end().to_owned(),
    };
    let machine = Machine::direct(kernel).accel(Accel::Tcg);
    let mut vm = Vm::start(&machine).unwrap();
    let patience = Duration::from_secs(900);
    let verdict = vm.wait_report(|line| line.starts_with("ampoule: verdict "), patience);
    assert_eq!(verdict.unwrap(), "ampoule: verdict exit=42");
}
