//! What a machine is made of, as its user says it.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::Forward;

/// The machine's processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
}

/// The machine that QEMU imitates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Board {
    /// PCI Express, AHCI: `q35`.
    Q35,
    /// The i440FX of the nineties, the one with IDE: `pc`.
    Pc,
    /// No PCI, virtio-mmio only, no firmware to speak of: `microvm`.
    Microvm,
}

/// What starts the machine's software.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Boot {
    /// SeaBIOS, from the first disk.
    Bios,
    /// UEFI (OVMF), from the first disk.
    Uefi,
    /// QEMU itself puts a kernel into memory.
    Direct(DirectKernel),
}

/// A kernel that QEMU loads by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectKernel {
    /// A bzImage, or on x86_64 an ELF file with a PVH note.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line. A profile can add to it, never takes away.
    pub cmdline: String,
}

/// A raw disk. It is never written to: the guest's writes go to a temporary file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The image.
    pub path: PathBuf,
    /// How it is attached.
    pub bus: Bus,
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bus {
    /// virtio-blk.
    Virtio,
    /// Parallel ATA; on [`Board::Pc`] only.
    Ide,
    /// Serial ATA behind AHCI; on [`Board::Q35`] only.
    Ahci,
    /// A SCSI disk behind virtio-scsi.
    Scsi,
    /// NVM Express.
    Nvme,
}

/// The network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nic {
    /// virtio-net.
    Virtio,
    /// Intel 82540EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// VMware's.
    Vmxnet3,
}

/// Where the guest's console goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Console {
    /// The first serial port.
    Serial,
    /// A VGA screen; the machine has no serial port. Read it with [`crate::Vm::screen_text`].
    Screen,
}

/// How the guest's instructions are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accel {
    /// KVM where a probe shows that it runs guests, else TCG.
    Auto,
    /// The kernel's virtualization; fails where it does not work.
    Kvm,
    /// QEMU's translation: works everywhere, slower.
    Tcg,
}

/// A machine to start. Made by [`Machine::bios`], [`Machine::uefi`], [`Machine::direct`] or
/// [`Machine::microvm`], then refined.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    pub(crate) arch: Arch,
    pub(crate) board: Board,
    pub(crate) boot: Boot,
    pub(crate) disks: Vec<Disk>,
    pub(crate) memory_mib: u32,
    pub(crate) cpus: u32,
    pub(crate) accel: Accel,
    pub(crate) nic: Option<Nic>,
    pub(crate) netdev: Option<OsString>,
    pub(crate) forwards: Vec<Forward>,
    pub(crate) console: Console,
    pub(crate) report: bool,
    pub(crate) firmware_on_serial: bool,
    pub(crate) icount: bool,
    pub(crate) extra: Vec<OsString>,
}

impl Machine {
    fn new(board: Board, boot: Boot) -> Machine {
        Machine {
            arch: Arch::X86_64,
            board,
            boot,
            disks: Vec::new(),
            memory_mib: 256,
            cpus: 1,
            accel: Accel::Auto,
            nic: Some(Nic::Virtio),
            netdev: None,
            forwards: Vec::new(),
            console: Console::Serial,
            report: true,
            firmware_on_serial: false,
            icount: false,
            extra: Vec::new(),
        }
    }

    /// A PC that boots `disk` (virtio) through SeaBIOS.
    pub fn bios(disk: impl Into<PathBuf>) -> Machine {
        Machine::new(Board::Q35, Boot::Bios).disk(disk, Bus::Virtio)
    }

    /// A PC that boots through SeaBIOS what these words of QEMU's command line put in: drives
    /// and controllers that [`Bus`] does not name. The device to boot has `bootindex=0`.
    pub fn bios_from<I>(words: I) -> Machine
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        Machine::new(Board::Pc, Boot::Bios).extra(words)
    }

    /// A PC that boots `disk` (virtio) through OVMF.
    pub fn uefi(disk: impl Into<PathBuf>) -> Machine {
        Machine::new(Board::Q35, Boot::Uefi).disk(disk, Bus::Virtio)
    }

    /// A PC whose kernel QEMU loads by itself, without disk.
    pub fn direct(kernel: DirectKernel) -> Machine {
        Machine::new(Board::Q35, Boot::Direct(kernel))
    }

    /// QEMU's minimal machine, without PCI and disk.
    pub fn microvm(kernel: DirectKernel) -> Machine {
        Machine::new(Board::Microvm, Boot::Direct(kernel))
    }

    /// Another board. [`Board::Microvm`] boots kernels only.
    pub fn board(mut self, board: Board) -> Machine {
        self.board = board;
        self
    }

    /// One more disk; the firmware boots the first.
    pub fn disk(mut self, path: impl Into<PathBuf>, bus: Bus) -> Machine {
        self.disks.push(Disk {
            path: path.into(),
            bus,
        });
        self
    }

    /// The bus of all disks. [`Bus::Ide`] moves a q35 to [`Board::Pc`], which has it.
    pub fn bus(mut self, bus: Bus) -> Machine {
        for disk in &mut self.disks {
            disk.bus = bus;
        }
        if bus == Bus::Ide && self.board == Board::Q35 {
            self.board = Board::Pc;
        }
        self
    }

    /// Main memory, in MiB. 256 unless said.
    pub fn memory_mib(mut self, mib: u32) -> Machine {
        self.memory_mib = mib;
        self
    }

    /// The number of processors. One unless said.
    pub fn cpus(mut self, cpus: u32) -> Machine {
        self.cpus = cpus;
        self
    }

    /// How instructions are run. [`Accel::Auto`] unless said.
    pub fn accel(mut self, accel: Accel) -> Machine {
        self.accel = accel;
        self
    }

    /// The network card, or none. virtio-net behind QEMU's user network (10.0.2.0/24) unless said.
    pub fn nic(mut self, nic: impl Into<Option<Nic>>) -> Machine {
        self.nic = nic.into();
        self
    }

    /// Another network than QEMU's user network: the value of `-netdev` without its `id`, as in
    /// `dgram,local.type=unix,local.path=…`. Port forwards need the user network.
    pub fn netdev(mut self, netdev: impl Into<OsString>) -> Machine {
        self.netdev = Some(netdev.into());
        self
    }

    /// One more port of the host that leads into the guest.
    pub fn forward(mut self, forward: Forward) -> Machine {
        self.forwards.push(forward);
        self
    }

    /// Where the guest's console goes. [`Console::Serial`] unless said.
    pub fn console(mut self, console: Console) -> Machine {
        self.console = console;
        self
    }

    /// Whether the machine has the virtio-serial port `ampoule.report`. It has unless said.
    pub fn report(mut self, report: bool) -> Machine {
        self.report = report;
        self
    }

    /// Whether SeaBIOS shows its screen (what INT 10h prints) on the serial console too. Not
    /// unless said. It changes what a loader's text looks like: escape sequences are mixed in.
    pub fn firmware_on_serial(mut self, on: bool) -> Machine {
        self.firmware_on_serial = on;
        self
    }

    /// Whether the guest's clock counts its instructions (1 ns each), which makes times repeat.
    /// Implies TCG.
    pub fn icount(mut self, on: bool) -> Machine {
        self.icount = on;
        self
    }

    /// Further words for QEMU's command line, at its end.
    pub fn extra<I>(mut self, words: I) -> Machine
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.extra.extend(words.into_iter().map(Into::into));
        self
    }
}
