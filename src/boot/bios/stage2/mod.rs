//! Stage 2: loads kernel, command line and initrd, and starts the kernel.
//!
//! What it loads and how much is known when the image is made, so the numbers
//! stand in the code as constants; only memory and disk are asked at run time.

mod disk;
mod high;
mod kernel;
mod memory;
mod room;

use iced_x86::code_asm::byte_ptr;
use iced_x86::code_asm::{CodeAssembler, CodeLabel, registers::*};

use super::asm::{Emitted, Program, assemble};
use super::layout::{STAGE1, STAGE2, var};
use super::message::Voice;
use crate::boot::bzimage::SetupHeader;
use crate::units::Lba;

/// What stage 2 does, all of it checked and counted in what the machine takes.
#[derive(Debug, Clone)]
pub struct Job {
    /// The kernel's first sector.
    pub kernel: Lba,
    /// What it says of itself.
    pub header: SetupHeader,
    /// The first sector of the protected-mode part.
    pub system: Lba,
    /// Sectors of it.
    pub system_sectors: u32,
    /// Their sum, as in [`super::sum`].
    pub system_sum: u32,
    /// The command line's first sector.
    pub cmdline: Lba,
    /// Bytes of it; fits [`super::layout::CMDLINE_ROOM`] with its NUL.
    pub cmdline_len: u16,
    /// Sectors of it.
    pub cmdline_sectors: u16,
    /// The initrd's first sector.
    pub initrd: Lba,
    /// Bytes of it.
    pub initrd_len: u32,
    /// Sectors of it.
    pub initrd_sectors: u32,
    /// Their sum, as in [`super::sum`].
    pub initrd_sum: u32,
    /// Bytes of it in whole pages.
    pub initrd_room: u32,
    /// The first address that the initrd may have.
    pub floor: u32,
    /// The first address past those that the initrd may have; whole pages.
    pub ceiling: u32,
    /// RAM that the image needs, in MiB.
    pub memory_mib: u32,
}

/// Routines and failures that the parts of stage 2 share.
#[derive(Clone, Copy)]
struct Parts {
    voice: Voice,
    /// Called: prints EDX:EAX in decimal.
    number: CodeLabel,
    /// Called: reads CX sectors at [`var::LBA`] to BX:0 and moves LBA on.
    read: CodeLabel,
    /// Called: reads ECX sectors at [`var::LBA`] to [`var::TARGET`], above 1 MiB,
    /// and leaves their sum in [`var::SUM`].
    load: CodeLabel,
}

/// Assembles stage 2; not yet padded to whole sectors.
pub fn program(job: &Job) -> Result<Program, iced_x86::IcedError> {
    assemble(STAGE2, |a| {
        let parts = Parts {
            voice: Voice::new(a),
            number: a.create_label(),
            read: a.create_label(),
            load: a.create_label(),
        };
        begin(a)?;
        memory::read_map(a, parts)?;
        room::require_enough(a, parts, job)?;
        room::require_kernel_room(a, parts, job)?;
        room::place_initrd(a, parts, job)?;
        kernel::load_setup(a, parts, job)?;
        kernel::load_cmdline(a, parts, job)?;
        kernel::load_system(a, parts, job)?;
        kernel::load_initrd(a, parts, job)?;
        kernel::hand_over(a, job)?;
        disk::emit_read(a, parts)?;
        high::emit_load(a, parts)?;
        emit_number(a, parts)?;
        parts.voice.emit(a)
    })
}

/// The state that stage 1 leaves, set again so as not to depend on it.
fn begin(a: &mut CodeAssembler) -> Emitted {
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    a.mov(ss, ax)?;
    a.mov(esp, u32::from(STAGE1))?;
    a.cld()?;
    a.sti()?;
    a.mov(byte_ptr(var::DRIVE), dl)
}

/// Decimal, of 64 bits: the remainders of divisions by ten, last one first.
fn emit_number(a: &mut CodeAssembler, parts: Parts) -> Emitted {
    let mut number = parts.number;
    let (mut divide, mut print) = (a.create_label(), a.create_label());
    a.set_label(&mut number)?;
    a.pushad()?;
    a.mov(ebx, 10)?;
    a.xor(cx, cx)?;
    a.set_label(&mut divide)?;
    a.mov(edi, eax)?;
    a.mov(eax, edx)?;
    a.xor(edx, edx)?;
    a.div(ebx)?; // the high half; its remainder joins the low half
    a.xchg(eax, edi)?;
    a.div(ebx)?;
    a.push(dx)?;
    a.inc(cx)?;
    a.mov(edx, edi)?;
    a.mov(edi, eax)?;
    a.or(edi, edx)?;
    a.jnz(divide)?;
    a.set_label(&mut print)?;
    a.pop(ax)?;
    a.add(al, i32::from(b'0'))?;
    parts.voice.put(a)?;
    a.loop_(print)?;
    a.popad()?;
    a.ret()
}
