//! Puts the kernel configuration and init's sources into the command, so that
//! `ampoule kit build` works from anywhere.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut table = String::new();
    embed(
        &mut table,
        "FRAGMENTS",
        &root.join("kernel-config"),
        |name| name.ends_with(".config"),
    )?;
    // what tests and documents init is no part of what the guest runs
    embed(&mut table, "INIT", &root.join("init"), |name| {
        let kept = [".rs", ".toml", ".ld", ".s"];
        let left_out = ["tests/", "benches/", "examples/", "target/"];
        kept.iter().any(|end| name.ends_with(end)) && !left_out.iter().any(|d| name.starts_with(d))
    })?;
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("carried.rs"), table)
}

/// Writes one table of (name, contents), ordered by name.
fn embed(
    table: &mut String,
    constant: &str,
    folder: &Path,
    wanted: impl Fn(&str) -> bool,
) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    walk(folder, "", &mut names)?;
    names.retain(|name| wanted(name));
    names.sort();
    let _ = writeln!(table, "pub(super) static {constant}: &[(&str, &str)] = &[");
    for name in names {
        let path = folder.join(&name);
        let _ = writeln!(table, "    ({name:?}, include_str!({path:?})),");
    }
    table.push_str("];\n");
    Ok(())
}

fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}
