//! The kernel: its parts into memory, its header filled in, and the start.
//! Linux 6.12, Documentation/arch/x86/boot.rst; the 16-bit entry, so that the
//! kernel itself asks the BIOS for memory map, A20 and screen.

use iced_x86::code_asm::{AsmMemoryOperand, CodeAssembler, ptr, registers::*};
use iced_x86::code_asm::{byte_ptr, dword_ptr, word_ptr};

use super::{Job, Parts};
use crate::boot::bios::asm::{Emitted, set_dwords};
use crate::boot::bios::layout::*;
use crate::boot::bzimage::{LOAD_ADDRESS, MAGIC, offset};
use crate::units::Lba;

/// `type_of_loader` of a loader without a number of its own.
const UNKNOWN_LOADER: u32 = 0xFF;
/// `loadflags` bit 7: `heap_end_ptr` is valid.
const CAN_USE_HEAP: u32 = 0x80;
/// `vid_mode`: the mode that the screen is in, called "normal".
const NORMAL: u32 = 0xFFFF;

/// Reads boot sector and setup code, and checks that they are those of the
/// kernel that the image was made with.
pub fn load_setup(a: &mut CodeAssembler, parts: Parts, job: &Job) -> Emitted {
    let (mut other, mut same) = (a.create_label(), a.create_label());
    let sectors = u16::from(job.header.setup_sectors);
    read_low(a, parts, job.kernel, sectors, SETUP_SEGMENT)?;
    in_setup(a)?;
    a.cmp(dword_ptr(field(offset::MAGIC)), MAGIC)?;
    a.jne(other)?;
    a.cmp(
        word_ptr(field(offset::VERSION)),
        u32::from(job.header.version),
    )?;
    a.jne(other)?;
    a.cmp(
        byte_ptr(field(offset::SETUP_SECTS)),
        u32::from(job.header.setup_sects),
    )?;
    a.jne(other)?;
    a.cmp(dword_ptr(field(offset::SYSSIZE)), job.header.syssize)?;
    a.je(same)?;
    a.set_label(&mut other)?;
    parts.voice.begin(a)?;
    parts
        .voice
        .say(a, "the kernel of this image is not at LBA ")?;
    a.sub(dword_ptr(var::LBA), u32::from(sectors))?;
    a.sbb(dword_ptr(var::LBA + 4), 0)?;
    a.mov(eax, dword_ptr(var::LBA))?;
    a.mov(edx, dword_ptr(var::LBA + 4))?;
    a.call(parts.number)?;
    parts.voice.end(a)?;
    a.set_label(&mut same)
}

/// Reads the command line and ends it.
pub fn load_cmdline(a: &mut CodeAssembler, parts: Parts, job: &Job) -> Emitted {
    read_low(a, parts, job.cmdline, job.cmdline_sectors, CMDLINE_SEGMENT)?;
    in_setup(a)?;
    a.mov(byte_ptr(field(HEAP_END + job.cmdline_len)), 0)
}

/// Loads the protected-mode part.
pub fn load_system(a: &mut CodeAssembler, parts: Parts, job: &Job) -> Emitted {
    set_dwords(a, var::LBA, job.system.0)?;
    a.mov(dword_ptr(var::TARGET), LOAD_ADDRESS)?;
    load(a, parts, job.system_sectors)?;
    require_sum(a, parts, job.system_sum, "the kernel is damaged")
}

/// Loads the initrd to where [`super::room::place_initrd`] found room.
pub fn load_initrd(a: &mut CodeAssembler, parts: Parts, job: &Job) -> Emitted {
    set_dwords(a, var::LBA, job.initrd.0)?;
    a.mov(eax, dword_ptr(var::INITRD))?;
    a.mov(dword_ptr(var::TARGET), eax)?;
    load(a, parts, job.initrd_sectors)?;
    require_sum(a, parts, job.initrd_sum, "the initrd is damaged")
}

/// Fills in the header and starts the kernel.
pub fn hand_over(a: &mut CodeAssembler, job: &Job) -> Emitted {
    let cmdline = (u32::from(SETUP_SEGMENT) << 4) + u32::from(HEAP_END);
    in_setup(a)?;
    a.mov(word_ptr(field(offset::VID_MODE)), NORMAL)?;
    a.mov(byte_ptr(field(offset::TYPE_OF_LOADER)), UNKNOWN_LOADER)?;
    a.or(byte_ptr(field(offset::LOADFLAGS)), CAN_USE_HEAP)?;
    a.mov(
        word_ptr(field(offset::HEAP_END_PTR)),
        u32::from(HEAP_END_PTR),
    )?;
    a.mov(dword_ptr(field(offset::CMD_LINE_PTR)), cmdline)?;
    a.mov(eax, dword_ptr(var::INITRD))?;
    a.mov(dword_ptr(field(offset::RAMDISK_IMAGE)), eax)?;
    a.mov(dword_ptr(field(offset::RAMDISK_SIZE)), job.initrd_len)?;

    // "Running the Kernel": the PIC is left as it is, Xen hangs if it is masked.
    a.cli()?;
    a.cld()?;
    a.mov(ax, u32::from(SETUP_SEGMENT))?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    a.mov(fs, ax)?;
    a.mov(gs, ax)?;
    a.mov(ss, ax)?;
    a.mov(esp, u32::from(HEAP_END))?;
    a.jmp_far(SETUP_ENTRY_SEGMENT, 0)
}

/// Points FS at the setup code. Each user does so anew: a BIOS may change it.
fn in_setup(a: &mut CodeAssembler) -> Emitted {
    a.mov(ax, u32::from(SETUP_SEGMENT))?;
    a.mov(fs, ax)
}

/// A place in the setup code.
fn field(at: u16) -> AsmMemoryOperand {
    ptr(at).fs()
}

/// Reads a few sectors below 1 MiB.
fn read_low(a: &mut CodeAssembler, parts: Parts, at: Lba, sectors: u16, segment: u16) -> Emitted {
    set_dwords(a, var::LBA, at.0)?;
    a.mov(bx, u32::from(segment))?;
    a.mov(cx, u32::from(sectors))?;
    a.call(parts.read)
}

fn load(a: &mut CodeAssembler, parts: Parts, sectors: u32) -> Emitted {
    a.mov(ecx, sectors)?;
    a.call(parts.load)
}

/// Goes on if what was loaded is what the image was made with.
fn require_sum(a: &mut CodeAssembler, parts: Parts, sum: u32, text: &str) -> Emitted {
    let mut whole = a.create_label();
    a.cmp(dword_ptr(var::SUM), sum)?;
    a.je(whole)?;
    parts.voice.fail(a, text)?;
    a.set_label(&mut whole)
}
