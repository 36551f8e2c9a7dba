//! How much memory a machine needs for an image.
//!
//! The initramfs is in memory twice while it is unpacked: packed, and as the
//! files of the root. UEFI firmware needs more: besides itself it holds the UKI
//! as a file and as a program, and the EFI stubs copy kernel and initrd.

use crate::initramfs::{PAGE, Tree};
use crate::units::{Bytes, MIB};

/// What the kernel takes for itself on every machine of ours, with its page
/// tables, drivers' buffers and the least it keeps free. Measured: 30 MiB boot a
/// program of 1 KiB; unpacking larger ones needs some room to breathe.
const KERNEL: u64 = 36 * MIB;
/// What an app may use at the least: its stack, heap and socket buffers.
const APP: u64 = 16 * MIB;
/// What firmware keeps at the top of memory for its tables.
const TABLES: u64 = MIB;
/// What OVMF takes for itself, with its copies of the kernel.
const FIRMWARE: u64 = 112 * MIB;
/// How often OVMF and the stubs hold the packed initramfs.
const COPIES: u64 = 3;
/// Bytes of bookkeeping for an inode of the root.
const INODE: u64 = 1024;

/// The memory that an image asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    unpacked: Bytes,
    packed: Bytes,
    /// The first address at which a BIOS loader may put the initramfs.
    floor: Bytes,
    extra: Bytes,
}

/// What a guest with `tree`, compressed to `packed` bytes, asks for, and
/// `extra_mib` for the app on top. `floor` is where the kernel ends before it
/// knows of its initramfs.
pub(super) fn demand(tree: &Tree, packed: Bytes, floor: Bytes, extra_mib: u32) -> Demand {
    let nodes = tree.nodes() as u64;
    Demand {
        unpacked: Bytes(tree.unpacked_size().0 + nodes * INODE),
        packed,
        floor,
        extra: Bytes(u64::from(extra_mib) * MIB),
    }
}

impl Demand {
    /// Least memory of a machine that boots by BIOS or directly, in MiB.
    pub(super) fn total_mib(&self) -> u64 {
        let load = self.floor.round_up(PAGE).0 + self.packed.round_up(PAGE).0 + TABLES;
        let unpack = KERNEL + self.packed.0 + self.unpacked.0;
        let run = KERNEL + self.unpacked.0 + APP + self.extra.0;
        load.max(unpack).max(run).div_ceil(MIB)
    }

    /// Least memory of a machine that boots by UEFI, in MiB.
    pub(super) fn uefi_mib(&self) -> u64 {
        let firmware = FIRMWARE + COPIES * self.packed.0;
        self.total_mib().max(firmware.div_ceil(MIB))
    }

    /// Size of the root file system in KiB: what is unpacked into it, a little
    /// more, so that rounding cannot make it fail.
    pub(super) fn root_kib(&self) -> u64 {
        let slack = 16 * PAGE;
        (self.unpacked.0 + slack).div_ceil(1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::Content;

    /// The kernel's end with the pinned configuration, about.
    const FLOOR: Bytes = Bytes(34 * MIB);

    fn tree(len: u64) -> Tree {
        let mut tree = Tree::new();
        let path = "/dev/zero".into();
        tree.file("/app/x", 0o755, Content::Host { path, len })
            .unwrap();
        tree
    }

    fn mib(len: u64, packed: u64, extra: u32) -> u64 {
        demand(&tree(len * MIB), Bytes(packed * MIB), FLOOR, extra).total_mib()
    }

    #[test]
    fn each_stage_can_be_the_one_that_needs_most() {
        // loading: an archive that packs to more than it holds
        assert_eq!(mib(1, 64, 0), FLOOR.0 / MIB + 64 + 1 + 2 + 1);
        // unpacking: archive and files at once
        assert_eq!(mib(100, 90, 0), 36 + 190 + 1);
        // running: what was asked for the app
        assert_eq!(mib(100, 10, 50), 36 + 100 + 16 + 50 + 1);
    }

    #[test]
    fn firmware_needs_more_and_never_less() {
        let small = demand(&tree(MIB), Bytes(MIB), FLOOR, 0);
        assert!(small.uefi_mib() > small.total_mib());
        let roomy = demand(&tree(MIB), Bytes(MIB), FLOOR, 4096);
        assert_eq!(roomy.uefi_mib(), roomy.total_mib());
    }

    #[test]
    fn the_root_holds_what_is_unpacked_into_it() {
        let demand = demand(&tree(MIB + 1), Bytes(MIB), FLOOR, 0);
        assert!(demand.root_kib() * 1024 > MIB + PAGE);
        assert!(demand.root_kib() * 1024 < 2 * MIB);
    }
}
