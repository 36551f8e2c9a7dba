//! Where everything goes on the disk: pure, and known before a byte is written.

use serde::Serialize;

use crate::digest::Digest;
use crate::units::{Arch, Bytes, Lba, MIB, SECTOR};

use super::fat::Geometry;
use super::{DiskError, Guid};

/// Blocks in a MiB, to which partitions and the whole disk are aligned.
const STEP: u64 = MIB / SECTOR;
/// Attribute bit 2 of a GPT entry, "Legacy BIOS Bootable" (UEFI 2.10, table
/// 5.8): it tells BIOS-side software where to boot, and UEFI must ignore it.
const LEGACY_BOOTABLE: u64 = 1 << 2;

/// A run of whole blocks of which `len` bytes are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// The first byte, counted from the start of the image.
    pub offset: Bytes,
    /// The number of bytes.
    pub len: Bytes,
}

impl Extent {
    /// The block in which the extent begins.
    #[must_use]
    pub const fn lba(&self) -> Lba {
        Lba(self.offset.0 / SECTOR)
    }
}

/// One entry of the partition table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// The name, at most 36 UTF-16 units.
    pub name: String,
    /// What the partition is for.
    pub type_guid: Guid,
    /// The partition's own GUID.
    pub guid: Guid,
    /// The first block.
    pub first: Lba,
    /// The last block.
    pub last: Lba,
    /// Attribute bits (UEFI 2.10, table 5.8).
    pub attributes: u64,
}

impl Partition {
    /// The bytes that the partition takes.
    #[must_use]
    pub const fn extent(&self) -> Extent {
        Extent {
            offset: self.first.offset(),
            len: Bytes((self.last.0 - self.first.0 + 1) * SECTOR),
        }
    }
}

/// What makes a BIOS boot the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootCode {
    /// Code for the MBR, up to where its disk signature lies.
    pub mbr: [u8; 440],
    /// What the MBR loads: the beginning of the BIOS boot partition.
    pub stage2: Vec<u8>,
}

/// The layout of a disk image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Blocks of the whole disk, a whole number of MiB.
    pub sectors: u64,
    /// The disk's GUID.
    pub disk_guid: Guid,
    /// The BIOS boot partition, on x86_64.
    pub bios: Option<Partition>,
    /// The EFI system partition.
    pub esp: Partition,
    /// The FAT volume's serial number.
    pub(super) volume_id: u32,
    pub(super) fat: Geometry,
    arch: Arch,
    uki_len: Bytes,
}

impl Plan {
    /// The length of the image.
    #[must_use]
    pub const fn len(&self) -> Bytes {
        Bytes(self.sectors * SECTOR)
    }

    /// Whether the image has no blocks, which no plan has.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sectors == 0
    }

    /// The block in which the unified kernel image begins.
    #[must_use]
    pub fn uki_lba(&self) -> Lba {
        Lba(self.esp.first.0 + self.fat.file())
    }

    /// The bytes of the unified kernel image.
    #[must_use]
    pub fn uki(&self) -> Extent {
        Extent {
            offset: self.uki_lba().offset(),
            len: self.uki_len,
        }
    }

    /// The file that firmware starts from removable media, in the directory
    /// `\EFI\BOOT` (UEFI 2.10, section 3.5.1.1).
    #[must_use]
    pub const fn efi_name(&self) -> &'static str {
        efi_name(self.arch)
    }

    /// The partitions in the order of the disk.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.bios.iter().chain([&self.esp])
    }
}

pub(super) const fn efi_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "BOOTX64.EFI",
        Arch::Aarch64 => "BOOTAA64.EFI",
    }
}

/// Plans a disk for a unified kernel image of `uki_len`. GUIDs and the
/// volume's serial number follow from `seed`, the digest of what is sealed.
///
/// On x86_64 a BIOS boot partition of 1 MiB comes first, at 1 MiB; the ESP
/// follows, and the last MiB holds the backup of the partition table.
///
/// # Errors
/// There is no image, or it is 4 GiB or longer.
pub fn plan(uki_len: Bytes, arch: Arch, seed: &Digest) -> Result<Plan, DiskError> {
    if uki_len.0 == 0 {
        return Err(DiskError::Empty);
    }
    if u32::try_from(uki_len.0).is_err() {
        return Err(DiskError::TooLarge(uki_len));
    }
    let fat = Geometry::for_file(uki_len);
    let guid = |purpose| Guid::derive(seed, purpose);
    let bios = (arch == Arch::X86_64).then(|| Partition {
        name: "BIOS boot".to_owned(),
        type_guid: Guid::BIOS_BOOT,
        guid: guid("bios"),
        first: Lba(STEP),
        last: Lba(2 * STEP - 1),
        attributes: LEGACY_BOOTABLE,
    });
    let first = bios.as_ref().map_or(STEP, |bios| bios.last.0 + 1);
    let esp = Partition {
        name: "EFI system".to_owned(),
        type_guid: Guid::ESP,
        guid: guid("esp"),
        first: Lba(first),
        last: Lba(first + fat.sectors - 1),
        attributes: 0,
    };
    let volume = Digest::of(&[seed.bytes(), &b"volume"[..]].concat());
    let [a, b, c, d, ..] = *volume.bytes();
    Ok(Plan {
        sectors: esp.last.0 + 1 + STEP,
        disk_guid: guid("disk"),
        bios,
        esp,
        volume_id: u32::from_be_bytes([a, b, c, d]),
        fat,
        arch,
        uki_len,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(len: u64, arch: Arch) -> Plan {
        plan(Bytes(len), arch, &Digest::of(b"seed")).unwrap()
    }

    #[test]
    fn partitions_lie_at_whole_mib_and_do_not_overlap() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            for len in [1, 12 * MIB + 5, 300 * MIB] {
                let plan = planned(len, arch);
                let mut free = 34;
                for partition in plan.partitions() {
                    assert!(partition.first.0 >= free);
                    assert_eq!(partition.first.0 % STEP, 0);
                    free = partition.last.0 + 1;
                }
                assert!(free + 33 <= plan.sectors);
                assert_eq!(plan.len().0 % MIB, 0);
                assert_eq!(plan.bios.is_some(), arch == Arch::X86_64);
                let uki = plan.uki();
                assert!(uki.lba() > plan.esp.first);
                assert!(uki.offset.0 + uki.len.0 <= plan.esp.last.offset().0 + SECTOR);
            }
        }
    }

    #[test]
    fn a_small_image_takes_36_mib() {
        assert_eq!(planned(12 * MIB, Arch::X86_64).len(), Bytes(36 * MIB));
    }

    #[test]
    fn only_the_seed_changes_the_names() {
        let one = planned(5, Arch::X86_64);
        let two = plan(Bytes(5), Arch::X86_64, &Digest::of(b"other")).unwrap();
        assert_eq!(one, planned(5, Arch::X86_64));
        assert_ne!(one.disk_guid, two.disk_guid);
        assert_ne!(one.esp.guid, two.esp.guid);
        assert_ne!(one.volume_id, two.volume_id);
        assert_eq!(one.uki(), two.uki());
    }

    #[test]
    fn what_fat_cannot_hold_is_refused() {
        let seed = Digest::of(b"");
        let error = plan(Bytes(1 << 32), Arch::X86_64, &seed).unwrap_err();
        assert!(error.to_string().contains("4.0 GiB"), "{error}");
        assert!(plan(Bytes(0), Arch::X86_64, &seed).is_err());
    }
}
