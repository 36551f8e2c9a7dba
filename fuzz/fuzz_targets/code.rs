//! The text of a program, in an ELF file that is sound, so that each input reaches the decoder. The first byte chooses
//! the architecture.
#![no_main]

use ampoule::app::binary::Binary;
use ampoule::app::code;
use libfuzzer_sys::fuzz_target;

/// Where the text goes.
const ADDRESS: u64 = 0x40_0000;
/// Length of the ELF header and of one program header (gABI 5, ELF Header and Program Header).
const HEADER: u16 = 64;
const PROGRAM_HEADER: u16 = 56;

fuzz_target!(|input: &[u8]| {
    let Some((choice, text)) = input.split_first() else {
        return;
    };
    // EM_X86_64, EM_AARCH64
    let machine = if choice % 2 == 0 { 62 } else { 183 };
    let file = program(machine, text);
    let binary = Binary::parse(&file).expect("the file is sound");
    let _ = code::calls(&binary);
});

/// A static program of one segment, which is `text` and can be executed.
fn program(machine: u16, text: &[u8]) -> Vec<u8> {
    let start = u64::from(HEADER + PROGRAM_HEADER);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(2u16.to_le_bytes()); // ET_EXEC
    file.extend(machine.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    for word in [ADDRESS + start, u64::from(HEADER), 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [HEADER, PROGRAM_HEADER, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes()); // PT_LOAD
    file.extend(5u32.to_le_bytes()); // PF_R, PF_X
    let length = start + text.len() as u64;
    for word in [0, ADDRESS, ADDRESS, length, length, 4096] {
        file.extend(word.to_le_bytes());
    }
    file.extend(text);
    file
}
