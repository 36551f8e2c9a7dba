//! The little that both stages share of the assembler.

use std::ops::Range;

use iced_x86::code_asm::registers::segment::*;
use iced_x86::code_asm::{CodeAssembler, CodeLabel, dword_ptr};
use iced_x86::{BlockEncoderOptions, Code, IcedError};

/// What an emitting function returns.
pub type Emitted = Result<(), IcedError>;

/// Assembled code, and which of its bytes are text.
#[derive(Debug)]
pub struct Program {
    /// The machine code.
    pub bytes: Vec<u8>,
    /// Ranges of `bytes` that are data; a disassembly needs them.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the goldens"))]
    pub data: Vec<Range<usize>>,
}

/// Assembles 16-bit code that runs at `origin`.
pub fn assemble(
    origin: u16,
    emit: impl FnOnce(&mut CodeAssembler) -> Emitted,
) -> Result<Program, IcedError> {
    let mut a = CodeAssembler::new(16)?;
    emit(&mut a)?;
    let done = a.assemble_options(
        u64::from(origin),
        BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS,
    )?;
    let offsets = &done.inner.new_instruction_offsets;
    let data = (a.instructions().iter().zip(offsets))
        .filter(|(instruction, _)| instruction.code() == Code::DeclareByte)
        .filter_map(|(instruction, at)| {
            let at = usize::try_from(*at).ok()?;
            Some(at..at + instruction.declare_data_len())
        })
        .collect();
    Ok(Program {
        bytes: done.inner.code_buffer,
        data,
    })
}

/// Puts a label here.
pub fn here(a: &mut CodeAssembler, label: CodeLabel) -> Emitted {
    // a copy is enough: branches know a label by its number
    a.set_label(&mut { label })
}

/// Writes a 64-bit constant to memory.
pub fn set_dwords(a: &mut CodeAssembler, at: u16, value: u64) -> Emitted {
    let (high, low) = halves(value);
    a.mov(dword_ptr(at), low)?;
    a.mov(dword_ptr(at + 4), high)
}

/// The high and the low half of a 64-bit number.
fn halves(value: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    )
}

/// Calls the BIOS. Kept are memory, DS, ES and the stack; the direction flag is
/// clear after it, carry and the other registers are as the BIOS leaves them.
pub fn bios(a: &mut CodeAssembler, interrupt: i32) -> Emitted {
    a.push(ds)?;
    a.push(es)?;
    a.int(interrupt)?;
    a.pop(es)?;
    a.pop(ds)?;
    a.cld()
}
