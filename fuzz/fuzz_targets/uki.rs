//! A unified kernel image: its sections, and its own digests.
#![no_main]

use std::io::Cursor;

use ampoule::boot::uki;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let _ = uki::parse(Cursor::new(file));
    let _ = uki::verify(Cursor::new(file));
});
