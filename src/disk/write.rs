//! Makes the image, and reads it back.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::units::Bytes;

use super::{BootCode, DiskError, Extent, Plan, esp, read, table};

/// Bytes that are looked at together: a run of zeros of this length stays a
/// hole in the file.
const HOLE: usize = 4096;

/// Writes the planned image to `out`, which is emptied first, with the unified
/// kernel image read from the beginning of `uki`. Zeros stay holes. At the end
/// the image is read back: the file on the ESP must be contiguous, and where
/// the plan has it.
///
/// # Errors
/// The parts do not fit the plan, cannot be read or written, or do not read
/// back.
pub fn write(
    plan: &Plan,
    uki: &mut (impl Read + Seek),
    boot: Option<&BootCode>,
    out: &File,
) -> Result<(), DiskError> {
    check_boot(plan, boot)?;
    out.set_len(0)
        .and_then(|()| out.set_len(plan.len().0))
        .and_then(|()| table::write(plan, boot, out))
        .map_err(DiskError::Write)?;
    if let (Some(boot), Some(bios)) = (boot, &plan.bios) {
        write_sparse(out, bios.first.offset(), &boot.stage2).map_err(DiskError::Write)?;
    }
    let head = esp::head(plan)?;
    write_sparse(out, plan.esp.first.offset(), &head).map_err(DiskError::Write)?;
    copy(uki, plan.uki(), out)?;
    read_back(plan, out)
}

fn check_boot(plan: &Plan, boot: Option<&BootCode>) -> Result<(), DiskError> {
    match (&plan.bios, boot) {
        (Some(_), None) => Err(DiskError::BootCode("the disk for BIOS has no boot code")),
        (None, Some(_)) => Err(DiskError::BootCode(
            "there is boot code for a disk without BIOS",
        )),
        (None, None) => Ok(()),
        (Some(bios), Some(boot)) => {
            let len = Bytes(boot.stage2.len() as u64);
            let room = bios.extent().len;
            if len > room {
                return Err(DiskError::Loader { len, room });
            }
            Ok(())
        }
    }
}

/// Writes what is not zero.
fn write_sparse(mut out: &File, Bytes(start): Bytes, bytes: &[u8]) -> io::Result<()> {
    for (chunk, at) in bytes.chunks(HOLE).zip((start..).step_by(HOLE)) {
        if chunk.iter().any(|&byte| byte != 0) {
            out.seek(SeekFrom::Start(at))?;
            out.write_all(chunk)?;
        }
    }
    Ok(())
}

/// Copies the unified kernel image to its place. From file to file this is
/// copy_file_range, which `io::copy` uses where it can.
fn copy(uki: &mut (impl Read + Seek), to: Extent, mut out: &File) -> Result<(), DiskError> {
    let len = uki.seek(SeekFrom::End(0)).map_err(DiskError::Source)?;
    uki.rewind().map_err(DiskError::Source)?;
    if len != to.len.0 {
        return Err(DiskError::Changed);
    }
    out.seek(SeekFrom::Start(to.offset.0))
        .map_err(DiskError::Write)?;
    let copied = io::copy(&mut uki.take(len), &mut out).map_err(DiskError::Write)?;
    if copied != len {
        return Err(DiskError::Changed);
    }
    Ok(())
}

fn read_back(plan: &Plan, mut out: &File) -> Result<(), DiskError> {
    let image = read(&mut out)?;
    let (found, planned) = (image.uki.lba(), plan.uki_lba());
    if found != planned {
        return Err(DiskError::Misplaced { found, planned });
    }
    let partitions = plan.partitions().eq(&image.partitions);
    if !partitions || image.uki != plan.uki() || image.len != plan.len() {
        let what = "partitions or lengths differ";
        return Err(DiskError::Unplanned(what.to_owned()));
    }
    Ok(())
}
