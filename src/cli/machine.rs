//! An image as a machine: what `run` and `test` have in common.

use std::path::{Path, PathBuf};

use ampoule_qemu::{Accel, DirectKernel, Machine};
use clap::ValueEnum;

use super::exit::{Exit, Failure};
use crate::pipeline::{self, DirectParts, Summary};

/// How a machine boots, as the user says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FirmwareArg {
    /// The one that needs least of this machine: bios on x86_64
    Auto,
    /// SeaBIOS, from the image's boot sector
    Bios,
    /// OVMF, from the image's EFI system partition
    Uefi,
    /// QEMU loads the kernel out of the image
    Direct,
    /// The same on QEMU's minimal machine
    Microvm,
}

/// How a machine executes, as the user says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccelArg {
    /// KVM where it truly runs guests, else TCG
    Auto,
    /// The host's kernel
    Kvm,
    /// QEMU's translation, which works everywhere
    Tcg,
}

impl From<AccelArg> for Accel {
    fn from(arg: AccelArg) -> Accel {
        match arg {
            AccelArg::Auto => Accel::Auto,
            AccelArg::Kvm => Accel::Kvm,
            AccelArg::Tcg => Accel::Tcg,
        }
    }
}

/// A way to boot an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
    /// QEMU loads the kernel.
    Direct,
    /// QEMU loads the kernel, on the minimal machine.
    Microvm,
}

impl Firmware {
    /// Every way, in the order in which they are tried.
    pub const ALL: [Firmware; 4] = [
        Firmware::Bios,
        Firmware::Uefi,
        Firmware::Direct,
        Firmware::Microvm,
    ];

    /// Its name in arguments, reports and file names.
    pub fn name(self) -> &'static str {
        match self {
            Firmware::Bios => "bios",
            Firmware::Uefi => "uefi",
            Firmware::Direct => "direct",
            Firmware::Microvm => "microvm",
        }
    }
}

impl From<FirmwareArg> for Firmware {
    fn from(arg: FirmwareArg) -> Firmware {
        match arg {
            FirmwareArg::Auto | FirmwareArg::Bios => Firmware::Bios,
            FirmwareArg::Uefi => Firmware::Uefi,
            FirmwareArg::Direct => Firmware::Direct,
            FirmwareArg::Microvm => Firmware::Microvm,
        }
    }
}

/// An image that machines are made of.
pub struct Bootable {
    image: PathBuf,
    summary: Summary,
    /// The parts cut out of it, and the directory that holds them.
    parts: Option<(tempfile::TempDir, DirectParts)>,
}

impl Bootable {
    /// Reads what the image says of itself.
    ///
    /// # Errors
    /// When it cannot be read or is no image of ours.
    pub fn open(image: &Path) -> anyhow::Result<Bootable> {
        Ok(Bootable {
            summary: pipeline::summary(image)?,
            image: image.to_owned(),
            parts: None,
        })
    }

    /// The same, with an init that lets every system call of the app go on and tells it. It
    /// boots by [`Firmware::Direct`], where it is not the image itself that is booted.
    ///
    /// # Errors
    /// As for [`Bootable::open`], or when there is no room for temporary files.
    pub fn learning(image: &Path) -> anyhow::Result<Bootable> {
        let mut bootable = Bootable::open(image)?;
        let folder = tempfile::tempdir()?;
        let parts = pipeline::learning(image, folder.path())?;
        bootable.parts = Some((folder, parts));
        Ok(bootable)
    }

    /// The machine's memory in MiB: what is asked for, else what the image needs
    /// to boot so.
    ///
    /// # Errors
    /// When less is asked for than the image needs.
    pub fn memory_mib(&self, asked: Option<u32>, firmware: Firmware) -> anyhow::Result<u32> {
        let needed = match firmware {
            Firmware::Uefi => self.summary.memory_uefi_mib,
            Firmware::Bios | Firmware::Direct | Firmware::Microvm => self.summary.memory_mib,
        };
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        match asked {
            None => Ok(needed),
            Some(asked) if asked >= needed => Ok(asked),
            Some(asked) => {
                let image = self.image.display();
                let message = format!(
                    "{image} needs {needed} MiB of memory to boot by {name} and gets {asked}; give --memory {needed} or more",
                    name = firmware.name(),
                );
                Err(Failure::new(Exit::Usage, message).into())
            }
        }
    }

    /// The machine that boots the image so.
    ///
    /// # Errors
    /// When kernel and initrd cannot be cut out of the image.
    pub fn machine(&mut self, firmware: Firmware) -> anyhow::Result<Machine> {
        Ok(match firmware {
            Firmware::Bios => Machine::bios(&self.image),
            Firmware::Uefi => Machine::uefi(&self.image),
            Firmware::Direct => {
                let parts = self.parts()?;
                Machine::direct(kernel(parts, &parts.kernel))
            }
            Firmware::Microvm => {
                let parts = self.parts()?;
                Machine::microvm(kernel(parts, &parts.kernel))
            }
        })
    }

    fn parts(&mut self) -> anyhow::Result<&DirectParts> {
        if self.parts.is_none() {
            let folder = tempfile::tempdir()?;
            let parts = pipeline::cut(&self.image, folder.path())?;
            self.parts = Some((folder, parts));
        }
        match &self.parts {
            Some((_, parts)) => Ok(parts),
            None => unreachable!("it was just put there"),
        }
    }
}

fn kernel(parts: &DirectParts, kernel: &Path) -> DirectKernel {
    DirectKernel {
        kernel: kernel.to_owned(),
        initrd: Some(parts.initrd.clone()),
        cmdline: parts.cmdline.clone(),
    }
}
