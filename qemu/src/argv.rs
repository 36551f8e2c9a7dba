//! A machine as QEMU's command line. Pure: what is on the host is given.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::machine::{Accel, Boot, Console, DirectKernel, Machine};
use crate::profile::{self, BoardRow};

/// What on the host a machine is joined to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Host {
    /// Unix sockets that QEMU connects to.
    pub qmp: PathBuf,
    pub console: PathBuf,
    pub report: PathBuf,
    /// UEFI's CODE file and a copy of its VARS file that may be written to.
    pub firmware: Option<(PathBuf, Option<PathBuf>)>,
    /// The speed of the time stamp counter that the guest will see, in kHz, where it is known.
    pub tsc_khz: Option<u64>,
}

/// The words after the program's name. `accel` is settled: not [`Accel::Auto`].
pub(crate) fn argv(machine: &Machine, accel: Accel, host: &Host) -> Result<Vec<OsString>, Error> {
    let board = profile::board(machine.board);
    check(machine, board, accel)?;
    let mut words = Words::default();
    base(&mut words, machine, board, accel);
    channels(&mut words, machine, board, host);
    boot(&mut words, machine, board, accel, host);
    disks(&mut words, machine, board)?;
    network(&mut words, machine, board)?;
    words.0.extend(machine.extra.iter().cloned());
    Ok(words.0)
}

#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    fn flag(&mut self, flag: &str) {
        self.0.push(flag.into());
    }

    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.push(option.into());
        self.0.push(value.into());
    }
}

fn check(machine: &Machine, board: &BoardRow, accel: Accel) -> Result<(), Error> {
    let unsupported = |text: &str| Err(Error::Unsupported(text.to_owned()));
    if !board.boots_disks && !matches!(machine.boot, Boot::Direct(_)) {
        return unsupported("a microvm boots a kernel, not a disk");
    }
    let no_disk = machine.disks.is_empty() && machine.extra.is_empty();
    if !matches!(machine.boot, Boot::Direct(_)) && no_disk {
        return unsupported("the machine has no disk to boot");
    }
    if machine.icount && accel == Accel::Kvm {
        return unsupported("counting instructions needs the accelerator tcg");
    }
    if !machine.forwards.is_empty() && (machine.nic.is_none() || machine.netdev.is_some()) {
        return unsupported("port forwards need QEMU's user network");
    }
    if machine.console == Console::Screen && board.transport == profile::Transport::Mmio {
        return unsupported("a microvm has no screen");
    }
    Ok(())
}

fn base(words: &mut Words, machine: &Machine, board: &BoardRow, accel: Accel) {
    // nothing of the host's configuration gets in, and a reset ends the machine
    words.flag("-nodefaults");
    words.flag("-no-user-config");
    words.flag("-no-reboot");
    // stopped until the control connection stands, so that no event is missed
    words.flag("-S");
    let graphics = if machine.firmware_on_serial {
        ",graphics=off"
    } else {
        ""
    };
    words.pair("-machine", format!("{}{graphics}", board.machine));
    let (accel, cpu) = match accel {
        Accel::Kvm => ("kvm", "host"),
        Accel::Tcg | Accel::Auto => ("tcg", "max"),
    };
    words.pair("-accel", accel);
    words.pair("-cpu", cpu);
    words.pair("-smp", machine.cpus.to_string());
    words.pair("-m", format!("{}M", machine.memory_mib));
    words.pair("-display", "none");
    if machine.icount {
        words.pair("-icount", "shift=0,sleep=off");
    }
}

fn channels(words: &mut Words, machine: &Machine, board: &BoardRow, host: &Host) {
    let virtio = profile::virtio(board.transport);
    words.pair("-chardev", socket("qmp", &host.qmp));
    words.pair("-mon", "chardev=qmp,mode=control");
    match machine.console {
        Console::Serial => {
            words.pair("-chardev", socket("console", &host.console));
            words.pair("-serial", "chardev:console");
        }
        Console::Screen => {
            words.pair("-serial", "none");
            words.pair("-vga", "std");
        }
    }
    if machine.report {
        words.pair("-device", virtio.serial);
        words.pair("-chardev", socket("report", &host.report));
        words.pair(
            "-device",
            "virtserialport,chardev=report,name=ampoule.report",
        );
    }
    words.pair("-device", virtio.rng);
    if let Some(device) = board.panic_device {
        words.pair("-device", device);
    }
}

