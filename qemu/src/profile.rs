//! Which devices make up which machine, as tables: a new board or architecture is new rows.

use crate::machine::{Arch, Board, Bus, Nic};

/// What an architecture needs of the host.
pub(crate) struct Emulator {
    pub arch: Arch,
    /// The name in messages and in firmware descriptors.
    pub name: &'static str,
    pub program: &'static str,
    /// Debian's packages, for messages.
    pub package: &'static str,
    pub firmware_package: &'static str,
    /// The machine name that firmware descriptors list for it.
    pub firmware_machine: &'static str,
    /// CODE and VARS files where distributions put them, for those without descriptors.
    pub firmware_files: &'static [(&'static str, &'static str)],
}

pub(crate) const EMULATORS: &[Emulator] = &[Emulator {
    arch: Arch::X86_64,
    name: "x86_64",
    program: "qemu-system-x86_64",
    package: "qemu-system-x86",
    firmware_package: "ovmf",
    firmware_machine: "pc-q35-",
    firmware_files: &[
        // Debian, Ubuntu
        (
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "/usr/share/OVMF/OVMF_VARS_4M.fd",
        ),
        (
            "/usr/share/OVMF/OVMF_CODE.fd",
            "/usr/share/OVMF/OVMF_VARS.fd",
        ),
        // Fedora, openSUSE
        (
            "/usr/share/edk2/ovmf/OVMF_CODE.fd",
            "/usr/share/edk2/ovmf/OVMF_VARS.fd",
        ),
        (
            "/usr/share/qemu/ovmf-x86_64-code.bin",
            "/usr/share/qemu/ovmf-x86_64-vars.bin",
        ),
        // Arch
        (
            "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
            "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
        ),
        (
            "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
            "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd",
        ),
        // NixOS, and what QEMU itself installs
        (
            "/run/libvirt/nix-ovmf/OVMF_CODE.fd",
            "/run/libvirt/nix-ovmf/OVMF_VARS.fd",
        ),
        (
            "/usr/share/qemu/edk2-x86_64-code.fd",
            "/usr/share/qemu/edk2-i386-vars.fd",
        ),
        (
            "/usr/local/share/qemu/edk2-x86_64-code.fd",
            "/usr/local/share/qemu/edk2-i386-vars.fd",
        ),
    ],
}];

/// How devices hang on a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Pci,
    Mmio,
}

pub(crate) struct BoardRow {
    pub board: Board,
    /// The value of `-machine`.
    pub machine: &'static str,
    pub transport: Transport,
    /// Whether it has firmware that can boot a disk.
    pub boots_disks: bool,
    /// The device that tells of a kernel's panic.
    pub panic_device: Option<&'static str>,
    /// What it adds to a kernel's command line.
    pub cmdline: &'static str,
    /// Whether its kernel cannot find out the speed of the time stamp counter by itself.
    pub needs_tsc_speed: bool,
}

pub(crate) const BOARDS: &[BoardRow] = &[
    BoardRow {
        board: Board::Q35,
        machine: "q35",
        transport: Transport::Pci,
        boots_disks: true,
        panic_device: Some("pvpanic"),
        cmdline: "",
        needs_tsc_speed: false,
    },
    BoardRow {
        board: Board::Pc,
        machine: "pc",
        transport: Transport::Pci,
        boots_disks: true,
        panic_device: Some("pvpanic"),
        cmdline: "",
        needs_tsc_speed: false,
    },
    // ACPI brings the power button (a generic event device). It also makes the machine a
    // "hardware reduced" one, for which Linux uses neither the PIT nor the PM timer: hence the
    // speed of the TSC must be told. `reboot=t`, a triple fault, is the reset that it has.
    // Its firmware is SeaBIOS with option ROMs, QEMU's default: under qboot (the option ROMs off)
    // our bzImage was seen to spin before its first line.
    BoardRow {
        board: Board::Microvm,
        machine: "microvm,acpi=on,pcie=off,usb=off,rtc=on,auto-kernel-cmdline=off",
        transport: Transport::Mmio,
        boots_disks: false,
        panic_device: None,
        cmdline: "reboot=t",
        needs_tsc_speed: true,
    },
];

