//! The BIOS loader: two stages of 16-bit code, made for one image.
//!
//! Stage 1 ([`boot_code`]) goes into the protective MBR; it reads and checks
//! stage 2 ([`stage2`]), which lies in the BIOS boot partition. Stage 2 loads
//! kernel, command line and initrd from the sectors named in its [`LoadPlan`]
//! and starts the kernel by the 16-bit entry of the x86 boot protocol.
//!
//! Both are assembled here, so their bytes are the same on every build host.
//! Where things lie in memory meanwhile: see `layout`. What is said when
//! something fails, and how the machine ends then: see `message`.

mod asm;
mod layout;
mod mbr;
mod message;
mod stage2;
mod sum;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Seek};

use iced_x86::IcedError;

use super::bzimage::SetupHeader;
use crate::units::{Bytes, Lba, MIB, SECTOR};
use stage2::Job;

/// Bytes of boot code in an MBR (UEFI specification 2.10, 5.2.1).
pub const BOOT_CODE_LEN: usize = 440;
/// Bytes in a page of memory.
const PAGE: u64 = 4096;

/// No disk is larger: files and block devices count their bytes in 63 bits.
const LARGEST_DISK: Bytes = Bytes(1 << 62);

/// A run of bytes on the disk that begins at a sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first sector, from the start of the disk.
    pub lba: Lba,
    /// Length of what is to be read.
    pub bytes: Bytes,
}

/// What the loader loads, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadPlan {
    /// The bzImage.
    pub kernel: Extent,
    /// Its setup header.
    pub header: SetupHeader,
    /// The initrd.
    pub initrd: Extent,
    /// The kernel's command line, without NUL.
    pub cmdline: Extent,
    /// RAM that the image needs, in MiB: with less the loader says so and stops.
    /// It is raised to what kernel and initrd take while they are loaded.
    pub memory_mib: u32,
}

/// Why no loader can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BiosError {
    /// Nothing to load.
    #[error("the {what} is empty; BIOS boot needs one")]
    Empty {
        /// Kernel, initrd, command line or stage 2.
        what: &'static str,
    },
    /// The sectors are beyond the largest disk that bytes are counted on.
    #[error("the {what} at LBA {lba} is beyond the end of any disk", lba = .lba.0)]
    Beyond {
        /// Kernel, initrd, command line or stage 2.
        what: &'static str,
        /// Where it would be.
        lba: Lba,
    },
    /// The kernel's header tells of more than there is.
    #[error("the kernel is {has} long and its header says {wants}; it is cut short")]
    KernelShort {
        /// Length of the extent.
        has: Bytes,
        /// Length by the header.
        wants: Bytes,
    },
    /// The command line is longer than the kernel reads, or than the loader's room.
    #[error("the command line has {len} bytes; this kernel takes at most {max}")]
    CmdlineLong {
        /// Bytes of it.
        len: u64,
        /// Bytes that can be.
        max: u64,
    },
    /// Kernel and initrd do not fit below the highest address that the kernel takes.
    #[error(
        "an initrd of {len} does not fit between {floor} and {ceiling}, where this kernel takes it; make the image smaller"
    )]
    InitrdLarge {
        /// Length of it.
        len: Bytes,
        /// End of the kernel.
        floor: Bytes,
        /// The first address past what the kernel takes.
        ceiling: Bytes,
    },
    /// The plan names sectors before the file that they are read from.
    #[error("the {what} at LBA {lba} lies before the file that holds it", lba = .lba.0)]
    Outside {
        /// Kernel or initrd.
        what: &'static str,
        /// Where it would be.
        lba: Lba,
    },
    /// The file with kernel and initrd cannot be read.
    #[error("kernel and initrd cannot be read for their sums")]
    Read(#[source] io::Error),
    /// Stage 2 is not a whole number of sectors, or too many.
    #[error("stage 2 has {len} bytes; a multiple of 512 up to {max} is needed", max = layout::STAGE2_MAX_SECTORS * 512)]
    Stage2Len {
        /// Bytes of it.
        len: usize,
    },
    /// Code that does not fit its place: a fault of ampoule.
    #[error(
        "the boot code has {len} bytes and its place {max}; this is a fault of ampoule, report it"
    )]
    CodeLong {
        /// Bytes of it.
        len: usize,
        /// Bytes that fit.
        max: usize,
    },
    /// The assembler refused: a fault of ampoule.
    #[error("the boot code does not assemble; this is a fault of ampoule, report it")]
    Assemble(#[from] IcedError),
}

/// Makes the boot code of the MBR for a stage 2 that will be written at `lba`.
///
/// # Errors
/// [`BiosError`] if `stage2` is not what [`stage2()`] makes, or `lba` is no place for it.
pub fn boot_code(lba: Lba, stage2: &[u8]) -> Result<[u8; BOOT_CODE_LEN], BiosError> {
    let code = mbr_program(lba, stage2)?.bytes;
    let mut place = [0; BOOT_CODE_LEN];
    match place.get_mut(..code.len()) {
        Some(begin) => begin.copy_from_slice(&code),
        None => {
            return Err(BiosError::CodeLong {
                len: code.len(),
                max: BOOT_CODE_LEN,
            });
        }
    }
    Ok(place)
}

