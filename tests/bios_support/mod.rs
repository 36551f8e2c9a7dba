//! Disks that hold nothing but a loader and what it loads, and machines to try
//! them in.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod probe;

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use ampoule::boot::bios::{Extent, LoadPlan, boot_code, stage2};
use ampoule::boot::bzimage::SetupHeader;
use ampoule::units::{Bytes, Lba, SECTOR};

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
        let code = stage2(&plan).expect("a loader");
        let mut mbr = boot_code(STAGE2, &code).expect("boot code").to_vec();
        mbr.resize(510, 0);
        mbr.extend([0x55, 0xAA]);
        let sectors = plan.initrd.lba.0 + plan.initrd.bytes.sectors();
        let file = File::create(path).expect("a disk");
        file.set_len(sectors * SECTOR).expect("a disk of this size");
        for (lba, bytes) in [
            (Lba(0), &mbr[..]),
            (STAGE2, &code),
            (plan.cmdline.lba, self.cmdline.as_bytes()),
            (plan.kernel.lba, self.kernel),
            (plan.initrd.lba, self.initrd),
        ] {
            put(&file, lba.offset().0, bytes);
        }
        Disk { plan, sectors }
    }
}

/// Writes bytes into a disk.
pub fn put(mut file: &File, at: u64, bytes: &[u8]) {
    file.seek(SeekFrom::Start(at)).expect("a seek");
    file.write_all(bytes).expect("a write");
}

/// The ways a disk can hang on a machine that SeaBIOS boots from.
pub const BUSES: [(&str, &[&str]); 7] = [
    ("ide", &["-device", "ide-hd,drive=boot"]),
    (
        "ahci",
        &[
            "-device",
            "ich9-ahci,id=bus",
            "-device",
            "ide-hd,drive=boot,bus=bus.0",
        ],
    ),
    ("virtio-blk", &["-device", "virtio-blk-pci,drive=boot"]),
    (
        "virtio-scsi",
        &[
            "-device",
            "virtio-scsi-pci",
            "-device",
            "scsi-hd,drive=boot",
        ],
    ),
    (
        "lsi",
        &["-device", "lsi53c895a", "-device", "scsi-hd,drive=boot"],
    ),
    (
        "megasas",
        &["-device", "megasas", "-device", "scsi-hd,drive=boot"],
    ),
    ("nvme", &["-device", "nvme,drive=boot,serial=boot"]),
];

/// A machine that says nothing for so long has failed. No test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine under test; killed when dropped.
pub struct Machine {
    child: Child,
    lines: Receiver<String>,
    /// All that was read from the serial port.
    pub log: String,
}

/// How to start one.
pub struct Config<'a> {
    pub bus: &'a [&'a str],
    pub memory_mib: u32,
    /// More arguments of QEMU.
    pub more: &'a [&'a str],
}

impl Default for Config<'_> {
    fn default() -> Self {
        Config {
            bus: BUSES[2].1,
            memory_mib: 128,
            more: &["-display", "none", "-serial", "stdio"],
        }
    }
}

impl Machine {
    /// Boots a raw disk by SeaBIOS.
    pub fn boot(disk: &Path, config: &Config<'_>) -> Machine {
        let drive = format!(
            "file={},format=raw,if=none,id=boot,snapshot=on",
            disk.display()
        );
        Machine::boot_drive(&drive, config)
    }

    /// Boots a drive by SeaBIOS.
    pub fn boot_drive(drive: &str, config: &Config<'_>) -> Machine {
        let mut child = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-machine", "pc,accel=tcg", "-cpu", "max", "-vga", "std"])
            .args(["-m", &config.memory_mib.to_string()])
            .args(["-drive", drive])
            .args(config.bus)
            .args(config.more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("qemu-system-x86_64 starts; it is in the package qemu-system-x86");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while out.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if send.send(text).is_err() {
                    return;
                }
            }
        });
        Machine {
            child,
            lines,
            log: String::new(),
        }
    }

    /// Reads on to the first line that contains `what`, and returns it.
    pub fn expect(&mut self, what: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.log.push_str(&line);
                    self.log.push('\n');
                    if line.contains(what) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {what:?} from the machine; it wrote:\n{}", self.log)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!(
                        "the machine ended without {what:?}; it wrote:\n{}",
                        self.log
                    )
                }
            }
        }
    }

    /// Reads on to the end of the machine; true if it turned itself off.
    pub fn ends(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.log.push_str(&line);
                    self.log.push('\n');
                }
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => {
                    return self.child.wait().is_ok_and(|status| status.success());
                }
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // it may have ended already, which is as well
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
