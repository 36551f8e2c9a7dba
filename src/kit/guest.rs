//! Init, compiled from the sources that the command carries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{KitError, OnPath};
use super::process::{output, run};
use super::{Event, Watch, carried, elf, host};
use crate::units::Arch;

/// The name that takes the place of every folder in init's bytes.
const NOWHERE: &str = "/ampoule";

/// The compiler, in its own words.
pub(super) fn rustc() -> Result<String, KitError> {
    let mut command = rust(&compiler(&host::cargo()?));
    let text = output(command.arg("--version"), "rustc --version")?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// Compiles init in `work` and leaves it at `out`, checked.
pub(super) fn build(
    arch: Arch,
    work: &Path,
    out: &Path,
    watch: &dyn Watch,
) -> Result<(), KitError> {
    watch.event(&Event::BuildingInit);
    let work = fs::canonicalize(work).on("find", work)?;
    write_workspace(&work)?;
    let triple = format!("{}-unknown-linux-gnu", arch.name());
    let program = host::cargo()?;
    let mut cargo = rust(&program);
    cargo
        .env("RUSTC", compiler(&program))
        .current_dir(&work)
        .args([
            "build",
            "--offline",
            "--quiet",
            "-p",
            "ampoule-init",
            "--bin",
            "init",
        ])
        .args([
            "--profile",
            "init",
            "--features",
            "guest",
            "--target",
            &triple,
        ])
        .env("CARGO_TARGET_DIR", work.join("target"))
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&work).join("\x1f"));
    run(&mut cargo, "compiling init", watch, |_| {})?;
    let built: PathBuf = work.join("target").join(triple).join("init/init");
    elf::check_init(&fs::read(&built).on("read", &built)?)?;
    fs::copy(&built, out).on("copy", built)?;
    Ok(())
}

/// The rustc that lies beside a cargo, or the first on the PATH.
fn compiler(cargo: &Path) -> PathBuf {
    let beside = cargo.with_file_name("rustc");
    if beside.is_file() {
        beside
    } else {
        "rustc".into()
    }
}

/// A Rust tool with the caller's environment, of which it needs much, less what
/// would change the bytes.
fn rust(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(std::process::Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_cargo = text.starts_with("CARGO") && text != "CARGO_HOME";
        if of_cargo || text.starts_with("RUSTFLAGS") || text.starts_with("RUSTC") {
            command.env_remove(&name);
        }
    }
    command.env("LC_ALL", "C");
    command
}

fn flags(work: &Path) -> Vec<String> {
    vec![
        format!("--remap-path-prefix={}={NOWHERE}", work.display()),
        // one address, nothing to relocate
        "-Crelocation-model=static".into(),
    ]
}

/// The carried sources as a workspace of one member, with the profiles of ours.
fn write_workspace(work: &Path) -> Result<(), KitError> {
    put(&work.join("Cargo.toml"), &workspace(carried::WORKSPACE)?)?;
    for (name, text) in carried::INIT {
        put(&work.join("init").join(name), text)?;
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<(), KitError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).on("create", parent)?;
    }
    fs::write(path, text).on("write", path)
}

/// Leaves of the workspace's manifest what init needs.
fn workspace(manifest: &str) -> Result<String, KitError> {
    let mut document: toml_edit::DocumentMut =
        manifest
            .parse()
            .map_err(|error: toml_edit::TomlError| KitError::Lock {
                path: "Cargo.toml".into(),
                reason: error.message().to_owned(),
            })?;
    document.retain(|key, _| matches!(key, "workspace" | "profile"));
    document["workspace"]["members"] = toml_edit::value(toml_edit::Array::from_iter(["init"]));
    if let Some(profiles) = document["profile"].as_table_mut() {
        profiles.retain(|name, _| name == "init");
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_keeps_inits_profile_and_nothing_of_the_command() {
        let text = workspace(carried::WORKSPACE).unwrap();
        let parsed: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(parsed["workspace"]["members"].as_array().unwrap().len(), 1);
        assert_eq!(parsed["profile"]["init"]["panic"].as_str(), Some("abort"));
        assert!(!parsed.contains_key("dependencies"));
        assert!(!parsed.contains_key("package"));
    }
}
