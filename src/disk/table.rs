//! The partition table: protective MBR and GPT, through the crate `gpt`.
//!
//! The crate chooses random GUIDs and places unless told otherwise, and
//! trusts a header's numbers: both are settled here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};

use gpt::disk::LogicalBlockSize;
use gpt::header::{Header, HeaderError, read_header_from_arbitrary_device};
use gpt::mbr::{MBRError, ProtectiveMBR};
use gpt::partition::{Partition as Entry, file_read_partitions};
use gpt::{GptConfig, GptError};

use crate::units::{Bytes, Lba, SECTOR};

use super::{BootCode, DiskError, Extent, Guid, Partition, Plan, Window};

const BLOCK: LogicalBlockSize = LogicalBlockSize::Lb512;
/// HeaderSize and SizeOfPartitionEntry as written everywhere (UEFI 2.10, table
/// 5.5; others are allowed and unseen).
const HEADER_SIZE: u32 = 92;
const ENTRY_SIZE: u32 = 128;
/// The most entries that are read; every tool writes 128.
const MAX_ENTRIES: u32 = 1024;
/// OSType of the protective record (UEFI 2.10, table 5.4).
const GPT_PROTECTIVE: u8 = 0xEE;

/// A partition table as read from an image.
pub(super) struct Table {
    pub(super) disk_guid: Guid,
    /// Blocks of the disk that the table was made for.
    pub(super) sectors: u64,
    /// In the order of the disk.
    pub(super) partitions: Vec<Partition>,
}

/// Writes protective MBR, GPT and its backup to an empty file of the planned
/// length.
pub(super) fn write(plan: &Plan, boot: Option<&BootCode>, out: &File) -> io::Result<()> {
    let last = plan.sectors - 1;
    let mut mbr = ProtectiveMBR::with_lb_size(u32::try_from(last).unwrap_or(u32::MAX));
    if let Some(boot) = boot {
        mbr.set_bootcode(boot.mbr);
    }
    let mut device = out;
    mbr.overwrite_lba0(&mut device).map_err(|e| match e {
        MBRError::Io(e) => e,
        other => io::Error::other(other),
    })?;
    let entries = plan
        .partitions()
        .zip(1..)
        .map(|(partition, n)| Ok((n, entry(partition)?)))
        .collect::<io::Result<BTreeMap<u32, Entry>>>()?;
    let guid = plan.disk_guid.to_string().parse();
    let mut disk = GptConfig::new()
        .writable(true)
        .logical_block_size(BLOCK)
        .create_from_device(device, Some(guid.map_err(io::Error::other)?))
        .map_err(plain)?;
    disk.update_partitions(entries).map_err(plain)?;
    disk.write().map_err(plain)?;
    Ok(())
}

/// The system's own error where there is one: a full disk must read as such.
fn plain(e: GptError) -> io::Error {
    match e {
        GptError::Io(e) | GptError::Header(HeaderError::Io(e)) => e,
        other => io::Error::other(other),
    }
}

fn entry(partition: &Partition) -> io::Result<Entry> {
    let mut entry = Entry::zero();
    let parsed = partition.type_guid.to_string().parse();
    entry.part_type_guid.guid = parsed.map_err(io::Error::other)?;
    let parsed = partition.guid.to_string().parse();
    entry.part_guid = parsed.map_err(io::Error::other)?;
    entry.first_lba = partition.first.0;
    entry.last_lba = partition.last.0;
    entry.flags = partition.attributes;
    entry.name.clone_from(&partition.name);
    Ok(entry)
}

/// Reads and checks the table of an image of `len` bytes. The image may lie
/// on a larger disk: the primary header tells where its own end is.
pub(super) fn read(image: &mut (impl Read + Seek), len: Bytes) -> Result<Table, DiskError> {
    check_mbr(image)?;
    let header = read_header(image, Lba(0)).map_err(|what| DiskError::Corrupt(what.into()))?;
    let blocks = len.0 / SECTOR;
    check_header(&header, Lba(1), blocks)?;
    let entries = read_entries(image, &header)?;
    check_backup(image, &header, blocks)?;
    let mut partitions: Vec<Partition> = entries.values().map(describe).collect();
    partitions.sort_by_key(|partition| partition.first);
    let mut free = header.first_usable;
    for Partition {
        name, first, last, ..
    } in &partitions
    {
        if first.0 < free || last < first || last.0 > header.last_usable {
            let what = format!("partition {name:?} overlaps another or the end of the disk");
            return Err(DiskError::Corrupt(what));
        }
        free = last.0 + 1;
    }
    Ok(Table {
        disk_guid: guid(&header.disk_guid.into_bytes()),
        sectors: header.backup_lba + 1,
        partitions,
    })
}

