//! The kernel: unpacked, configured, checked and compiled, so that the bytes depend
//! on source, options and tools, and on nothing else.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::config::{self, Asked};
use super::elf;
use super::error::{KitError, OnPath};
use super::lock::{Package, Tools};
use super::manifest::{CONFIG, KERNEL, KERNEL_FILES, SEGMENTS, digest_of, verify_file};
use super::process::{run, tool};
use super::source;
use super::{Event, Watch};
use crate::digest::Digest;
use crate::units::Arch;

/// The record that lies beside a compiled kernel.
const RECORD: &str = "kernel.toml";
/// Lines that `make` prints, where the lock does not know better.
const USUAL_STEPS: u64 = 2208;
/// Parts of the source that no option of ours reaches: a third of its bytes.
const LEFT_PACKED: [&str; 2] = ["*/drivers/gpu/drm/amd/include", "*/tools/testing"];

/// What the bytes of a kernel depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inputs<'a> {
    pub arch: Arch,
    pub package: &'a Package,
    pub asked: &'a [Asked],
    pub tools: &'a Tools,
}

impl Inputs<'_> {
    /// The options that are asked for.
    pub(super) fn asked_digest(&self) -> Digest {
        Digest::of(config::merged(self.asked).as_bytes())
    }

    /// Names the kernel that comes out.
    pub(super) fn digest(&self) -> Digest {
        let tools = self.tools;
        let text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}\n",
            self.arch,
            self.package.sha256,
            self.asked_digest(),
            tools.gcc,
            tools.ld,
            tools.zstd
        );
        Digest::of(text.as_bytes())
    }
}

/// What is known of a compiled kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// `uname -r`.
    pub version: String,
    /// Lines that `make` printed.
    pub steps: u64,
    pub bzimage: Digest,
    pub config: Digest,
    pub segments: Digest,
}

impl Record {
    /// The digests, in the order of [`KERNEL_FILES`].
    pub(super) fn digests(&self) -> [Digest; 3] {
        [self.bzimage, self.config, self.segments]
    }
}

/// The kernel compiled earlier into `folder`, if it is there and sound.
pub(super) fn cached(folder: &Path) -> Option<Record> {
    let text = fs::read_to_string(folder.join(RECORD)).ok()?;
    let record: Record = toml::from_str(&text).ok()?;
    let sound = KERNEL_FILES
        .iter()
        .zip(record.digests())
        .all(|(name, digest)| verify_file(&folder.join(name), digest).is_ok());
    sound.then_some(record)
}

/// Compiles the kernel out of `deb` and leaves it in `out`. `work` takes the source
/// and two gigabytes more.
pub(super) fn compile(
    inputs: &Inputs<'_>,
    deb: &Path,
    work: &Path,
    out: &Path,
    expected_steps: Option<u64>,
    watch: &dyn Watch,
) -> Result<Record, KitError> {
    watch.event(&Event::Unpacking);
    let (tree, epoch) = unpack(deb, work, watch)?;
    let make = Make {
        tree: &tree,
        timestamp: utc(epoch),
    };
    watch.event(&Event::Configuring);
    let options = work.join("asked.config");
    fs::write(&options, config::merged(inputs.asked)).on("write", &options)?;
    let all = format!("KCONFIG_ALLCONFIG={}", options.display());
    run(
        &mut make.command(&["allnoconfig", &all]),
        "make allnoconfig",
        watch,
        |_| {},
    )?;
    let final_config = tree.join(".config");
    let text = fs::read_to_string(&final_config).on("read", &final_config)?;
    config::check(inputs.asked, &text)?;
    let steps = make.everything(expected_steps.unwrap_or(USUAL_STEPS), watch)?;
    collect(&tree, out, steps)
}

/// Unpacks package and source; gives the source's folder and the package's date.
fn unpack(deb: &Path, work: &Path, watch: &dyn Watch) -> Result<(PathBuf, i64), KitError> {
    let package = work.join("package");
    source::unpack(deb, &package, watch)?;
    let sources = package.join("usr/src");
    let archive = fs::read_dir(&sources)
        .on("list", &sources)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with(".tar.xz"))
        .ok_or_else(|| KitError::NoPackage("with a linux-source-*.tar.xz inside".into()))?;
    let epoch = fs::metadata(&archive).on("read", &archive)?.mtime();
    let tree = work.join("linux");
    fs::create_dir(&tree).on("create", &tree)?;
    let mut tar = tool("tar");
    tar.arg("-xJf")
        .arg(&archive)
        .arg("-C")
        .arg(&tree)
        .arg("--strip-components=1");
    tar.args(LEFT_PACKED.map(|path| format!("--exclude={path}")));
    run(&mut tar, "unpacking the kernel's source", watch, |_| {})?;
    fs::remove_dir_all(&package).on("remove", &package)?;
    Ok((tree, epoch))
}

