//! The memory map (INT 15h AX=E820h; ACPI specification 6.5, 15.1), whether
//! there is enough of it, and where in it the initrd goes.

use iced_x86::code_asm::{CodeAssembler, registers::*};
use iced_x86::code_asm::{dword_ptr, word_ptr};

use super::{Job, Parts};
use crate::boot::bios::asm::{Emitted, bios};
use crate::boot::bios::layout::{MAP, MAP_ENTRY, MAP_MAX, var};
use crate::boot::bzimage::LOAD_ADDRESS;

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
/// One MiB less one byte, and one MiB as a shift.
const MIB_MASK: u32 = 0xF_FFFF;
const MIB_SHIFT: u32 = 20;

/// Fills [`MAP`] with what lies below 4 GiB, in whole pages, and [`var::MEMORY`]
/// with the usable bytes of all of it.
pub fn read_map(a: &mut CodeAssembler, parts: Parts) -> Emitted {
    let mut ask = a.create_label();
    let mut skip = a.create_label();
    let (mut done, mut good, mut clipped) = (a.create_label(), a.create_label(), a.create_label());
    let (mut reserved, mut keep, mut low) = (a.create_label(), a.create_label(), a.create_label());
    a.xor(ebx, ebx)?;
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

    // ESI = first address, EDI = past the end, 32 bits of each; EBX is the BIOS's.
    a.mov(ecx, dword_ptr(var::RANGE + 8))?;
    a.mov(edx, dword_ptr(var::RANGE + 12))?;
    a.cmp(dword_ptr(var::RANGE + 16), USABLE)?;
    a.jne(low)?;
    a.add(dword_ptr(var::MEMORY), ecx)?;
    a.adc(dword_ptr(var::MEMORY + 4), edx)?;
    a.set_label(&mut low)?;
    a.cmp(dword_ptr(var::RANGE + 4), 0)?;
    a.jne(skip)?; // begins at 4 GiB or above
    a.mov(esi, dword_ptr(var::RANGE))?;
    a.add(ecx, esi)?;
    a.adc(edx, 0)?;
    a.mov(edi, ecx)?;
    a.jz(clipped)?;
    a.mov(edi, TOP)?;
    a.set_label(&mut clipped)?;
    a.cmp(dword_ptr(var::RANGE + 16), USABLE)?;
    a.jne(reserved)?;
    // usable: only whole pages of it
    a.mov(ecx, 1)?;
    a.add(esi, PAGE_MASK)?;
    a.jc(skip)?;
    a.and(si, !PAGE_MASK & 0xFFFF)?;
    a.and(di, !PAGE_MASK & 0xFFFF)?;
    a.jmp(keep)?;
    // reserved: every page that it touches
    a.set_label(&mut reserved)?;
    a.xor(ecx, ecx)?;
    a.and(si, !PAGE_MASK & 0xFFFF)?;
    a.add(edi, PAGE_MASK)?;
    a.jnc(good)?;
    a.mov(edi, TOP)?;
    a.set_label(&mut good)?;
    a.and(di, !PAGE_MASK & 0xFFFF)?;
    a.set_label(&mut keep)?;
    a.cmp(esi, edi)?;
    a.jae(skip)?;
    a.mov(bp, word_ptr(var::MAP_END))?;
    a.mov(dword_ptr(bp), esi)?;
    a.mov(dword_ptr(bp + 4), edi)?;
    a.mov(dword_ptr(bp + 8), ecx)?;
    a.add(bp, u32::from(MAP_ENTRY))?;
    a.mov(word_ptr(var::MAP_END), bp)?;
    a.cmp(bp, u32::from(MAP + MAP_MAX * MAP_ENTRY))?;
    a.je(done)?;
    a.set_label(&mut skip)?;
    a.test(ebx, ebx)?;
    a.jnz(ask)?;

    a.set_label(&mut done)?;
    let mut some = a.create_label();
    a.cmp(word_ptr(var::MAP_END), u32::from(MAP))?;
    a.jne(some)?;
    parts
        .voice
        .fail(a, "this BIOS tells no memory map (E820)")?;
    a.set_label(&mut some)
}

