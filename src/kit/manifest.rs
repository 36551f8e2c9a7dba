//! What a kit says of itself: versions, sources, tools, and a digest per file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{KitError, OnPath};
use super::lock::{Package, Tools};
use crate::digest::Digest;
use crate::units::Arch;

/// The manifest's file name in the kit.
pub(super) const MANIFEST: &str = "manifest.toml";
/// The files of a kit: what [`super::Kit`] hands out.
pub(super) const KERNEL: &str = "bzImage";
pub(super) const CONFIG: &str = "kernel.config";
pub(super) const SEGMENTS: &str = "vmlinux.segments";
pub(super) const STUB: &str = "linux.efi.stub";
pub(super) const INIT: &str = "init";
/// All of them.
pub(super) const FILES: [&str; 5] = [KERNEL, CONFIG, SEGMENTS, STUB, INIT];
/// Of which the kernel's build gives these.
pub(super) const KERNEL_FILES: [&str; 3] = [KERNEL, CONFIG, SEGMENTS];

/// The layout of the manifest itself.
const FORMAT: u32 = 1;

/// What a kit is made of. Its text names the kit: [`Kit::digest`](super::Kit::digest).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The layout of this file.
    pub format: u32,
    /// For which processor.
    pub arch: Arch,
    /// The ingredients that the command carried: configuration, pins, init's sources.
    pub carried: Digest,
    /// Sources other than the lock's went in.
    pub unpinned: bool,
    /// The Debian release whose pin was used.
    pub release: String,
    /// `uname -r` of the kernel.
    pub kernel_version: String,
    /// The kernel's source package.
    pub kernel: Package,
    /// The package that the EFI stub came from.
    pub stub: Package,
    /// What the kernel was compiled with.
    pub tools: Tools,
    /// `rustc --version`, which compiled init.
    pub rustc: String,
    /// The options that were asked for.
    pub asked: Digest,
    /// Lines that the kernel's `make` printed.
    pub steps: u64,
    /// The digest of each file.
    pub files: BTreeMap<String, Digest>,
}

impl Manifest {
    /// A manifest of the current layout, without files yet.
    pub(super) const fn format() -> u32 {
        FORMAT
    }

    /// The text that is written.
    pub(super) fn text(&self) -> Result<String, KitError> {
        toml::to_string(self).map_err(|error| KitError::Manifest {
            path: MANIFEST.into(),
            reason: error.to_string(),
        })
    }

    /// Reads a manifest; `path` is for messages.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Manifest, KitError> {
        let wrong = |reason: String| KitError::Manifest {
            path: path.to_owned(),
            reason,
        };
        let manifest: Manifest =
            toml::from_str(text).map_err(|error| wrong(error.message().to_owned()))?;
        if manifest.format != FORMAT {
            return Err(wrong(format!(
                "its format is {}, not {FORMAT}",
                manifest.format
            )));
        }
        if !manifest.files.keys().eq(sorted(&FILES).iter()) {
            return Err(wrong("it does not list exactly a kit's files".into()));
        }
        Ok(manifest)
    }

    /// Holds every file in `folder` against its digest.
    pub(super) fn verify(&self, folder: &Path) -> Result<(), KitError> {
        self.files
            .iter()
            .try_for_each(|(name, expected)| verify_file(&folder.join(name), *expected))
    }
}

/// Holds one file against a digest.
pub(super) fn verify_file(path: &Path, expected: Digest) -> Result<(), KitError> {
    let found = digest_of(path)?;
    if found == expected {
        return Ok(());
    }
    Err(KitError::Damaged {
        path: path.to_owned(),
        expected,
        found,
    })
}

/// The digest of a file's bytes.
pub(super) fn digest_of(path: &Path) -> Result<Digest, KitError> {
    let file = File::open(path).on("open", path)?;
    Digest::of_reader(file).on("read", path)
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort();
    names
}