struct Make<'a> {
    tree: &'a Path,
    timestamp: String,
}

impl Make<'_> {
    /// `make` in the source, so that no path gets into the bytes; who, where and when
    /// are fixed, and so is the umask.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tool("sh");
        command
            .args(["-c", "umask 022; exec make \"$@\"", "make"])
            .arg("-C")
            .arg(self.tree)
            // Kconfig asks these for their versions; what it hears must not matter
            .args(["RUSTC=false", "BINDGEN=false", "PAHOLE=false"])
            .args(arguments)
            .env("KBUILD_BUILD_TIMESTAMP", &self.timestamp)
            .env("KBUILD_BUILD_USER", "ampoule")
            .env("KBUILD_BUILD_HOST", "ampoule")
            .env("KBUILD_BUILD_VERSION", "1")
            .env_remove("HOME");
        command
    }

    /// Compiles everything; counts lines against `expected`.
    fn everything(&self, expected: u64, watch: &dyn Watch) -> Result<u64, KitError> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut done = 0;
        let mut command = self.command(&[&format!("-j{jobs}"), "bzImage"]);
        run(&mut command, "compiling the kernel", watch, |line| {
            if is_step(line) {
                done += 1;
                watch.event(&Event::Compiling {
                    done,
                    expected: expected.max(done),
                });
            }
        })?;
        Ok(done)
    }
}

/// Whether `make` says that it made something: `  CC      kernel/fork.o`.
fn is_step(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("  ") else {
        return false;
    };
    let word = rest.split(' ').next().unwrap_or_default();
    !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

fn collect(tree: &Path, out: &Path, steps: u64) -> Result<Record, KitError> {
    let copy = |from: PathBuf, name: &str| fs::copy(&from, out.join(name)).on("copy", from);
    copy(tree.join("arch/x86/boot/bzImage"), KERNEL)?;
    copy(tree.join(".config"), CONFIG)?;
    let vmlinux = tree.join("vmlinux");
    let segments = elf::load_segments(&fs::read(&vmlinux).on("read", &vmlinux)?)?;
    let path = out.join(SEGMENTS);
    fs::write(&path, segments).on("write", &path)?;
    let release = tree.join("include/config/kernel.release");
    let record = Record {
        version: fs::read_to_string(&release)
            .on("read", &release)?
            .trim()
            .to_owned(),
        steps,
        bzimage: digest_of(&out.join(KERNEL))?,
        config: digest_of(&out.join(CONFIG))?,
        segments: digest_of(&out.join(SEGMENTS))?,
    };
    let text = toml::to_string(&record).map_err(|error| KitError::Manifest {
        path: RECORD.into(),
        reason: error.to_string(),
    })?;
    let path = out.join(RECORD);
    fs::write(&path, text).on("write", &path)?;
    Ok(record)
}

/// Seconds since 1970 as `date` reads them, in UTC: the civil calendar from days
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn utc(epoch: i64) -> String {
    let (days, seconds) = (epoch.div_euclid(86_400), epoch.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_767_225_599), "2025-12-31 23:59:59 UTC");
    }

    #[test]
    fn steps_are_told_from_other_lines() {
        assert!(is_step("  CC      kernel/fork.o"));
        assert!(is_step("  AR      built-in.a"));
        for line in [
            "make[1]: Entering",
            "  ",
            "",
            "  warning: x",
            "kernel/fork.c:1: warning",
        ] {
            assert!(!is_step(line), "{line}");
        }
    }

    #[test]
    fn every_input_counts() {
        let package = |digest: &[u8]| Package {
            package: "l".into(),
            version: "1".into(),
            sha256: Digest::of(digest),
        };
        let tools = |gcc: &str| Tools {
            gcc: gcc.into(),
            ld: "2".into(),
            zstd: "3".into(),
        };
        let option = [Asked {
            name: "CONFIG_A".into(),
            value: "y".into(),
        }];
        let (a, b) = (package(b"a"), package(b"b"));
        let (old, new) = (tools("gcc 12"), tools("gcc 14"));
        let digest = |package, asked, tools| {
            Inputs {
                arch: Arch::X86_64,
                package,
                asked,
                tools,
            }
            .digest()
        };
        let base = digest(&a, &[], &old);
        assert_ne!(base, digest(&b, &[], &old));
        assert_ne!(base, digest(&a, &option, &old));
        assert_ne!(base, digest(&a, &[], &new));
        assert_eq!(base, digest(&a, &[], &old));
    }
}