/// Is there as much memory as the image needs, and is it where the kernel goes?
pub fn require(a: &mut CodeAssembler, parts: Parts, job: &Job) -> Emitted {
    let (mut enough, mut count) = (a.create_label(), a.create_label());
    // EAX = MiB, the last begun one counted: firmware keeps a little for itself.
    a.mov(eax, dword_ptr(var::MEMORY))?;
    a.mov(edx, dword_ptr(var::MEMORY + 4))?;
    a.add(eax, MIB_MASK)?;
    a.adc(edx, 0)?;
    a.shrd(eax, edx, MIB_SHIFT)?;
    a.shr(edx, MIB_SHIFT)?;
    a.jnz(enough)?;
    a.cmp(eax, job.memory_mib)?;
    a.jae(enough)?;
    a.push(eax)?;
    parts.voice.begin(a)?;
    parts.voice.say(a, "needs ")?;
    say_constant(a, parts, job.memory_mib)?;
    parts.voice.say(a, " MiB of memory, this machine has ")?;
    a.pop(eax)?;
    a.call(parts.number)?;
    parts.voice.say(a, " MiB")?;
    parts.voice.end(a)?;
    a.set_label(&mut enough)?;

    // ESI climbs from range to usable range until it is past the kernel.
    let (mut climb, mut next, mut hole) = (a.create_label(), a.create_label(), a.create_label());
    let mut free = a.create_label();
    a.mov(esi, LOAD_ADDRESS)?;
    a.set_label(&mut climb)?;
    a.mov(bp, u32::from(MAP))?;
    a.set_label(&mut count)?;
    a.cmp(bp, word_ptr(var::MAP_END))?;
    a.je(hole)?;
    a.cmp(dword_ptr(bp + 8), 0)?;
    a.je(next)?;
    a.cmp(dword_ptr(bp), esi)?;
    a.ja(next)?;
    a.cmp(dword_ptr(bp + 4), esi)?;
    a.jbe(next)?;
    a.mov(esi, dword_ptr(bp + 4))?;
    a.cmp(esi, job.floor)?;
    a.jae(free)?;
    a.jmp(climb)?;
    a.set_label(&mut next)?;
    a.add(bp, u32::from(MAP_ENTRY))?;
    a.jmp(count)?;
    a.set_label(&mut hole)?;
    a.push(esi)?;
    parts.voice.begin(a)?;
    parts.voice.say(a, "no memory for the kernel at address ")?;
    a.pop(eax)?;
    a.xor(edx, edx)?;
    a.call(parts.number)?;
    parts.voice.end(a)?;
    a.set_label(&mut free)
}

/// Finds the highest place for the initrd and puts it into [`var::INITRD`].
///
/// In each usable range it is pushed against the top; what reserved range it
/// then touches (BIOSes do tell overlapping ones) pushes it further down.
pub fn place_initrd(a: &mut CodeAssembler, parts: Parts, job: &Job) -> Emitted {
    let (mut range, mut next, mut push) = (a.create_label(), a.create_label(), a.create_label());
    let (mut other, mut clear, mut end) = (a.create_label(), a.create_label(), a.create_label());
    let mut found = a.create_label();
    // EAX = best so far, EBX = top, EDX = bottom, BP = range, DI = the others
    a.xor(eax, eax)?;
    a.mov(bp, u32::from(MAP))?;
    a.set_label(&mut range)?;
    a.cmp(bp, word_ptr(var::MAP_END))?;
    a.je(end)?;
    a.cmp(dword_ptr(bp + 8), 0)?;
    a.je(next)?;
    a.mov(ebx, dword_ptr(bp + 4))?;
    a.cmp(ebx, job.ceiling)?;
    a.jbe(push)?;
    a.mov(ebx, job.ceiling)?;
    a.set_label(&mut push)?;
    a.mov(edx, ebx)?;
    a.sub(edx, job.initrd_room)?;
    a.jc(next)?;
    a.cmp(edx, job.floor)?;
    a.jb(next)?;
    a.cmp(edx, dword_ptr(bp))?;
    a.jb(next)?;
    a.mov(di, u32::from(MAP))?;
    a.set_label(&mut other)?;
    a.cmp(dword_ptr(di + 8), 0)?;
    a.jne(clear)?;
    a.cmp(dword_ptr(di), ebx)?;
    a.jae(clear)?;
    a.cmp(dword_ptr(di + 4), edx)?;
    a.jbe(clear)?;
    a.mov(ebx, dword_ptr(di))?;
    a.jmp(push)?;
    a.set_label(&mut clear)?;
    a.add(di, u32::from(MAP_ENTRY))?;
    a.cmp(di, word_ptr(var::MAP_END))?;
    a.jne(other)?;
    a.cmp(edx, eax)?;
    a.jbe(next)?;
    a.mov(eax, edx)?;
    a.set_label(&mut next)?;
    a.add(bp, u32::from(MAP_ENTRY))?;
    a.jmp(range)?;

    a.set_label(&mut end)?;
    a.mov(dword_ptr(var::INITRD), eax)?;
    a.test(eax, eax)?;
    a.jnz(found)?;
    parts.voice.begin(a)?;
    parts.voice.say(a, "no room in memory for an initrd of ")?;
    say_constant(a, parts, job.initrd_len)?;
    parts.voice.say(a, " bytes")?;
    parts.voice.end(a)?;
    a.set_label(&mut found)
}

fn say_constant(a: &mut CodeAssembler, parts: Parts, number: u32) -> Emitted {
    a.mov(eax, number)?;
    a.xor(edx, edx)?;
    a.call(parts.number)
}
