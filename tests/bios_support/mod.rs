//! Disks that hold nothing but a loader and what it loads, and machines to try
//! them in.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod hostile;
pub mod probe;

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ampoule::boot::bios::{Extent, LoadPlan, boot_code, stage2};
use ampoule::boot::bzimage::SetupHeader;
use ampoule::initramfs::{Content, Tree, write};
use ampoule::kit::Kit;
use ampoule::units::{Arch, Bytes, Lba, SECTOR};
use ampoule_qemu::{Accel, Machine, Stop, Vm};
use sha2::{Digest, Sha256};

/// Where stage 2 is put.
pub const STAGE2: Lba = Lba(2048);
/// Where the command line is put; kernel and initrd follow.
pub const CMDLINE: Lba = Lba(4096);

/// What to boot.
pub struct Boot<'a> {
    pub kernel: &'a [u8],
    pub initrd: &'a [u8],
    pub cmdline: &'a str,
    pub memory_mib: u32,
    /// Sectors left free before the initrd.
    pub gap: u64,
}

/// What was put where.
pub struct Disk {
    pub plan: LoadPlan,
    pub sectors: u64,
}

impl Boot<'_> {
    /// Where everything goes.
    pub fn plan(&self) -> LoadPlan {
        let len = |bytes: usize| Bytes(bytes as u64);
        let kernel = Extent {
            lba: Lba(CMDLINE.0 + len(self.cmdline.len()).sectors()),
            bytes: len(self.kernel.len()),
        };
        LoadPlan {
            kernel,
            header: SetupHeader::parse(self.kernel).expect("a bzImage"),
            initrd: Extent {
                lba: Lba(kernel.lba.0 + kernel.bytes.sectors() + self.gap),
                bytes: len(self.initrd.len()),
            },
            cmdline: Extent {
                lba: CMDLINE,
                bytes: len(self.cmdline.len()),
            },
            memory_mib: self.memory_mib,
        }
    }

    /// Writes the disk, a sparse file.
    pub fn write(&self, path: &Path) -> Disk {
        let plan = self.plan();
        let sectors = plan.initrd.lba.0 + plan.initrd.bytes.sectors();
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .expect("a disk");
        (file.set_len(sectors * SECTOR)).expect("a disk of this size");
        put(&file, plan.cmdline.lba.offset().0, self.cmdline.as_bytes());
        put(&file, plan.kernel.lba.offset().0, self.kernel);
        put(&file, plan.initrd.lba.offset().0, self.initrd);
        let code = stage2(&plan, &mut file, Lba(0)).expect("a loader");
        let mut mbr = boot_code(STAGE2, &code).expect("boot code").to_vec();
        mbr.resize(510, 0);
        mbr.extend([0x55, 0xAA]);
        put(&file, 0, &mbr);
        put(&file, STAGE2.offset().0, &code);
        Disk { plan, sectors }
    }
}

/// Writes bytes into a disk.
pub fn put(mut file: &File, at: u64, bytes: &[u8]) {
    file.seek(SeekFrom::Start(at)).expect("a seek");
    file.write_all(bytes).expect("a write");
}

/// Bytes that do not repeat: xorshift.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend(next());
    }
    out.truncate(len);
    out
}

/// The ways a disk can hang on a machine that SeaBIOS boots from: a controller,
/// or none, and the device.
pub const BUSES: [(&str, Option<&str>, &str); 7] = [
    ("ide", None, "ide-hd"),
    ("ahci", Some("ich9-ahci,id=ahci"), "ide-hd,bus=ahci.0"),
    VIRTIO,
    ("virtio-scsi", Some("virtio-scsi-pci"), "scsi-hd"),
    ("lsi", Some("lsi53c895a"), "scsi-hd"),
    ("megasas", Some("megasas"), "scsi-hd"),
    ("nvme", None, "nvme,serial=boot"),
];

/// The bus where any will do.
pub const VIRTIO: (&str, Option<&str>, &str) = ("virtio-blk", None, "virtio-blk-pci");

/// A machine that has not gone on after so long has failed. No test waits for it.
const PATIENCE: Duration = Duration::from_secs(300);

/// A PC of 128 MiB with a raw disk.
pub fn machine(disk: &Path, bus: (&str, Option<&str>, &str)) -> Machine {
    let disk = disk.display();
    machine_with(&format!("format=raw,snapshot=on,file={disk}"), bus)
}

/// A PC of 128 MiB with a drive.
pub fn machine_with(drive: &str, (_, controller, device): (&str, Option<&str>, &str)) -> Machine {
    let mut words = vec!["-drive".into(), format!("if=none,id=boot,{drive}")];
    if let Some(controller) = controller {
        words.extend(["-device".into(), controller.into()]);
    }
    words.extend(["-device".into(), format!("{device},drive=boot,bootindex=0")]);
    Machine::bios_from(words)
        .accel(Accel::Tcg)
        .nic(None)
        .report(false)
        .memory_mib(128)
}

/// A machine that runs.
pub struct Running(pub Vm);

impl Running {
    /// Starts a machine.
    pub fn start(machine: &Machine) -> Running {
        Running(Vm::start(machine).expect("a machine"))
    }

    /// Reads on to the first line that contains `what`, and returns it.
    pub fn expect(&mut self, what: &str) -> String {
        self.0
            .wait_line(|line| line.contains(what), PATIENCE)
            .unwrap_or_else(|error| panic!("no {what:?}: {error}"))
    }

    /// Waits until the guest has turned its machine off.
    pub fn expect_off(&mut self) {
        let exit = self.0.wait_exit(PATIENCE).expect("the machine's end");
        assert_eq!(exit.stop, Stop::PoweredOff, "{}", self.0.console());
    }
}

/// The kit whose kernel is booted.
pub fn kit() -> Kit {
    Kit::open(Arch::X86_64).expect("the kit; `ampoule kit build` makes it")
}

/// Compiles the guest's PID 1.
fn compile(init: &Path) {
    let status = Command::new("gcc")
        .args(["-O2", "-static", "-Wall", "-Werror", "-o"])
        .arg(init)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/bios_support/init.c"
        ))
        .status()
        .expect("gcc starts; it is in the package gcc");
    assert!(
        status.success(),
        "gcc compiles the guest's init; libc6-dev has the static libc"
    );
}

/// An initrd, not packed, whose PID 1 prints the SHA-256 of `blob` and turns the
/// machine off; and the line that it prints.
pub fn initrd(dir: &Path, blob: Vec<u8>) -> (Vec<u8>, String) {
    let init = dir.join("init");
    compile(&init);
    let digest = Sha256::digest(&blob);
    let line = digest.iter().fold(String::from("sha256 "), |line, byte| {
        line + &format!("{byte:02x}")
    });
    let mut tree = Tree::new();
    tree.dir("/dev", 0o755).expect("a node");
    tree.char_device("/dev/console", 0o600, 5, 1)
        .expect("a node");
    tree.file("/init", 0o755, Content::host(&init).expect("a file"))
        .expect("a node");
    tree.file("/blob", 0o444, Content::Bytes(blob))
        .expect("a node");
    let mut initrd = Vec::new();
    write(&tree, &mut initrd).expect("an initrd");
    (initrd, line)
}