fn mbr_program(lba: Lba, stage2: &[u8]) -> Result<asm::Program, BiosError> {
    let len = stage2.len();
    let bytes = Bytes(u64::try_from(len).unwrap_or(u64::MAX));
    let sectors = check_extent("stage 2", Extent { lba, bytes })?;
    match u16::try_from(sectors) {
        Ok(sectors) if sectors <= layout::STAGE2_MAX_SECTORS && bytes.0 % SECTOR == 0 => {
            Ok(mbr::program(lba, sectors, crc32(stage2))?)
        }
        _ => Err(BiosError::Stage2Len { len }),
    }
}

/// Makes stage 2, in whole sectors.
///
/// `file` is what will lie on the disk from `first` on, all that the plan names
/// within it; it is read for the sums by which stage 2 knows it again.
///
/// # Errors
/// [`BiosError`] if the plan cannot be carried out on any machine, or `file`
/// cannot be read.
pub fn stage2(
    plan: &LoadPlan,
    file: &mut (impl Read + Seek),
    first: Lba,
) -> Result<Vec<u8>, BiosError> {
    let mut code = stage2::program(&plan.job(file, first)?)?.bytes;
    let max = usize::from(layout::STAGE2_MAX_SECTORS) * 512;
    if code.len() > max {
        return Err(BiosError::CodeLong {
            len: code.len(),
            max,
        });
    }
    code.resize(code.len().next_multiple_of(512), 0);
    Ok(code)
}

impl LoadPlan {
    /// Checks the plan and counts it out.
    fn job(&self, file: &mut (impl Read + Seek), first: Lba) -> Result<Job, BiosError> {
        check_extent("kernel", self.kernel)?;
        let initrd_sectors = check_extent("initrd", self.initrd)?;
        let cmdline_sectors = check_extent("command line", self.cmdline)?;
        self.check_kernel()?;
        self.check_cmdline()?;

        let floor = self.header.end_of_kernel().next_multiple_of(PAGE);
        let ceiling = (u64::from(self.header.initrd_addr_max) + 1) / PAGE * PAGE;
        let large = || BiosError::InitrdLarge {
            len: self.initrd.bytes,
            floor: Bytes(floor),
            ceiling: Bytes(ceiling),
        };
        let room = self.initrd.bytes.round_up(PAGE).0;
        if floor + room > ceiling {
            return Err(large());
        }
        // ceiling is at most 4 GiB, and a top at 4 GiB would be 0 in 32 bits
        let ceiling = ceiling.min((1 << 32) - PAGE);
        let narrow = |n: u64| u32::try_from(n).map_err(|_| large());
        let least = narrow((floor + room).div_ceil(MIB))?;
        let system = Lba(self.kernel.lba.0 + u64::from(self.header.setup_sectors));
        let system_sectors = self.header.system_len().sectors();
        let mut sum = |what, lba: Lba, sectors| {
            let at = lba.0.checked_sub(first.0);
            let at = at.ok_or(BiosError::Outside { what, lba })?;
            sum::of_sectors(file, Lba(at).offset(), sectors).map_err(BiosError::Read)
        };
        Ok(Job {
            kernel: self.kernel.lba,
            header: self.header.clone(),
            system,
            system_sectors: narrow(system_sectors)?,
            system_sum: sum("kernel", system, system_sectors)?,
            cmdline: self.cmdline.lba,
            cmdline_len: u16::try_from(self.cmdline.bytes.0).map_err(|_| large())?,
            cmdline_sectors: u16::try_from(cmdline_sectors).map_err(|_| large())?,
            initrd: self.initrd.lba,
            initrd_len: narrow(self.initrd.bytes.0)?,
            initrd_sectors: narrow(initrd_sectors)?,
            initrd_sum: sum("initrd", self.initrd.lba, initrd_sectors)?,
            initrd_room: narrow(room)?,
            floor: narrow(floor)?,
            ceiling: narrow(ceiling)?,
            memory_mib: self.memory_mib.max(least),
        })
    }

    /// `syssize` counts in 16 bytes, so the file may end up to 15 bytes earlier.
    fn check_kernel(&self) -> Result<(), BiosError> {
        let wants = Bytes(self.header.setup_len().0 + self.header.system_len().0);
        if self.kernel.bytes.round_up(16) < wants {
            return Err(BiosError::KernelShort {
                has: self.kernel.bytes,
                wants,
            });
        }
        Ok(())
    }

    fn check_cmdline(&self) -> Result<(), BiosError> {
        let max = u64::from(self.header.cmdline_size).min(layout::CMDLINE_ROOM - 1);
        let len = self.cmdline.bytes.0;
        if len > max {
            return Err(BiosError::CmdlineLong { len, max });
        }
        Ok(())
    }
}

/// The sectors of an extent that is not empty and lies on a disk of a size that can be.
fn check_extent(what: &'static str, extent: Extent) -> Result<u64, BiosError> {
    let Extent { lba, bytes } = extent;
    let sectors = bytes.sectors();
    if sectors == 0 {
        return Err(BiosError::Empty { what });
    }
    match lba.0.checked_add(sectors) {
        Some(end) if end <= LARGEST_DISK.sectors() => Ok(sectors),
        _ => Err(BiosError::Beyond { what, lba }),
    }
}

/// CRC-32 as in IEEE 802.3, of what stage 1 checks.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (mbr::POLYNOMIAL * (crc & 1))
        })
    })
}
