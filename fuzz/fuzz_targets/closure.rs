//! A dynamic program, its interpreter and its libraries: the same file as each of them.
#![no_main]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::LazyLock;

use ampoule::closure::{HostRoot, Program, closure};
use libfuzzer_sys::fuzz_target;

/// A root in which every path that a program may ask for leads to one file.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = std::env::temp_dir().join(format!("ampoule-fuzz-closure-{}", std::process::id()));
    for (dir, names) in [
        ("lib64", &["ld-linux-x86-64.so.2"][..]),
        ("lib", &["ld-musl-x86_64.so.1", "libc.so.6", "libssl.so.3"]),
    ] {
        fs::create_dir_all(root.join(dir)).expect("a folder can be made");
        for name in names {
            let _ = symlink("/file", root.join(dir).join(name));
        }
    }
    root
});

fuzz_target!(|file: &[u8]| {
    let host = ROOT.join("file");
    fs::write(&host, file).expect("and written to");
    let root = HostRoot::open(&ROOT).expect("and opened");
    let program = Program {
        host: &host,
        guest: "/app/app",
        inside: Some("/file"),
        library_path: Some("$ORIGIN/lib:/lib"),
    };
    let _ = closure(&root, &program);
});