pub(crate) struct DiskRow {
    pub bus: Bus,
    /// The boards that have it; none named means each with the transport.
    pub boards: &'static [Board],
    pub transport: Transport,
    /// A controller of its own, put in once.
    pub controller: Option<&'static str>,
    pub device: &'static str,
}

pub(crate) const DISKS: &[DiskRow] = &[
    disk(Bus::Virtio, Transport::Pci, &[], None, "virtio-blk-pci"),
    disk(Bus::Virtio, Transport::Mmio, &[], None, "virtio-blk-device"),
    disk(Bus::Ide, Transport::Pci, &[Board::Pc], None, "ide-hd"),
    disk(Bus::Ahci, Transport::Pci, &[Board::Q35], None, "ide-hd"),
    disk(
        Bus::Scsi,
        Transport::Pci,
        &[],
        Some("virtio-scsi-pci"),
        "scsi-hd",
    ),
    disk(
        Bus::Scsi,
        Transport::Mmio,
        &[],
        Some("virtio-scsi-device"),
        "scsi-hd",
    ),
    disk(Bus::Nvme, Transport::Pci, &[], None, "nvme,serial=ampoule"),
];

const fn disk(
    bus: Bus,
    transport: Transport,
    boards: &'static [Board],
    controller: Option<&'static str>,
    device: &'static str,
) -> DiskRow {
    DiskRow {
        bus,
        boards,
        transport,
        controller,
        device,
    }
}

/// `romfile=` keeps QEMU from wanting iPXE's ROM, which is not always installed and costs time.
pub(crate) const NICS: &[(Nic, Transport, &str)] = &[
    (Nic::Virtio, Transport::Pci, "virtio-net-pci,romfile="),
    (Nic::Virtio, Transport::Mmio, "virtio-net-device"),
    (Nic::E1000, Transport::Pci, "e1000,romfile="),
    (Nic::E1000e, Transport::Pci, "e1000e,romfile="),
    (Nic::Vmxnet3, Transport::Pci, "vmxnet3,romfile="),
];

/// Devices that are named after their transport only.
pub(crate) struct Virtio {
    pub serial: &'static str,
    pub rng: &'static str,
}

pub(crate) const fn virtio(transport: Transport) -> Virtio {
    match transport {
        Transport::Pci => Virtio {
            serial: "virtio-serial-pci",
            rng: "virtio-rng-pci",
        },
        Transport::Mmio => Virtio {
            serial: "virtio-serial-device",
            rng: "virtio-rng-device",
        },
    }
}

pub(crate) fn emulator(arch: Arch) -> &'static Emulator {
    EMULATORS
        .iter()
        .find(|row| row.arch == arch)
        .unwrap_or(&EMULATORS[0])
}

pub(crate) fn board(board: Board) -> &'static BoardRow {
    BOARDS
        .iter()
        .find(|row| row.board == board)
        .unwrap_or(&BOARDS[0])
}

pub(crate) fn disk_row(board: &BoardRow, bus: Bus) -> Option<&'static DiskRow> {
    DISKS.iter().find(|row| {
        row.bus == bus
            && row.transport == board.transport
            && (row.boards.is_empty() || row.boards.contains(&board.board))
    })
}

pub(crate) fn nic_device(transport: Transport, nic: Nic) -> Option<&'static str> {
    NICS.iter()
        .find(|row| row.0 == nic && row.1 == transport)
        .map(|row| row.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    // `emulator` and `board` fall back on the first row: these keep that from being reached
    #[test]
    fn every_board_and_architecture_has_a_row() {
        for wanted in [Board::Q35, Board::Pc, Board::Microvm] {
            assert_eq!(board(wanted).board, wanted);
        }
        assert_eq!(emulator(Arch::X86_64).arch, Arch::X86_64);
    }

    #[test]
    fn buses_are_where_the_boards_have_them() {
        let device = |b, bus| disk_row(board(b), bus).map(|row| row.device);
        assert_eq!(device(Board::Pc, Bus::Ide), Some("ide-hd"));
        assert_eq!(device(Board::Q35, Bus::Ide), None);
        assert_eq!(device(Board::Pc, Bus::Ahci), None);
        assert_eq!(device(Board::Microvm, Bus::Nvme), None);
        assert_eq!(
            device(Board::Microvm, Bus::Virtio),
            Some("virtio-blk-device")
        );
    }
}
