//! A whole file, as `ampoule analyze` and `ampoule build` get it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let _ = ampoule::app::analyse(file);
});
