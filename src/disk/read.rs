//! Reads an image that may be anybody's.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Serialize;

use crate::units::{Arch, Bytes, SECTOR};

use super::plan::efi_name;
use super::walk::Volume;
use super::{DiskError, Extent, Guid, Partition, Window, table};

/// What an image holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// The length of the image itself, without what a larger disk has behind it.
    pub len: Bytes,
    /// The disk's GUID.
    pub disk_guid: Guid,
    /// The partitions in the order of the disk.
    pub partitions: Vec<Partition>,
    /// The processor that the file on the ESP is named for.
    pub arch: Arch,
    /// The file's path on the ESP, as firmware writes it.
    pub efi_path: String,
    /// The unified kernel image.
    pub uki: Extent,
}

/// Opens the image at `path`.
///
/// # Errors
/// As for [`read`].
pub fn open(path: &Path) -> Result<(File, Image), DiskError> {
    let mut file = File::open(path).map_err(DiskError::Read)?;
    let image = read(&mut file)?;
    Ok((file, image))
}

/// Reads an image. Its file may be longer than itself, as a disk is.
///
/// # Errors
/// It cannot be read, has no partition table, or a damaged one, or no EFI
/// system partition with one kernel image in one piece.
pub fn read(file: &mut (impl Read + Seek)) -> Result<Image, DiskError> {
    let len = Bytes(file.seek(SeekFrom::End(0)).map_err(DiskError::Read)?);
    let table = table::read(file, len)?;
    let mut esps = table
        .partitions
        .iter()
        .filter(|partition| partition.type_guid == Guid::ESP);
    let (Some(esp), None) = (esps.next(), esps.next()) else {
        let what = "it does not have exactly one EFI system partition";
        return Err(DiskError::NotAnImage(what.to_owned()));
    };
    let at = esp.extent();
    let mut volume = Volume::open(Window::new(file, at), at.len.0 / SECTOR)?;
    volume.check_mirror()?;
    let (arch, found) = find_uki(&mut volume)?;
    let (offset, uki_len) = volume.extent(&found)?;
    Ok(Image {
        len: Bytes(table.sectors * SECTOR),
        disk_guid: table.disk_guid,
        arch,
        efi_path: format!("\\EFI\\BOOT\\{}", efi_name(arch)),
        uki: Extent {
            offset: Bytes(at.offset.0 + offset.0),
            len: uki_len,
        },
        partitions: table.partitions,
    })
}

fn find_uki<R: Read + Seek>(
    volume: &mut Volume<R>,
) -> Result<(Arch, super::walk::Found), DiskError> {
    for arch in [Arch::X86_64, Arch::Aarch64] {
        if let Some(found) = volume.find(&["EFI", "BOOT", efi_name(arch)])? {
            return Ok((arch, found));
        }
    }
    let what = "its EFI system partition has no \\EFI\\BOOT\\BOOTX64.EFI or BOOTAA64.EFI";
    Err(DiskError::NotAnImage(what.to_owned()))
}
