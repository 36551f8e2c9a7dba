//! Everything that is told of an app before an image is made of it: what it is, what
//! it needs, what its kernel lacks, what is added to it, and the verdict. `build` and
//! `analyze` look at the same.

use crate::app::{self, Analysis, Damage};
use crate::fit::{self, Config, Finding};
use crate::payload::{self, Addition, Brought as _};
use crate::spec::Appliance;
use crate::spec::files::Entry;

use super::build::allow;
use super::guest::Owner;
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

/// Looks at the app of `appliance`, which has these bytes, for a kernel of `config` and
/// beside `files` of its owner.
///
/// # Errors
/// [`Damage`] when it is an ELF file that Linux could not load.
pub(super) fn examine(
    bytes: &[u8],
    appliance: &Appliance,
    files: &[Entry],
    config: &Config,
) -> Result<Examined, Damage> {
    let file_name = appliance.app_name();
    let mut analysis = app::analyse(bytes)?;
    analysis.shape.named(&file_name);
    let fit = match analysis.shape.arch() {
        Some(arch) if analysis.shape.is_program() => {
            fit::judge(config, arch, &analysis.calls.found, &analysis.needs)
        }
        _ => Vec::new(),
    };
    let owner = Owner { appliance, files };
    let leave = Leave {
        allow: allow(appliance),
        accept: &appliance.accept,
    };
    let payload = match analysis.shape.is_program() {
        true => payload::plan(&analysis.needs, &owner),
        false => Vec::new(),
    };
    let there = |path: &str| owner.file(path);
    let verdict = verdict::judge(&analysis, &file_name, &fit, &leave, &there);
    Ok(Examined {
        analysis,
        fit,
        payload,
        verdict,
    })
}
