//! Link arguments of the guest's program; the library needs none.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=link.ld");
    if env::var_os("CARGO_FEATURE_GUEST").is_none() {
        return;
    }
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    for arg in [
        // `_start` is our own, and there is no libc to link
        "-nostartfiles",
        "-nostdlib",
        // at a fixed address without an interpreter: nothing would relocate it
        "-static",
        "-no-pie",
        // a segment that something would have to make read-only later
        "-Wl,-z,norelro",
        "-Wl,-z,noexecstack",
        "-Wl,-z,max-page-size=4096",
        "-Wl,--build-id=none",
        "-Wl,--no-eh-frame-hdr",
    ] {
        println!("cargo::rustc-link-arg-bin=init={arg}");
    }
    println!("cargo::rustc-link-arg-bin=init=-Wl,-T,{here}/link.ld");
}
