//! A container image with one layer, whose digests are right whatever is in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "layout/mod.rs"]
mod layout;

fuzz_target!(|layer: &[u8]| {
    let layout = layout::Layout::new("layer");
    let digest = layout.blob(layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"User":"web"}},"rootfs":{{"diff_ids":["{digest}"]}}}}"#
    );
    let manifest = format!(
        r#"{{"config":{},"layers":[{}]}}"#,
        layout::descriptor("", &layout.blob(config.as_bytes()), config.len()),
        layout::descriptor(layout::TAR, &digest, layer.len()),
    );
    layout.index(&manifest);
    layout.open();
});
