//! The filter of system calls for an appliance: from what was asked for and what stands in
//! the guest's root to the file that init reads, and back.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use ampoule_init::wire;
use serde::Serialize;

use crate::app::{self, code::Calls};
use crate::initramfs::{Content, Node, Tree};
use crate::seccomp::Policy;
use crate::spec::Seccomp;
use crate::sysno;
use crate::units::Arch;

use super::PipelineError;

/// The filter that an image gets. Its JSON is a part of that of `ampoule build`.
#[derive(Debug, Clone, Serialize)]
pub struct Filter {
    /// `off`, `default`, `derived` or `learned`.
    pub policy: &'static str,
    /// How many calls the app may make; none with `off`.
    pub calls: Option<usize>,
    /// The policy was to be `derived`, and this many places enter the kernel with a call
    /// that could not be told.
    pub unresolved: Option<usize>,
    #[serde(skip)]
    pub(super) kind: wire::Seccomp,
    /// What init reads.
    #[serde(skip)]
    pub(super) file: Option<Vec<u8>>,
}

/// What a filter allows, as an image tells. Its JSON is a part of that of `ampoule inspect`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Allowed {
    /// `off`, `default`, `derived` or `learned`.
    pub policy: String,
    /// The calls that the app may make, by name; none with `off`.
    pub calls: Option<Vec<String>>,
}

impl Filter {
    /// The filter that `asked` comes to for the guest of `tree`, whose app makes `own`
    /// calls.
    ///
    /// # Errors
    /// [`PipelineError`] when a program of the guest cannot be read.
    pub(super) fn choose(
        asked: &Seccomp,
        tree: &Tree,
        own: Own<'_>,
        arch: Arch,
    ) -> Result<Filter, PipelineError> {
        use wire::Seccomp::{Default, Derived, Learned, Off};
        Ok(match asked {
            Seccomp::Off => Filter::new(Off, None, arch),
            Seccomp::Default => Filter::new(Default, Some(&Policy::Default), arch),
            Seccomp::Calls(names) => {
                let number = |name: &String| sysno::number(arch, name);
                let calls = names.iter().filter_map(number).collect();
                Filter::new(Learned, Some(&Policy::Only(calls)), arch)
            }
            Seccomp::Derived => {
                let (calls, unresolved) = calls(tree, own, arch)?;
                // a program without a call is one that was not understood
                if unresolved == 0 && !calls.is_empty() {
                    Filter::new(Derived, Some(&Policy::Only(calls)), arch)
                } else {
                    Filter {
                        unresolved: Some(unresolved),
                        ..Filter::new(Default, Some(&Policy::Default), arch)
                    }
                }
            }
        })
    }

    fn new(kind: wire::Seccomp, policy: Option<&Policy>, arch: Arch) -> Filter {
        Filter {
            policy: kind.as_str(),
            calls: policy.map(|policy| policy.allowed(arch).len()),
            unresolved: None,
            kind,
            file: policy.map(|policy| policy.file(arch)),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.policy)?;
        match (self.unresolved, self.calls) {
            (Some(0), _) => f.write_str(": no call of the app could be told"),
            (Some(1), _) => f.write_str(": 1 call of the app cannot be told"),
            (Some(some), _) => write!(f, ": {some} calls of the app cannot be told"),
            (None, Some(calls)) => write!(f, ", {calls} calls"),
            (None, None) => Ok(()),
        }
    }
}

impl Allowed {
    /// Takes the calls out of the filter's `file`, which is empty where there is none.
    ///
    /// # Errors
    /// When it is not one that [`Filter`] makes.
    pub(super) fn read(&mut self, file: &[u8], arch: Arch) -> Result<(), PipelineError> {
        if self.policy.is_empty() {
            // an init before there were filters
            wire::Seccomp::Off.as_str().clone_into(&mut self.policy);
        }
        if self.policy != wire::Seccomp::Off.as_str() {
            let calls = Policy::read(file, arch).ok_or(PipelineError::Filter)?;
            self.calls = Some(calls);
        }
        Ok(())
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.policy)?;
        match &self.calls {
            Some(calls) => write!(f, ", {} calls", calls.len()),
            None => Ok(()),
        }
    }
}

/// The app's own calls, known by now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own<'a> {
    /// The app's path in the guest.
    pub(super) path: &'a str,
    pub(super) calls: &'a Calls,
}

/// The system calls of every program and library in the guest but init, and how many places
/// could not be told: what the app starts and loads has the app's filter.
fn calls(tree: &Tree, own: Own<'_>, arch: Arch) -> Result<(BTreeSet<u32>, usize), PipelineError> {
    let mut found: BTreeSet<u32> = own.calls.found.keys().copied().collect();
    let mut unresolved = own.calls.unresolved.len();
    for (path, node) in tree.iter() {
        let Node::File { content, .. } = node else {
            continue;
        };
        if path == "/init" || path == own.path {
            continue;
        }
        let read;
        let bytes = match content {
            Content::Bytes(bytes) => bytes,
            Content::Host { path, .. } => {
                read = fs::read(path).map_err(|source| PipelineError::Read {
                    path: path.clone(),
                    source,
                })?;
                &read
            }
        };
        // one that Linux could not load makes no calls
        if let Ok(analysis) = app::analyse(bytes) {
            if analysis.shape.arch() == Some(arch) {
                found.extend(analysis.calls.found.keys());
                unresolved += analysis.calls.unresolved.len();
            }
        }
    }
    Ok((found, unresolved))
}
