//! Quantities as types, so that sectors and bytes cannot be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes in a logical block of every disk that ampoule makes.
pub const SECTOR: u64 = 512;
/// Bytes in a MiB, the alignment of partitions and of whole images.
pub const MIB: u64 = 1 << 20;

/// A logical block address: a count of [`SECTOR`]s from the start of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lba(pub u64);

impl Lba {
    /// The byte at which the block begins.
    #[must_use]
    pub const fn offset(self) -> Bytes {
        Bytes(self.0 * SECTOR)
    }
}

/// A length or an offset in bytes.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Bytes(pub u64);

impl Bytes {
    /// The number of sectors that hold this many bytes, the last perhaps in part.
    #[must_use]
    pub const fn sectors(self) -> u64 {
        self.0.div_ceil(SECTOR)
    }

    /// The next multiple of `step`; the value itself if it is one.
    #[must_use]
    pub const fn round_up(self, step: u64) -> Bytes {
        Bytes(self.0.next_multiple_of(step))
    }
}

impl fmt::Display for Bytes {
    /// A length for people: `512 B`, `34.2 KiB`, `5.9 MiB`, `1.2 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEP: u64 = 1024;
        if self.0 < STEP {
            return write!(f, "{} B", self.0);
        }
        let (mut unit, mut scale) = (0, STEP);
        while self.0 / scale >= STEP && unit < 2 {
            unit += 1;
            scale *= STEP;
        }
        let tenths = self.0 * 10 / scale;
        write!(
            f,
            "{}.{} {}",
            tenths / 10,
            tenths % 10,
            ["KiB", "MiB", "GiB"][unit]
        )
    }
}

/// The processor architecture of an app, a kit or an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arch {
    /// 64-bit x86, little endian.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm, little endian.
    Aarch64,
}

impl Arch {
    /// The name that `uname -m` prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_people_write_them() {
        let shown = |n| Bytes(n).to_string();
        assert_eq!(shown(511), "511 B");
        assert_eq!(shown(1536), "1.5 KiB");
        assert_eq!(shown(36 * MIB), "36.0 MiB");
        assert_eq!(shown(5 * 1024 * MIB), "5.0 GiB");
    }

    #[test]
    fn a_part_of_a_sector_takes_a_whole_one() {
        assert_eq!(Bytes(0).sectors(), 0);
        assert_eq!(Bytes(1).sectors(), 1);
        assert_eq!(Bytes(513).sectors(), 2);
        assert_eq!(Lba(3).offset(), Bytes(1536));
    }
}
