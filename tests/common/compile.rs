//! Compiles a program to be run in a guest, or under a filter: static, out of the standard
//! library alone.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `source`, a path in this repository, to a file called `name`.
pub fn compile(source: &str, name: &str) -> PathBuf {
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // the compiler that compiled us: cargo tells it to build scripts alone
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiled = Command::new(rustc)
        .args(["--edition", "2024", "-O", "-C", "strip=symbols"])
        .args(["-C", "target-feature=+crt-static"])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(source))
        .arg("-o")
        .arg(&out)
        .status()
        .expect("rustc starts");
    assert!(
        compiled.success(),
        "{source} does not compile; a static program needs libc6-dev"
    );
    out
}