fn check_mbr(image: &mut (impl Read + Seek)) -> Result<(), DiskError> {
    let mut block = [0; SECTOR as usize];
    image.rewind().map_err(DiskError::Read)?;
    let not = |what: &str| Err(DiskError::NotAnImage(what.to_owned()));
    if let Err(e) = image.read_exact(&mut block) {
        return match e.kind() {
            io::ErrorKind::UnexpectedEof => not("it is shorter than a block"),
            _ => Err(DiskError::Read(e)),
        };
    }
    let Ok(mbr) = ProtectiveMBR::from_bytes(&block, BLOCK) else {
        return not("it has no boot record");
    };
    match mbr.partition(0) {
        Some(record) if record.os_type == GPT_PROTECTIVE && record.lb_start == 1 => Ok(()),
        _ => not("it has no GUID partition table"),
    }
}

/// Reads the header that lies one block after `before`, which is how the
/// crate can be shown a backup as well.
fn read_header(image: &mut (impl Read + Seek), before: Lba) -> Result<Header, &'static str> {
    let extent = Extent {
        offset: before.offset(),
        len: Bytes(2 * SECTOR),
    };
    read_header_from_arbitrary_device(&mut Window::new(image, extent), BLOCK)
        .map_err(|_| "the partition table's header is damaged")
}

/// Bounds what the crate would trust.
fn check_header(header: &Header, at: Lba, blocks: u64) -> Result<(), DiskError> {
    let wrong = |what: &str| Err(DiskError::Corrupt(format!("the partition table {what}")));
    if header.header_size_le != HEADER_SIZE || header.part_size != ENTRY_SIZE {
        return wrong("has entries of an unknown size");
    }
    if !(1..=MAX_ENTRIES).contains(&header.num_parts) {
        return wrong("has an impossible number of entries");
    }
    if header.current_lba != at.0 {
        return wrong("is not where it says");
    }
    let end = header.current_lba.max(header.backup_lba);
    if end >= blocks {
        return Err(DiskError::Corrupt("it is cut off".to_owned()));
    }
    let table = u64::from(header.num_parts * ENTRY_SIZE).div_ceil(SECTOR);
    let usable = 2..=end;
    if !usable.contains(&header.first_usable)
        || !usable.contains(&header.last_usable)
        || header.first_usable > header.last_usable
        || !usable.contains(&header.part_start)
        || !usable.contains(&(header.part_start + table))
    {
        return wrong("names blocks outside the disk");
    }
    Ok(())
}

fn read_entries(
    image: &mut (impl Read + Seek),
    header: &Header,
) -> Result<BTreeMap<u32, Entry>, DiskError> {
    file_read_partitions(image, header, BLOCK)
        .map_err(|_| DiskError::Corrupt("the partition table's entries are damaged".to_owned()))
}

/// Holds the backup against the primary.
fn check_backup(
    image: &mut (impl Read + Seek),
    primary: &Header,
    blocks: u64,
) -> Result<(), DiskError> {
    let wrong = || DiskError::Corrupt("the partition table's backup is damaged".to_owned());
    let backup = read_header(image, Lba(primary.backup_lba - 1)).map_err(|_| wrong())?;
    check_header(&backup, Lba(primary.backup_lba), blocks).map_err(|_| wrong())?;
    let mirrors = backup.backup_lba == primary.current_lba
        && backup.disk_guid == primary.disk_guid
        && backup.num_parts == primary.num_parts
        && backup.crc32_parts == primary.crc32_parts
        && (backup.first_usable, backup.last_usable) == (primary.first_usable, primary.last_usable);
    if !mirrors {
        return Err(wrong());
    }
    read_entries(image, &backup).map_err(|_| wrong())?;
    Ok(())
}

fn describe(entry: &Entry) -> Partition {
    Partition {
        name: entry.name.clone(),
        type_guid: guid(&entry.part_type_guid.guid.into_bytes()),
        guid: guid(&entry.part_guid.into_bytes()),
        first: Lba(entry.first_lba),
        last: Lba(entry.last_lba),
        attributes: entry.flags,
    }
}

fn guid(bytes: &[u8; 16]) -> Guid {
    Guid::from_bytes(*bytes)
}