fn boot(words: &mut Words, machine: &Machine, board: &BoardRow, accel: Accel, host: &Host) {
    if let Boot::Direct(direct) = &machine.boot {
        return kernel(words, machine, direct, board, accel, host);
    }
    // only what has a boot index: no network boot, no fallback
    words.pair("-boot", "strict=on");
    if let Some((code, vars)) = &host.firmware {
        words.pair(
            "-drive",
            file("if=pflash,unit=0,format=raw,readonly=on,file=", code),
        );
        if let Some(vars) = vars {
            words.pair("-drive", file("if=pflash,unit=1,format=raw,file=", vars));
        }
    }
}

fn kernel(
    words: &mut Words,
    machine: &Machine,
    direct: &DirectKernel,
    board: &BoardRow,
    accel: Accel,
    host: &Host,
) {
    words.pair("-kernel", &direct.kernel);
    if let Some(initrd) = &direct.initrd {
        words.pair("-initrd", initrd);
    }
    let mut cmdline = direct.cmdline.trim().to_owned();
    let mut add = |word: &str| {
        if !word.is_empty() {
            cmdline.push_str(if cmdline.is_empty() { "" } else { " " });
            cmdline.push_str(word);
        }
    };
    add(board.cmdline);
    // under KVM the guest learns it from the paravirtual clock
    let tsc_khz = match accel {
        Accel::Kvm => None,
        _ if machine.icount => Some(1_000_000),
        _ => host.tsc_khz,
    };
    if let (true, Some(khz)) = (board.needs_tsc_speed, tsc_khz) {
        add(&format!("tsc_early_khz={khz}"));
    }
    if !cmdline.is_empty() {
        words.pair("-append", cmdline);
    }
}

fn disks(words: &mut Words, machine: &Machine, board: &BoardRow) -> Result<(), Error> {
    let mut controllers = Vec::new();
    for (at, disk) in machine.disks.iter().enumerate() {
        let row = profile::disk_row(board, disk.bus).ok_or_else(|| {
            Error::Unsupported(format!(
                "the machine {:?} has no {:?} disks",
                machine.board, disk.bus
            ))
        })?;
        if let Some(controller) = row.controller.filter(|name| !controllers.contains(name)) {
            controllers.push(controller);
            words.pair("-device", controller);
        }
        // snapshot=on: the image is opened for reading, writes go to a file already unlinked
        let drive = format!("if=none,id=disk{at},format=raw,snapshot=on,file=");
        words.pair("-drive", file(&drive, &disk.path));
        let bootindex = if matches!(machine.boot, Boot::Direct(_)) {
            String::new()
        } else {
            format!(",bootindex={at}")
        };
        words.pair(
            "-device",
            format!("{},drive=disk{at}{bootindex}", row.device),
        );
    }
    Ok(())
}

fn network(words: &mut Words, machine: &Machine, board: &BoardRow) -> Result<(), Error> {
    let Some(nic) = machine.nic else {
        return Ok(());
    };
    let device = profile::nic_device(board.transport, nic).ok_or_else(|| {
        Error::Unsupported(format!(
            "the machine {:?} has no {nic:?} network card",
            machine.board
        ))
    })?;
    let mut netdev = machine.netdev.clone().unwrap_or_else(|| "user".into());
    netdev.push(",id=net0");
    for forward in &machine.forwards {
        netdev.push(format!(",hostfwd={}", forward.rule()));
    }
    words.pair("-netdev", netdev);
    words.pair("-device", format!("{device},netdev=net0"));
    Ok(())
}

fn socket(id: &str, path: &Path) -> OsString {
    file(&format!("socket,id={id},path="), path)
}

/// `before`, the path with its commas doubled (QEMU's way to quote them).
fn file(before: &str, path: &Path) -> OsString {
    let mut word = before.as_bytes().to_vec();
    for &byte in OsStr::as_bytes(path.as_os_str()) {
        word.push(byte);
        if byte == b',' {
            word.push(b',');
        }
    }
    OsString::from_vec(word)
}

#[cfg(test)]
#[path = "argv_tests.rs"]
mod tests;
