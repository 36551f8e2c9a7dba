//! A bzImage: its setup header, and the ELF file unpacked out of it.
#![no_main]

use ampoule::boot::{bzimage::SetupHeader, elf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|image: &[u8]| {
    let _ = SetupHeader::parse(image);
    let _ = elf::unpack_kernel(image);
});
