use super::*;
use crate::machine::{Board, Bus, Nic};

fn host() -> Host {
    Host {
        qmp: "/s/qmp".into(),
        console: "/s/console".into(),
        report: "/s/report".into(),
        firmware: None,
        tsc_khz: Some(2_596_148),
    }
}

/// One option a line, as a person would write it down.
fn shown(machine: &Machine, accel: Accel, host: &Host) -> String {
    let words = match argv(machine, accel, host) {
        Ok(words) => words,
        Err(error) => return format!("error: {error}"),
    };
    let mut text = String::new();
    for word in words {
        let word = word.to_string_lossy();
        let separator = if word.starts_with('-') { '\n' } else { ' ' };
        text.push(separator);
        text.push_str(&word);
    }
    text.trim_start().to_owned()
}

fn direct() -> DirectKernel {
    DirectKernel {
        kernel: "/k".into(),
        initrd: Some("/i".into()),
        cmdline: "console=ttyS0".to_owned(),
    }
}

#[test]
fn a_bios_machine() {
    let machine = Machine::bios("/img,1").forward("8080:80".parse().unwrap());
    assert_eq!(
        shown(&machine, Accel::Tcg, &host()),
        "-nodefaults
-no-user-config
-no-reboot
-S
-machine q35
-accel tcg
-cpu max
-smp 1
-m 256M
-display none
-chardev socket,id=qmp,path=/s/qmp
-mon chardev=qmp,mode=control
-chardev socket,id=console,path=/s/console
-serial chardev:console
-device virtio-serial-pci
-chardev socket,id=report,path=/s/report
-device virtserialport,chardev=report,name=ampoule.report
-device virtio-rng-pci
-device pvpanic
-boot strict=on
-drive if=none,id=disk0,format=raw,snapshot=on,file=/img,,1
-device virtio-blk-pci,drive=disk0,bootindex=0
-netdev user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80
-device virtio-net-pci,romfile=,netdev=net0"
    );
}

#[test]
fn a_uefi_machine_on_kvm_without_serial_port() {
    let machine = Machine::uefi("/img")
        .bus(Bus::Scsi)
        .console(Console::Screen)
        .report(false)
        .nic(None)
        .memory_mib(512)
        .cpus(2)
        .extra(["-name", "x"]);
    let host = Host {
        firmware: Some(("/c".into(), Some("/v".into()))),
        ..host()
    };
    assert_eq!(
        shown(&machine, Accel::Kvm, &host),
        "-nodefaults
-no-user-config
-no-reboot
-S
-machine q35
-accel kvm
-cpu host
-smp 2
-m 512M
-display none
-chardev socket,id=qmp,path=/s/qmp
-mon chardev=qmp,mode=control
-serial none
-vga std
-device virtio-rng-pci
-device pvpanic
-boot strict=on
-drive if=pflash,unit=0,format=raw,readonly=on,file=/c
-drive if=pflash,unit=1,format=raw,file=/v
-device virtio-scsi-pci
-drive if=none,id=disk0,format=raw,snapshot=on,file=/img
-device scsi-hd,drive=disk0,bootindex=0
-name x"
    );
}

#[test]
fn a_microvm() {
    let machine = Machine::microvm(direct()).disk("/img", Bus::Virtio);
    assert_eq!(
        shown(&machine, Accel::Tcg, &host()),
        "-nodefaults
-no-user-config
-no-reboot
-S
-machine microvm,acpi=on,pcie=off,usb=off,rtc=on,auto-kernel-cmdline=off
-accel tcg
-cpu max
-smp 1
-m 256M
-display none
-chardev socket,id=qmp,path=/s/qmp
-mon chardev=qmp,mode=control
-chardev socket,id=console,path=/s/console
-serial chardev:console
-device virtio-serial-device
-chardev socket,id=report,path=/s/report
-device virtserialport,chardev=report,name=ampoule.report
-device virtio-rng-device
-kernel /k
-initrd /i
-append console=ttyS0 reboot=t tsc_early_khz=2596148
-drive if=none,id=disk0,format=raw,snapshot=on,file=/img
-device virtio-blk-device,drive=disk0
-netdev user,id=net0
-device virtio-net-device,netdev=net0"
    );
}

fn option(machine: &Machine, accel: Accel, name: &str) -> Vec<String> {
    let shown = shown(machine, accel, &host());
    let lines = shown
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    lines.map(str::to_owned).collect()
}

#[test]
fn every_bus_has_its_device() {
    let device = |bus| {
        let machine = Machine::bios("/img").bus(bus).nic(None).report(false);
        let board = option(&machine, Accel::Tcg, "-machine").concat();
        format!(
            "{board}: {}",
            option(&machine, Accel::Tcg, "-device")[2..].join(" ")
        )
    };
    assert_eq!(
        device(Bus::Virtio),
        "q35: virtio-blk-pci,drive=disk0,bootindex=0"
    );
    assert_eq!(device(Bus::Ide), "pc: ide-hd,drive=disk0,bootindex=0");
    assert_eq!(device(Bus::Ahci), "q35: ide-hd,drive=disk0,bootindex=0");
    assert_eq!(
        device(Bus::Scsi),
        "q35: virtio-scsi-pci scsi-hd,drive=disk0,bootindex=0"
    );
    assert_eq!(
        device(Bus::Nvme),
        "q35: nvme,serial=ampoule,drive=disk0,bootindex=0"
    );
}

#[test]
fn the_guest_is_told_the_speed_of_its_counter_only_where_it_must() {
    let append = |machine: &Machine, accel| option(machine, accel, "-append").concat();
    assert_eq!(
        append(&Machine::direct(direct()), Accel::Tcg),
        "console=ttyS0"
    );
    assert_eq!(
        append(&Machine::microvm(direct()), Accel::Kvm),
        "console=ttyS0 reboot=t"
    );
    let counted = Machine::microvm(direct()).icount(true);
    assert_eq!(
        append(&counted, Accel::Tcg),
        "console=ttyS0 reboot=t tsc_early_khz=1000000"
    );
    assert_eq!(
        option(&counted, Accel::Tcg, "-icount"),
        ["shift=0,sleep=off"]
    );
}

#[test]
fn another_network_takes_the_place_of_the_users() {
    let machine = Machine::bios("/img")
        .nic(Nic::E1000)
        .netdev("stream,server=on");
    assert_eq!(
        option(&machine, Accel::Tcg, "-netdev"),
        ["stream,server=on,id=net0"]
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |machine: Machine| shown(&machine, Accel::Kvm, &host());
    assert_eq!(
        refused(Machine::bios("/img").board(Board::Microvm)),
        "error: a microvm boots a kernel, not a disk"
    );
    assert_eq!(
        refused(Machine::bios("/img").bus(Bus::Ide).board(Board::Q35)),
        "error: the machine Q35 has no Ide disks"
    );
    assert_eq!(
        refused(Machine::bios("/img").icount(true)),
        "error: counting instructions needs the accelerator tcg"
    );
    assert_eq!(
        refused(
            Machine::bios("/img")
                .nic(None)
                .forward(crate::Forward::to(80))
        ),
        "error: port forwards need QEMU's user network"
    );
    assert_eq!(
        refused(Machine::microvm(direct()).nic(Nic::E1000)),
        "error: the machine Microvm has no E1000 network card"
    );
    assert_eq!(
        refused(Machine::microvm(direct()).console(Console::Screen)),
        "error: a microvm has no screen"
    );
}
