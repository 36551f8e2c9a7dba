//! Whether a kernel can run the app: the system calls that it makes and the features
//! that it needs, held against the options that the kernel was built with. Pure.
//!
//! [`table`] says which option stands behind what, and what becomes of a program
//! that does without.

mod table;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::need::{Confidence, Evidence, Need, NeedKind};
use crate::sysno;
use crate::units::Arch;
use table::{CALLS, FEATURES, PATHS};

/// Places that are kept of one finding: the rest says the same.
const EVIDENCE_MAX: usize = 8;

/// What becomes of a program that the kernel does not give this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Programs try it, and go another way where it is missing.
    Note,
    /// Some of it will not work.
    Warning,
    /// It cannot do what it is for.
    Error,
}

/// The options that a kernel was built with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    set: BTreeSet<String>,
}

impl Config {
    /// Reads a kernel's `.config`, or what `make allnoconfig` is given to make one.
    /// An option that is not in it is off, as Kconfig has it.
    #[must_use]
    pub fn parse(text: &str) -> Config {
        let options = text.lines().filter_map(|line| {
            let (name, value) = line.trim().strip_prefix("CONFIG_")?.split_once('=')?;
            (value != "n").then(|| name.to_owned())
        });
        Config {
            set: options.collect(),
        }
    }

    /// Whether the option, named without `CONFIG_`, is on.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.set.contains(option)
    }
}

/// An option that the kernel was built without and the app may miss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The option, with `CONFIG_`.
    pub option: String,
    /// What that means for the app.
    pub level: Level,
    /// What is missing, for people: "reading and writing the memory of other processes".
    pub what: String,
    /// What of the app asks for it: system calls, paths, features.
    pub wanted: Vec<String>,
    /// Where in the app that stands.
    pub evidence: Vec<Evidence>,
}

/// Every option that `config` lacks and an app with these `calls` and `needs` may
/// miss, the gravest first.
#[must_use]
pub fn judge(
    config: &Config,
    arch: Arch,
    calls: &BTreeMap<u32, Evidence>,
    needs: &[Need],
) -> Vec<Finding> {
    let mut found = Findings::default();
    for (number, evidence) in calls {
        let Some(name) = sysno::name(arch, *number) else {
            continue;
        };
        let behind = CALLS.iter().filter(|row| row.calls.contains(&name));
        for row in behind.filter(|row| !config.has(row.option)) {
            let evidence = std::slice::from_ref(evidence);
            found.add(row.option, row.missing, row.what, name, evidence);
        }
    }
    for need in needs {
        let (path, option) = match &need.kind {
            NeedKind::Device(path) | NeedKind::Proc(path) | NeedKind::Sys(path) => {
                (path.as_str(), "")
            }
            NeedKind::Kernel(option) => ("", option.trim_start_matches("CONFIG_")),
            _ => continue,
        };
        for row in PATHS.iter().filter(|row| is_under(path, row.path)) {
            if !config.has(row.option) {
                let level = row.missing.min(most(need.confidence));
                found.add(row.option, level, row.what, path, &need.evidence);
            }
        }
        if !option.is_empty() && !config.has(option) {
            let (missing, what) = known(option);
            let level = missing.min(most(need.confidence));
            found.add(option, level, what, what, &need.evidence);
        }
    }
    found.sorted()
}

/// What becomes of an app without this feature, and what it is.
fn known(option: &str) -> (Level, &'static str) {
    let feature = FEATURES.iter().find(|row| row.option == option);
    let feature = feature.map(|row| (row.missing, row.what));
    let call = || {
        let row = CALLS.iter().find(|row| row.option == option)?;
        Some((row.missing, row.what))
    };
    let unknown = (Level::Error, "a feature that this table does not know");
    feature.or_else(call).unwrap_or(unknown)
}

/// Every option that is known here, without `CONFIG_`, each once.
#[must_use]
pub fn options() -> BTreeSet<&'static str> {
    let calls = CALLS.iter().map(|row| row.option);
    let paths = PATHS.iter().map(|row| row.option);
    let features = FEATURES.iter().map(|row| row.option);
    calls.chain(paths).chain(features).collect()
}

/// The gravest that follows from evidence of this kind.
fn most(confidence: Confidence) -> Level {
    match confidence {
        Confidence::Certain => Level::Error,
        Confidence::Likely => Level::Warning,
        Confidence::Possible => Level::Note,
    }
}

/// Whether `path` is `root`, or lies under it, or is a numbered one of it (`/dev/kvm`,
/// `/dev/net/tun`, `/dev/video0`).
fn is_under(path: &str, root: &str) -> bool {
    let Some(rest) = path.strip_prefix(root) else {
        return false;
    };
    rest.is_empty() || rest.starts_with('/') || rest.bytes().all(|byte| byte.is_ascii_digit())
}

/// Findings by option, each once.
#[derive(Default)]
struct Findings(BTreeMap<String, Finding>);

impl Findings {
    fn add(&mut self, option: &str, level: Level, what: &str, wanted: &str, places: &[Evidence]) {
        let option = format!("CONFIG_{option}");
        let finding = self.0.entry(option.clone()).or_insert_with(|| Finding {
            option,
            level,
            what: what.to_owned(),
            wanted: Vec::new(),
            evidence: Vec::new(),
        });
        if level > finding.level {
            // told by what is gravest
            finding.level = level;
            what.clone_into(&mut finding.what);
        }
        if !finding.wanted.iter().any(|known| known == wanted) {
            finding.wanted.push(wanted.to_owned());
        }
        let room = EVIDENCE_MAX - finding.evidence.len();
        finding.evidence.extend(places.iter().take(room).cloned());
    }

    fn sorted(self) -> Vec<Finding> {
        let mut all: Vec<Finding> = self.0.into_values().collect();
        all.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        all
    }
}

#[cfg(test)]
mod tests;
