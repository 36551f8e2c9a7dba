//! Reads a FAT32 volume as far as its one file, trusting nothing in it.
//!
//! Names in capitals are the fields of fatgen103.

use std::io::{self, Read, Seek, SeekFrom};

use crate::units::{Bytes, SECTOR};

use super::DiskError;
use super::esp::{ENTRY, cluster_of};
use super::fat::{ENTRIES_PER_SECTOR, FIRST_CLUSTER, MAX_CLUSTERS};

/// Fewest clusters of a FAT32 volume (fatgen103, "FAT type determination").
const MIN_CLUSTERS: u64 = 65_525;
/// The low 28 bits of a FAT entry count; the highest values end a chain.
const ENTRY_MASK: u32 = 0x0FFF_FFFF;
const END_OF_CHAIN: u32 = 0x0FFF_FFF8;
/// The most clusters of a directory that are looked at.
const MAX_DIRECTORY: usize = 64;
/// DIR_Attr bits.
const ATTR_VOLUME: u8 = 0x08;
const ATTR_DIRECTORY: u8 = 0x10;
/// First byte of the name of a deleted entry, and of the one that ends all.
const DELETED: u8 = 0xE5;
const NO_MORE: u8 = 0;
/// Size of the buffer through which FATs pass.
const CHUNK: usize = 64 << 10;

/// A FAT32 volume: `disk` begins with its boot sector and ends with it.
pub(super) struct Volume<R> {
    disk: R,
    per_cluster: u64,
    reserved: u64,
    fat: u64,
    fats: u64,
    clusters: u64,
    root: u64,
}

/// A directory entry.
pub(super) struct Found {
    is_dir: bool,
    cluster: u64,
    size: u32,
}

impl<R: Read + Seek> Volume<R> {
    /// Reads and checks the boot sector of a volume on `sectors` blocks.
    pub(super) fn open(mut disk: R, sectors: u64) -> Result<Volume<R>, DiskError> {
        let mut boot = [0; SECTOR as usize];
        read_at(&mut disk, 0, &mut boot)?;
        let half = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let word = |at: usize| half(at) | half(at + 2) << 16;
        if boot[510..] != [0x55, 0xAA] || half(11) != SECTOR {
            return Err(corrupt("has no boot sector"));
        }
        // BPB_RootEntCnt, BPB_TotSec16 and BPB_FATSz16 are zero on FAT32
        if [half(17), half(19), half(22)] != [0; 3] || half(42) != 0 {
            return Err(corrupt("is not FAT32"));
        }
        let per_cluster = u64::from(boot[13]);
        let (reserved, fats) = (half(14), u64::from(boot[16]));
        let (total, fat, root) = (word(32), word(36), word(44));
        let data = reserved + fats * fat;
        if !per_cluster.is_power_of_two() || reserved == 0 || !matches!(fats, 1 | 2) {
            return Err(corrupt("has an impossible geometry"));
        }
        if total > sectors || data >= total {
            return Err(corrupt("is larger than its partition"));
        }
        let clusters = (total - data) / per_cluster;
        let counted = (MIN_CLUSTERS..=MAX_CLUSTERS).contains(&clusters);
        if !counted || fat * ENTRIES_PER_SECTOR < clusters + FIRST_CLUSTER {
            return Err(corrupt("is not FAT32"));
        }
        let volume = Volume {
            disk,
            per_cluster,
            reserved,
            fat,
            fats,
            clusters,
            root,
        };
        volume.check_cluster(root)?;
        Ok(volume)
    }

    /// Whether the FATs are the same, where there are two.
    pub(super) fn check_mirror(&mut self) -> Result<(), DiskError> {
        if self.fats < 2 {
            return Ok(());
        }
        let len = self.fat * SECTOR;
        let first = self.reserved * SECTOR;
        let (mut one, mut two) = (vec![0; CHUNK], vec![0; CHUNK]);
        for at in (0..len).step_by(CHUNK) {
            let n = usize::try_from(len - at).map_or(CHUNK, |left| left.min(CHUNK));
            read_at(&mut self.disk, first + at, &mut one[..n])?;
            read_at(&mut self.disk, first + len + at, &mut two[..n])?;
            if one[..n] != two[..n] {
                return Err(corrupt("has two allocation tables that differ"));
            }
        }
        Ok(())
    }

    /// The entry of the file at `path`, from the root.
    pub(super) fn find(&mut self, path: &[&str]) -> Result<Option<Found>, DiskError> {
        let mut here = Found {
            is_dir: true,
            cluster: self.root,
            size: 0,
        };
        for name in path {
            if !here.is_dir {
                return Ok(None);
            }
            match self.look_up(here.cluster, &short_name(name))? {
                Some(next) => here = next,
                None => return Ok(None),
            }
        }
        Ok((!here.is_dir).then_some(here))
    }

