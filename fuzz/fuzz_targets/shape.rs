//! What a file is, and the verdict on it.
#![no_main]

use ampoule::app::{self, Allow};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    if let Ok(shape) = app::inspect(file) {
        let _ = app::admit(&shape, "app", &Allow::default());
    }
});
