//! The EFI system partition: FAT32 through the crate `fatfs`.
//!
//! The crate works on the head of the volume alone, which is everything but
//! the file's bytes, in memory; a few MiB for the largest file. The bytes go
//! to their planned place afterwards, straight from one file to the other.
//!
//! What fatfs 0.3.6 does otherwise than fsck.fat wants is put right in
//! [`mend`]: long-name records for `.` and `..`, a `..` that names the root by
//! its cluster and not by 0, a label without a date, no hidden sectors, no copy
//! of FSInfo.

use std::io::{self, Read, Seek, SeekFrom, Write};

use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time};

use crate::units::SECTOR;

use super::fat::{FIRST_CLUSTER, Geometry};
use super::{DiskError, Plan};

/// Length of a directory entry (fatgen103, "FAT directory structure").
pub(super) const ENTRY: usize = 32;
/// The volume's name, in the boot sector and the root directory.
const LABEL: [u8; 11] = *b"AMPOULE    ";
/// DIR_Attr of long-name records, and of the volume's label.
const ATTR_LONG_NAME: u8 = 0x0f;
const ATTR_VOLUME: u8 = 0x08;
/// DIR_WrtDate of the first day that FAT can tell: 1980-01-01.
const FIRST_DAY: u16 = 1 << 5 | 1;
/// Offsets of DIR_Attr and DIR_WrtDate, and of the halves of DIR_FstClus.
const DIR_ATTR: usize = 11;
const DIR_WRITE_DATE: usize = 24;
const DIR_CLUSTER_HIGH: usize = 20;
const DIR_CLUSTER_LOW: usize = 26;
/// Offset of BPB_HiddSec in the boot sector.
const HIDDEN_SECTORS: usize = 28;
/// Sectors of the boot sector's copy, FSInfo and FSInfo's copy.
const BACKUP_BOOT: usize = 6;
const FS_INFO: usize = 1;
const BACKUP_FS_INFO: usize = 7;
/// A sector as an index.
const SECTOR_LEN: usize = 512;

/// Every time on the volume: the first that FAT can tell.
#[derive(Debug)]
struct Epoch;

impl fatfs::TimeProvider for Epoch {
    fn get_current_date(&self) -> Date {
        Date {
            year: 1980,
            month: 1,
            day: 1,
        }
    }

    fn get_current_date_time(&self) -> DateTime {
        let time = Time {
            hour: 0,
            min: 0,
            sec: 0,
            millis: 0,
        };
        DateTime {
            date: self.get_current_date(),
            time,
        }
    }
}

static EPOCH: Epoch = Epoch;

/// The volume's bytes up to the first of the file.
pub(super) fn head(plan: &Plan) -> Result<Vec<u8>, DiskError> {
    let mut head = Head::new(&plan.fat)?;
    make(&mut head, plan).map_err(unplanned)?;
    let mut bytes = head.bytes;
    let hidden = u32::try_from(plan.esp.first.0).map_err(unplanned)?;
    mend(&mut bytes, &plan.fat, hidden)?;
    Ok(bytes)
}

fn make(head: &mut Head, plan: &Plan) -> io::Result<()> {
    let narrow = |n: u64| u32::try_from(n).map_err(io::Error::other);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(narrow(plan.fat.cluster())?)
        .total_sectors(narrow(plan.fat.sectors)?)
        .volume_id(plan.volume_id)
        .volume_label(LABEL);
    fatfs::format_volume(&mut *head, options)?;
    head.rewind()?;
    let volume = FileSystem::new(head, FsOptions::new().time_provider(&EPOCH))?;
    // counts the free clusters, so that FSInfo will say how many there are
    volume.stats()?;
    let boot = volume.root_dir().create_dir("EFI")?.create_dir("BOOT")?;
    let mut file = boot.create_file(plan.efi_name())?;
    // allocates the file's clusters; the head keeps nothing of these zeros
    io::copy(&mut io::repeat(0).take(plan.uki().len.0), &mut file)?;
    file.flush()?;
    drop(file);
    drop(boot);
    volume.unmount()
}

