//! Everything that is told of an app before an image is made of it: what it is, what
//! it needs, what its kernel lacks, what is added to it, and the verdict. `build` and
//! `analyze` look at the same.

use std::path::Path;

use crate::app::{self, Analysis, Damage};
use crate::fit::{self, Config, Finding};
use crate::payload::{self, Addition, Brought};

use super::verdict::{self, Leave, Verdict};

/// An app looked at.
#[derive(Debug, Clone)]
pub(super) struct Examined {
    /// What it is and does.
    pub(super) analysis: Analysis,
    /// What its kernel lacks, the gravest first.
    pub(super) fit: Vec<Finding>,
    /// What is added to it.
    pub(super) payload: Vec<Addition>,
    /// Whether an image is made of it.
    pub(super) verdict: Verdict,
}

/// Looks at the app of these bytes and this name, for a kernel of `config`.
///
/// # Errors
/// [`Damage`] when it is an ELF file that Linux could not load.
pub(super) fn examine(
    bytes: &[u8],
    file_name: &str,
    config: &Config,
    leave: &Leave,
    brought: &dyn Brought,
) -> Result<Examined, Damage> {
    let analysis = app::analyse(bytes)?;
    let fit = match analysis.shape.arch() {
        Some(arch) => fit::judge(config, arch, &analysis.calls.found, &analysis.needs),
        None => Vec::new(),
    };
    let payload = payload::plan(&analysis.needs, brought);
    let there = |path: &str| brought.file(path);
    let verdict = verdict::judge(&analysis, file_name, &fit, leave, &there);
    Ok(Examined {
        analysis,
        fit,
        payload,
        verdict,
    })
}

/// The file's own name, for messages and for a shell's.
pub(super) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
