//! The documents of a container image: an index, or a manifest and a configuration
//! with a NUL between them.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "layout/mod.rs"]
mod layout;

fuzz_target!(|documents: &[u8]| {
    let layout = layout::Layout::new("layout");
    let end = documents.iter().position(|octet| *octet == 0);
    match end {
        None => layout.write("index.json", documents),
        Some(end) => {
            let config = &documents[end + 1..];
            let descriptor = layout::descriptor("", &layout.blob(config), config.len());
            let manifest = String::from_utf8_lossy(&documents[..end]);
            layout.index(&manifest.replace("CONFIG", &descriptor));
        }
    }
    layout.open();
});
