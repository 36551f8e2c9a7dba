//! A disk image, as `inspect`, `run` and `test` read it back.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|image: &[u8]| {
    let _ = ampoule::disk::read(&mut Cursor::new(image));
});
