//! How much memory a machine needs for an image.
//!
//! The initramfs is in memory twice while it is unpacked: packed, and as the
//! files of the root. Firmware needs more: it holds the UKI's file, the loaded
//! copy and the initrd that it hands over at the same time.

use crate::initramfs::{PAGE, Tree};
use crate::units::{Bytes, MIB};

/// What the kernel takes for itself on every machine of ours, with its page
/// tables, drivers' buffers and the least it keeps free.
const KERNEL: u64 = 36 * MIB;
/// What UEFI firmware takes for itself: OVMF hangs with 64 MiB and starts with 96.
const FIRMWARE: u64 = 96 * MIB;
/// What an app may use at the least: its stack, heap and socket buffers.
const APP: u64 = 8 * MIB;
/// Bytes of bookkeeping for an inode of the root.
const INODE: u64 = 1024;

/// The memory that an image asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    unpacked: Bytes,
    packed: Bytes,
    extra: Bytes,
}

/// What a guest with `tree`, compressed to `packed` bytes, asks for, and
/// `extra_mib` for the app on top.
pub(super) fn demand(tree: &Tree, packed: Bytes, extra_mib: u32) -> Demand {
    let nodes = tree.nodes() as u64;
    Demand {
        unpacked: Bytes(tree.unpacked_size().0 + nodes * INODE),
        packed,
        extra: Bytes(u64::from(extra_mib) * MIB),
    }
}

impl Demand {
    /// Least memory of the machine, in MiB.
    pub(super) fn total_mib(&self) -> u64 {
        let boot = KERNEL + self.packed.0 + self.unpacked.0;
        let run = KERNEL + self.unpacked.0 + APP + self.extra.0;
        // the UKI's file, the copy of it that is loaded, and the initrd handed over
        let firmware = FIRMWARE + 3 * self.packed.0;
        boot.max(run).max(firmware).div_ceil(MIB)
    }

    /// Size of the root file system in KiB: what is unpacked into it, a little
    /// more, so that rounding cannot make it fail.
    pub(super) fn root_kib(&self) -> u64 {
        let slack = 16 * PAGE;
        (self.unpacked.0 + slack).div_ceil(1024)
    }
}
