//! Link arguments of the guest's program; the library needs none.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_GUEST").is_none() {
        return;
    }
    for arg in [
        // `_start` is our own, and there is no libc to link
        "-nostartfiles",
        "-nostdlib",
        // at a fixed address without an interpreter: nothing would relocate it
        "-static",
        "-no-pie",
        // no segment that something would have to make read-only later
        "-Wl,-z,norelro",
        "-Wl,-z,noexecstack",
        "-Wl,-z,separate-code",
        "-Wl,-z,max-page-size=4096",
        "-Wl,--build-id=none",
        // nothing unwinds
        "-Wl,--no-eh-frame-hdr",
    ] {
        println!("cargo::rustc-link-arg-bin=init={arg}");
    }
}
