//! What of an app cannot work in an image, and whether that refuses it: pure.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::app::{Allow, Analysis, Refusal, admit};
use crate::fit::{Finding, Level};
use crate::need::{Confidence, Evidence, Need, NeedKind};

/// Where a program without a path is looked for: init's PATH.
const PATH: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
/// What an app can write to in every guest.
const WRITABLE: &[&str] = &["/tmp", "/dev", "/proc"];

/// Characters of a piece of evidence in a sentence; all of it is beside the sentence.
const SHOWN: usize = 72;

/// What an app's owner lets in although it is refused otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leave<'a> {
    /// What the file may be.
    pub(super) allow: Allow,
    /// What is taken as it is: programs that are not there, by path or name; options of
    /// the kernel, as `CONFIG_NAME`.
    pub(super) accept: &'a BTreeSet<String>,
}

/// One thing that will not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// What, and the remedy, in one line.
    pub what: String,
    /// The name by which its owner can accept it, where that is possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept: Option<String>,
    /// What in the app says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// The judgement of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why no image is made of it; empty when one is.
    pub reasons: Vec<Remark>,
    /// What its owner should know.
    pub warnings: Vec<Remark>,
    /// Names that the owner accepted, and that would have refused it.
    pub accepted: Vec<String>,
    /// Names that the owner accepted, and that nothing goes by.
    pub idle: Vec<String>,
}

/// Judges the app of this file name. `fit` is what its kernel lacks, `brought` whether
/// a path is in the guest.
pub(super) fn judge(
    analysis: &Analysis,
    file_name: &str,
    fit: &[Finding],
    leave: &Leave<'_>,
    brought: &dyn Fn(&str) -> bool,
) -> Verdict {
    let mut verdict = Verdict::default();
    if let Err(Refusal { reason, .. }) = admit(&analysis.shape, file_name, &leave.allow) {
        verdict.reasons.push(Remark::plain(reason.to_string()));
    }
    let mut judged = Judged {
        admitted: verdict.reasons.is_empty(),
        verdict,
        leave,
        // which of its programs runs, and what that one needs, is decided at run time
        multi_call: analysis.shape.shell().is_some(),
    };
    // what a library or an object file asks for depends on who uses it
    if analysis.shape.is_program() {
        judged.programs(&analysis.needs, brought);
        judged.kernel(fit);
        judged.places(&analysis.needs, brought);
        judged.name_service(analysis);
        judged.reach(analysis);
    }
    let mut verdict = judged.verdict;
    let used: BTreeSet<&String> = verdict.accepted.iter().collect();
    let idle = leave.accept.iter().filter(|name| !used.contains(name));
    verdict.idle = idle.cloned().collect();
    verdict
}

/// A verdict that is being reached.
struct Judged<'a> {
    verdict: Verdict,
    leave: &'a Leave<'a>,
    multi_call: bool,
    admitted: bool,
}

