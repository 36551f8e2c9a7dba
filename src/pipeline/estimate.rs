//! How large an image will be, told before one is made: the app is compressed in
//! samples, everything else is known.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::digest::Digest;
use crate::disk;
use crate::initramfs::{self, Tree};
use crate::kit::Kit;
use crate::units::{Arch, Bytes, MIB};

use super::{PipelineError, build, memory};

/// What an image takes, about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Length of the image in bytes.
    pub size: Bytes,
    /// What the initramfs packs to, in bytes.
    pub packed: Bytes,
    /// What it unpacks to, in bytes.
    pub unpacked: Bytes,
    /// Least memory to boot it by BIOS or directly and to start the app, in MiB.
    pub memory_mib: u64,
    /// The same to boot it by UEFI.
    pub memory_uefi_mib: u64,
}

/// The parts of an image that are the same for every app.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    /// Bytes of kernel, stub and their sections.
    fixed: Bytes,
    /// Bytes of init.
    pub(super) init: Bytes,
    /// Where the kernel ends in memory before it knows of its initramfs.
    floor: Bytes,
}

impl Parts {
    /// About those that the pinned kit of x86_64 has, for whom no kit is at hand.
    const USUAL: Parts = Parts {
        fixed: Bytes(4 * MIB + MIB / 2),
        init: Bytes(MIB / 16),
        floor: Bytes(34 * MIB),
    };

    /// Those of `kit`, or the usual ones.
    pub(super) fn of(kit: Option<&Kit>) -> Result<Parts, PipelineError> {
        let Some(kit) = kit else {
            return Ok(Parts::USUAL);
        };
        let len = |path: &Path| match fs::metadata(path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(source) => Err(PipelineError::Read {
                path: path.to_owned(),
                source,
            }),
        };
        Ok(Parts {
            fixed: Bytes(len(kit.kernel())? + len(kit.stub())?),
            init: Bytes(len(kit.init())?),
            floor: Bytes(build::setup_header(kit.kernel())?.end_of_kernel()),
        })
    }
}

/// Estimates the image of this `tree`, in which the app has these bytes, and `extra_mib`
/// of memory more.
pub(super) fn estimate(
    app: &[u8],
    tree: &Tree,
    arch: Arch,
    parts: Parts,
    extra_mib: u32,
) -> Result<Estimate, PipelineError> {
    // what is not the app packs to half, most of it
    let rest = tree.unpacked_size().0.saturating_sub(app.len() as u64) / 2;
    let packed = Bytes(initramfs::packs_to(app)?.0 + rest);
    let demand = memory::demand(tree, packed, parts.floor, extra_mib);
    let plan = disk::plan(Bytes(parts.fixed.0 + packed.0), arch, &Digest::of(b""))?;
    Ok(Estimate {
        size: plan.len(),
        packed,
        unpacked: tree.unpacked_size(),
        memory_mib: demand.total_mib(),
        memory_uefi_mib: demand.uefi_mib(),
    })
}
