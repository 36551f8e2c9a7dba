//! The geometry of the FAT32 volume: pure.
//!
//! Names in capitals are the fields of fatgen103 that a number becomes.

use crate::units::{Bytes, MIB, SECTOR};

/// Sectors before the first FAT (BPB_RsvdSecCnt): what `fatfs` reserves, with
/// the boot sector at 0, FSInfo at 1 and their copies at 6 and 7.
pub(super) const RESERVED: u64 = 8;
/// FATs on the volume (BPB_NumFATs).
pub(super) const FATS: u64 = 2;
/// Clusters before the file's: the root, `EFI` and `EFI/BOOT`, one each.
pub(super) const DIRECTORIES: u64 = 3;
/// Number of the first data cluster (fatgen103, "FAT data structure").
pub(super) const FIRST_CLUSTER: u64 = 2;
/// A volume of fewer clusters is FAT16 (fatgen103, "FAT type determination"),
/// which some firmware refuses on an ESP. The paper asks to stay at least 16
/// clusters away from the border, since many implementations are off by some.
pub(super) const MIN_CLUSTERS: u64 = 65_525 + 16;
/// More clusters than this a FAT32 volume cannot number.
pub(super) const MAX_CLUSTERS: u64 = 0x0FFF_FFF5;
/// Largest cluster that every implementation reads (fatgen103,
/// BPB_SecPerClus: 32 KiB), in sectors.
const MAX_SECTORS_PER_CLUSTER: u64 = 64;
/// Bytes kept free for firmware that writes to the ESP (OVMF's NvVars).
const SLACK: u64 = 64 << 10;
/// Entries of a FAT in one sector.
pub(super) const ENTRIES_PER_SECTOR: u64 = SECTOR / 4;

/// A FAT32 volume's numbers, in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    /// The whole volume (BPB_TotSec32).
    pub(super) sectors: u64,
    /// BPB_SecPerClus.
    pub(super) per_cluster: u64,
    /// One FAT (BPB_FATSz32).
    pub(super) fat: u64,
    /// Data clusters.
    pub(super) clusters: u64,
}

impl Geometry {
    /// The smallest volume of whole MiB that takes a file of `len`.
    pub(super) fn for_file(len: Bytes) -> Geometry {
        // the largest cluster with which the file alone makes the volume FAT32,
        // so that it need not be padded
        let mut per_cluster = MAX_SECTORS_PER_CLUSTER;
        while per_cluster > 1 && len.0 / (per_cluster * SECTOR) < MIN_CLUSTERS {
            per_cluster /= 2;
        }
        let clusters = |bytes: u64| bytes.div_ceil(per_cluster * SECTOR);
        let needed = (DIRECTORIES + clusters(len.0) + clusters(SLACK)).max(MIN_CLUSTERS);
        // more sectors make more clusters, a MiB at a time: begin just below
        let mut sectors = Bytes(needed * per_cluster * SECTOR).round_up(MIB).sectors();
        loop {
            let geometry = Geometry::of(sectors, per_cluster);
            if geometry.clusters >= needed {
                return geometry;
            }
            sectors += MIB / SECTOR;
        }
    }

    /// What a volume of `sectors` comes to when `fatfs` makes it: the FAT has
    /// an entry for every cluster and two more, rounded up.
    fn of(sectors: u64, per_cluster: u64) -> Geometry {
        let fat = (sectors - RESERVED + 2 * per_cluster)
            .div_ceil(per_cluster * ENTRIES_PER_SECTOR + FATS);
        let clusters = (sectors - RESERVED - FATS * fat) / per_cluster;
        Geometry {
            sectors,
            per_cluster,
            fat,
            clusters,
        }
    }

    /// The first sector of the data region.
    pub(super) fn data(&self) -> u64 {
        RESERVED + FATS * self.fat
    }

    /// The sector of the volume at which the file begins.
    pub(super) fn file(&self) -> u64 {
        self.data() + DIRECTORIES * self.per_cluster
    }

    /// Bytes in a cluster.
    pub(super) fn cluster(&self) -> u64 {
        self.per_cluster * SECTOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_volume_is_fat32_holds_its_file_and_wastes_little() {
        let lens = [
            1,
            512,
            13 * MIB,
            33 * MIB,
            66 * MIB,
            100 * MIB,
            263 * MIB,
            1 << 30,
        ]
        .into_iter()
        .flat_map(|len| [len - 1, len, len + 1, len + 511])
        .chain([u64::from(u32::MAX)]);
        for len in lens.filter(|&len| len > 0) {
            let g = Geometry::for_file(Bytes(len));
            assert!(
                (MIN_CLUSTERS..MAX_CLUSTERS).contains(&g.clusters),
                "{len}: {g:?}"
            );
            assert!(g.per_cluster.is_power_of_two() && g.per_cluster <= 64);
            assert_eq!(g.sectors % (MIB / SECTOR), 0);
            assert!(g.fat * ENTRIES_PER_SECTOR >= g.clusters + FIRST_CLUSTER);
            let data = g.data() + g.clusters * g.per_cluster;
            assert!(data <= g.sectors && g.sectors - data < g.per_cluster);
            assert!(
                g.file() + Bytes(len + SLACK).sectors() <= g.sectors,
                "{len}"
            );
            let least = (MIN_CLUSTERS * SECTOR).max(len + SLACK);
            let over = g.sectors * SECTOR - least;
            assert!(over <= 3 * MIB + least / 60, "{len}: {over} over");
        }
    }

    #[test]
    fn clusters_grow_with_the_file() {
        let size = |len| Geometry::for_file(Bytes(len)).cluster();
        assert_eq!(size(12 * MIB), 512);
        assert_eq!(size(60 * MIB), 512);
        assert_eq!(size(100 * MIB), 1024);
        assert_eq!(size(230 * MIB), 2048);
        assert_eq!(size(1 << 30), 8192);
        assert_eq!(size(u64::from(u32::MAX)), 32768);
    }
}
