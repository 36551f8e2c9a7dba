//! The memory map: INT 15h AX=E820h (ACPI specification 6.5, 15.1).

use iced_x86::code_asm::{CodeAssembler, CodeLabel, registers::*};
use iced_x86::code_asm::{dword_ptr, word_ptr};

use super::Parts;
use crate::boot::bios::asm::{Emitted, bios};
use crate::boot::bios::layout::{MAP, MAP_ENTRY, MAP_MAX, var};

/// "SMAP", asked and answered.
const SMAP: u32 = 0x534D_4150;
/// Length of an entry. The attributes that ACPI 3.0 added are not asked for, as
/// the kernel does not: what counts is what the kernel will see.
const ENTRY: u32 = 20;
/// `AddressRangeMemory`: usable.
const USABLE: u32 = 1;
/// Bytes in a page, less one.
const PAGE_MASK: u32 = 0xFFF;
/// The last page below 4 GiB: what lies above is counted but not used.
const TOP: u32 = !PAGE_MASK;
/// Fills [`MAP`] with what lies below 4 GiB, in whole pages, and [`var::MEMORY`]
/// with the usable bytes of all of it.
pub fn read_map(a: &mut CodeAssembler, parts: Parts) -> Emitted {
    let (mut ask, mut skip) = (a.create_label(), a.create_label());
    let (mut done, mut some) = (a.create_label(), a.create_label());
    a.xor(ebx, ebx)?; // the BIOS's place in its list, until the end
    a.mov(dword_ptr(var::MEMORY), ebx)?;
    a.mov(dword_ptr(var::MEMORY + 4), ebx)?;
    a.mov(word_ptr(var::MAP_END), u32::from(MAP))?;

    a.set_label(&mut ask)?;
    a.mov(di, u32::from(var::RANGE))?;
    a.mov(ecx, ENTRY)?;
    a.mov(edx, SMAP)?;
    a.mov(eax, 0xE820)?;
    bios(a, 0x15)?;
    a.jc(done)?; // some end so, past the last entry
    a.cmp(eax, SMAP)?;
    a.jne(done)?;
    a.cmp(ecx, ENTRY)?;
    a.jb(skip)?;
    count_and_clip(a, skip)?;
    round_to_pages(a, skip)?;
    keep(a, skip, done)?;
    a.set_label(&mut skip)?;
    a.test(ebx, ebx)?;
    a.jnz(ask)?;

    a.set_label(&mut done)?;
    a.cmp(word_ptr(var::MAP_END), u32::from(MAP))?;
    a.jne(some)?;
    (parts.voice).fail(a, "this BIOS tells no memory map (E820)")?;
    a.set_label(&mut some)
}

/// Counts a usable range, and makes ESI its first address and EDI the one past
/// its end, both cut at 4 GiB.
fn count_and_clip(a: &mut CodeAssembler, skip: CodeLabel) -> Emitted {
    let (mut counted, mut clipped) = (a.create_label(), a.create_label());
    a.mov(ecx, dword_ptr(var::RANGE + 8))?;
    a.mov(edx, dword_ptr(var::RANGE + 12))?;
    a.cmp(dword_ptr(var::RANGE + 16), USABLE)?;
    a.jne(counted)?;
    a.add(dword_ptr(var::MEMORY), ecx)?;
    a.adc(dword_ptr(var::MEMORY + 4), edx)?;
    a.set_label(&mut counted)?;
    a.cmp(dword_ptr(var::RANGE + 4), 0)?;
    a.jne(skip)?; // begins at 4 GiB or above
    a.mov(esi, dword_ptr(var::RANGE))?;
    a.add(ecx, esi)?;
    a.adc(edx, 0)?;
    a.mov(edi, ecx)?;
    a.jz(clipped)?;
    a.mov(edi, TOP)?;
    a.set_label(&mut clipped)
}

/// Makes ESI and EDI whole pages: of a usable range those within it, of a
/// reserved one all that it touches. ECX becomes 1 for a usable range, else 0.
fn round_to_pages(a: &mut CodeAssembler, skip: CodeLabel) -> Emitted {
    const IN_PAGE: u32 = !PAGE_MASK & 0xFFFF;
    let (mut reserved, mut below, mut rounded) =
        (a.create_label(), a.create_label(), a.create_label());
    a.cmp(dword_ptr(var::RANGE + 16), USABLE)?;
    a.jne(reserved)?;
    a.mov(ecx, 1)?;
    a.add(esi, PAGE_MASK)?;
    a.jc(skip)?;
    a.and(si, IN_PAGE)?;
    a.and(di, IN_PAGE)?;
    a.jmp(rounded)?;
    a.set_label(&mut reserved)?;
    a.xor(ecx, ecx)?;
    a.and(si, IN_PAGE)?;
    a.add(edi, PAGE_MASK)?;
    a.jnc(below)?;
    a.mov(edi, TOP)?;
    a.set_label(&mut below)?;
    a.and(di, IN_PAGE)?;
    a.set_label(&mut rounded)
}

/// Appends the range to [`MAP`], unless nothing is left of it; `full` if that
/// was the last that fits.
fn keep(a: &mut CodeAssembler, skip: CodeLabel, full: CodeLabel) -> Emitted {
    a.cmp(esi, edi)?;
    a.jae(skip)?;
    a.mov(bp, word_ptr(var::MAP_END))?;
    a.mov(dword_ptr(bp), esi)?;
    a.mov(dword_ptr(bp + 4), edi)?;
    a.mov(dword_ptr(bp + 8), ecx)?;
    a.add(bp, u32::from(MAP_ENTRY))?;
    a.mov(word_ptr(var::MAP_END), bp)?;
    a.cmp(bp, u32::from(MAP + MAP_MAX * MAP_ENTRY))?;
    a.je(full)
}