/// Puts right what fatfs leaves wrong.
fn mend(head: &mut [u8], fat: &Geometry, hidden: u32) -> Result<(), DiskError> {
    for sector in [0, BACKUP_BOOT] {
        let at = sector * SECTOR_LEN + HIDDEN_SECTORS;
        head[at..at + 4].copy_from_slice(&hidden.to_le_bytes());
    }
    let info = FS_INFO * SECTOR_LEN;
    head.copy_within(info..info + SECTOR_LEN, BACKUP_FS_INFO * SECTOR_LEN);
    let cluster = usize::try_from(fat.cluster()).map_err(unplanned)?;
    let data = usize::try_from(fat.data() * SECTOR).map_err(unplanned)?;
    for directory in head[data..].chunks_exact_mut(cluster) {
        mend_directory(directory);
    }
    Ok(())
}

/// Drops long-name records, since every name here is a plain short one, dates
/// the label, and writes 0 for the root's cluster (fatgen103: the `..` of a
/// directory in the root has cluster 0).
fn mend_directory(directory: &mut [u8]) {
    let mut kept = Vec::with_capacity(directory.len());
    for entry in directory.chunks_exact(ENTRY) {
        if entry[DIR_ATTR] == ATTR_LONG_NAME {
            continue;
        }
        let mut entry = entry.to_vec();
        if entry[DIR_ATTR] == ATTR_VOLUME {
            let date = FIRST_DAY.to_le_bytes();
            entry[DIR_WRITE_DATE..DIR_WRITE_DATE + 2].copy_from_slice(&date);
        }
        let root = entry[..2] == *b".." && cluster_of(&entry) == FIRST_CLUSTER;
        if root {
            entry[DIR_CLUSTER_HIGH..DIR_CLUSTER_HIGH + 2].fill(0);
            entry[DIR_CLUSTER_LOW..DIR_CLUSTER_LOW + 2].fill(0);
        }
        kept.extend(entry);
    }
    kept.resize(directory.len(), 0);
    directory.copy_from_slice(&kept);
}

/// The first cluster that a directory entry names.
pub(super) fn cluster_of(entry: &[u8]) -> u64 {
    let half = |at: usize| u64::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
    half(DIR_CLUSTER_HIGH) << 16 | half(DIR_CLUSTER_LOW)
}

fn unplanned(e: impl std::fmt::Display) -> DiskError {
    DiskError::Unplanned(e.to_string())
}

/// A volume of which only the head is kept. All else reads as zeros, and only
/// zeros may be written to it.
struct Head {
    bytes: Vec<u8>,
    len: u64,
    at: u64,
}

impl Head {
    fn new(fat: &Geometry) -> Result<Head, DiskError> {
        let kept = usize::try_from(fat.file() * SECTOR).map_err(unplanned)?;
        Ok(Head {
            bytes: vec![0; kept],
            len: fat.sectors * SECTOR,
            at: 0,
        })
    }

    /// The part of `len` bytes from here that is kept, and its length or that
    /// of what lies behind it.
    fn span(&self, len: usize) -> (Option<usize>, usize) {
        let left = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        let len = len.min(left);
        match usize::try_from(self.at) {
            Ok(at) if at < self.bytes.len() => (Some(at), len.min(self.bytes.len() - at)),
            _ => (None, len),
        }
    }
}

impl Read for Head {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (at, len) = self.span(buf.len());
        match at {
            Some(at) => buf[..len].copy_from_slice(&self.bytes[at..at + len]),
            None => buf[..len].fill(0),
        }
        self.at += len as u64;
        Ok(len)
    }
}

impl Write for Head {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (at, len) = self.span(buf.len());
        match at {
            Some(at) => self.bytes[at..at + len].copy_from_slice(&buf[..len]),
            None if buf[..len].iter().all(|&byte| byte == 0) => {}
            None => return Err(io::Error::other("something was written behind the head")),
        }
        self.at += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Head {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        match at {
            Some(at) if at <= self.len => self.at = at,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(self.at)
    }
}