impl Judged<'_> {
    /// Refuses for what is `told`, unless its owner took it as it is.
    fn refuse(&mut self, told: String, name: &str, evidence: &[Evidence]) {
        if self.leave.accept.contains(name) {
            self.verdict.accepted.push(name.to_owned());
        } else if self.multi_call {
            self.warn(told, evidence);
        } else {
            self.verdict.reasons.push(Remark {
                what: format!("{told}; give --accept {name} if it can do without"),
                accept: Some(name.to_owned()),
                evidence: evidence.to_vec(),
            });
        }
    }

    fn warn(&mut self, what: String, evidence: &[Evidence]) {
        self.verdict.warnings.push(Remark {
            what,
            accept: None,
            evidence: evidence.to_vec(),
        });
    }

    /// Programs that it starts and that nothing brings.
    fn programs(&mut self, needs: &[Need], brought: &dyn Fn(&str) -> bool) {
        for need in needs
            .iter()
            .filter(|need| need.confidence >= Confidence::Likely)
        {
            let NeedKind::Program(name) = &need.kind else {
                continue;
            };
            let there = match name.contains('/') {
                true => brought(name),
                false => PATH.iter().any(|dir| brought(&format!("{dir}/{name}"))),
            };
            if there {
                continue;
            }
            let told = format!(
                "starts {name} ({}), and an image has no programs but the app",
                first(&need.evidence)
            );
            self.refuse(told, name, &need.evidence);
        }
    }

    /// Options that the kernel was built without.
    fn kernel(&mut self, fit: &[Finding]) {
        for finding in fit {
            let option = &finding.option;
            let told = format!(
                "needs {option} for {} ({}), and the kernel is built without",
                finding.what,
                first(&finding.evidence)
            );
            match finding.level {
                Level::Error => self.refuse(told, option, &finding.evidence),
                Level::Warning => self.warn(told, &finding.evidence),
                // told on the page, by its option
                Level::Note => {}
            }
        }
    }

    /// Places that it certainly writes to, on a root that is read-only.
    fn places(&mut self, needs: &[Need], brought: &dyn Fn(&str) -> bool) {
        for need in needs {
            let NeedKind::Writable(path) = &need.kind else {
                continue;
            };
            let inside = |root: &str| path == root || path.starts_with(&format!("{root}/"));
            let writable = WRITABLE.iter().any(|root| inside(root));
            if need.confidence < Confidence::Likely || writable || !path.starts_with('/') {
                continue;
            }
            let only = match brought(path) {
                true => "is read-only",
                false => "is not there",
            };
            let told = format!(
                "writes to {path} ({}), which {only}; lead it to /tmp, whose content ends with the machine",
                first(&need.evidence)
            );
            self.warn(told, &need.evidence);
        }
    }

    /// A static glibc that loads a part of itself at run time.
    fn name_service(&mut self, analysis: &Analysis) {
        let wanted = |need: &&Need| {
            need.kind == NeedKind::NameServiceModules && need.confidence >= Confidence::Likely
        };
        let Some(need) = analysis.needs.iter().find(wanted) else {
            return;
        };
        let version = analysis.make.libc.as_ref();
        let version = version.and_then(|libc| libc.version.as_deref());
        let its = match version {
            Some(version) if has_name_service(version) => return,
            Some(version) => format!("its glibc is {version}"),
            None => "its glibc does not tell its version".to_owned(),
        };
        let told = format!(
            "looks up names through glibc ({}), which before 2.34 loads libnss_files and libnss_dns for that, and {its}; \
             if names are not found, link it with a newer glibc or with musl",
            first(&need.evidence)
        );
        self.warn(told, &need.evidence);
    }

    /// Who reaches it, and how far it could be looked into.
    fn reach(&mut self, analysis: &Analysis) {
        let likely = analysis.listens.iter();
        let likely: Vec<_> = likely
            .filter(|listen| listen.confidence >= Confidence::Likely)
            .collect();
        if !likely.is_empty() && likely.iter().all(|listen| listen.loopback) {
            let ports: Vec<String> = likely
                .iter()
                .map(|listen| listen.port.to_string())
                .collect();
            let told = format!(
                "listens on the loopback address alone (port {}), where no other machine reaches it; tell it to listen on 0.0.0.0 or [::]",
                ports.join(", ")
            );
            let evidence: Vec<Evidence> = likely.iter().map(|one| one.evidence.clone()).collect();
            self.warn(told, &evidence);
        }
        let seen = analysis.make.language.is_some();
        if analysis.shape.packed().is_some() && self.admitted && !seen {
            let told = "is packed, and what it needs and calls inside cannot be told; unpack it to have it judged";
            self.warn(told.to_owned(), &[]);
        }
    }
}

impl Remark {
    pub(super) fn plain(what: String) -> Remark {
        Remark {
            what,
            accept: None,
            evidence: Vec::new(),
        }
    }
}

/// Whether a glibc of this version has the sources `files` and `dns` in itself (NEWS of
/// glibc 2.34).
fn has_name_service(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (2, 34),
        _ => false,
    }
}

/// The strongest evidence, for people, cut where it is long.
fn first(evidence: &[Evidence]) -> String {
    let Some(place) = evidence.first() else {
        return "by its needs".to_owned();
    };
    let mut place = place.clone();
    if place.what.chars().count() > SHOWN {
        place.what = place.what.chars().take(SHOWN).collect();
        place.what.push('…');
    }
    place.to_string()
}

#[cfg(test)]
mod tests;