    /// Where the file's bytes lie on the volume. Its clusters must follow each
    /// other, since a BIOS loader reads it by sector.
    pub(super) fn extent(&mut self, file: &Found) -> Result<(Bytes, Bytes), DiskError> {
        let size = u64::from(file.size);
        if size == 0 {
            return Err(corrupt("has an empty kernel image"));
        }
        let count = size.div_ceil(self.per_cluster * SECTOR);
        self.check_cluster(file.cluster)?;
        self.check_cluster(file.cluster + count - 1)?;
        let mut expected = file.cluster;
        let last = file.cluster + count - 1;
        let mut at = (self.reserved * SECTOR) + file.cluster * 4;
        let mut buffer = vec![0; CHUNK];
        while expected <= last {
            let left = usize::try_from((last - expected + 1) * 4).unwrap_or(CHUNK);
            let n = left.min(CHUNK);
            read_at(&mut self.disk, at, &mut buffer[..n])?;
            for entry in buffer[..n].chunks_exact(4) {
                let next = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
                check_link(next & ENTRY_MASK, expected, last)?;
                expected += 1;
            }
            at += n as u64;
        }
        Ok((Bytes(self.offset(file.cluster)), Bytes(size)))
    }

    /// Looks a short name up in the directory that begins at `cluster`.
    fn look_up(&mut self, mut cluster: u64, name: &[u8; 11]) -> Result<Option<Found>, DiskError> {
        let len =
            usize::try_from(self.per_cluster * SECTOR).map_err(|e| corrupt(&e.to_string()))?;
        let mut content = vec![0; len];
        for _ in 0..MAX_DIRECTORY {
            self.check_cluster(cluster)?;
            let at = self.offset(cluster);
            read_at(&mut self.disk, at, &mut content)?;
            for entry in content.chunks_exact(ENTRY) {
                match entry[0] {
                    NO_MORE => return Ok(None),
                    // long-name records have the volume's bit too
                    DELETED => continue,
                    _ if entry[11] & ATTR_VOLUME != 0 || entry[..11] != name[..] => continue,
                    _ => {}
                }
                let size = [entry[28], entry[29], entry[30], entry[31]];
                return Ok(Some(Found {
                    is_dir: entry[11] & ATTR_DIRECTORY != 0,
                    cluster: cluster_of(entry),
                    size: u32::from_le_bytes(size),
                }));
            }
            let mut next = [0; 4];
            let at = self.reserved * SECTOR + cluster * 4;
            read_at(&mut self.disk, at, &mut next)?;
            match u32::from_le_bytes(next) & ENTRY_MASK {
                END_OF_CHAIN.. => return Ok(None),
                next => cluster = u64::from(next),
            }
        }
        Err(corrupt("has a directory without an end"))
    }

    fn check_cluster(&self, cluster: u64) -> Result<(), DiskError> {
        if (FIRST_CLUSTER..FIRST_CLUSTER + self.clusters).contains(&cluster) {
            return Ok(());
        }
        Err(corrupt("names a cluster that it does not have"))
    }

    /// The byte of the volume at which a cluster begins.
    fn offset(&self, cluster: u64) -> u64 {
        let data = self.reserved + self.fats * self.fat;
        (data + (cluster - FIRST_CLUSTER) * self.per_cluster) * SECTOR
    }
}

/// Whether the FAT's entry for cluster `here` leads to the next, or ends the
/// chain at the last.
fn check_link(entry: u32, here: u64, last: u64) -> Result<(), DiskError> {
    if here == last && entry >= END_OF_CHAIN {
        return Ok(());
    }
    if here < last && u64::from(entry) == here + 1 {
        return Ok(());
    }
    Err(corrupt("has a kernel image that is not in one piece"))
}

/// A name as the directory holds it: eight bytes and three, padded.
fn short_name(name: &str) -> [u8; 11] {
    let mut short = [b' '; 11];
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    for (to, from) in short.iter_mut().zip(stem.bytes().take(8)) {
        *to = from;
    }
    for (to, from) in short[8..].iter_mut().zip(extension.bytes()) {
        *to = from;
    }
    short
}

fn read_at(disk: &mut (impl Read + Seek), at: u64, buf: &mut [u8]) -> Result<(), DiskError> {
    disk.seek(SeekFrom::Start(at))
        .and_then(|_| disk.read_exact(buf))
        .map_err(|e: io::Error| DiskError::reading(e))
}

fn corrupt(what: &str) -> DiskError {
    DiskError::Corrupt(format!("the EFI system partition {what}"))
}
