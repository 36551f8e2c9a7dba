//! PID 1, compiled from its sources in the checkout.

use std::path::PathBuf;
use std::process::Command;

/// Compiles it with these features of its crate, and gives its file.
pub fn build(features: &str) -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("init");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--package", "ampoule-init"])
        .args(["--bin", "init", "--profile", "init", "--features", features])
        .args(["--target", "x86_64-unknown-linux-gnu", "--target-dir"])
        // a folder for each: tests run at the same time
        .arg(target.join(features))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUSTFLAGS")
        .status()
        .expect("cargo starts");
    assert!(built.success(), "PID 1 does not compile");
    target
        .join(features)
        .join("x86_64-unknown-linux-gnu/init/init")
}
