//! What the app needs and did not bring, out of pinned sources: never out of the host
//! that happens to build. Pure; the same needs give the same bytes.
//!
//! Only what is likely or certain to be needed goes in, and nothing that its owner
//! brought a replacement for, whatever its path: who brings an own bundle of
//! certificates does not want others trusted besides.

mod certificates;
mod mime;
mod zones;

use serde::Serialize;

use crate::need::{Confidence, Evidence, Need, NeedKind};
use crate::units::Bytes;

/// Files that go in for one need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Addition {
    /// Where it goes: a file, or the folder of all its files.
    pub path: String,
    /// What it is, for people.
    pub what: String,
    /// The crate and version that it comes from; `ampoule` for what is written here.
    pub source: String,
    /// Bytes of all its files.
    pub size: Bytes,
    /// What in the app asks for it, the strongest first.
    pub evidence: Vec<Evidence>,
    /// Its files, in the order of their paths.
    #[serde(skip)]
    pub files: Vec<File>,
}

/// One file of an addition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path in the guest.
    pub path: String,
    /// What is there.
    pub content: Content,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A symbolic link to this path.
    Link(String),
}

/// What the owner of the app brings by other ways.
pub trait Brought {
    /// Whether something is at `path` in the guest, or under it.
    fn file(&self, path: &str) -> bool;
    /// Whether the app's environment has this variable.
    fn variable(&self, name: &str) -> bool;
}

/// Nothing is brought.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Brought for Nothing {
    fn file(&self, _: &str) -> bool {
        false
    }

    fn variable(&self, _: &str) -> bool {
        false
    }
}

/// What is made for one kind of need.
struct Recipe {
    kind: NeedKind,
    /// Where its owner may have put the like of it.
    places: &'static [&'static str],
    /// Variables by which its owner leads the app elsewhere.
    variables: &'static [&'static str],
    make: fn(&Need) -> Addition,
}

const RECIPES: &[Recipe] = &[
    Recipe {
        kind: NeedKind::CaCertificates,
        places: certificates::PLACES,
        variables: &["SSL_CERT_FILE", "SSL_CERT_DIR"],
        make: certificates::addition,
    },
    Recipe {
        kind: NeedKind::TimeZones,
        places: &["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"],
        variables: &["ZONEINFO", "TZDIR"],
        make: zones::addition,
    },
    Recipe {
        kind: NeedKind::NameServiceModules,
        places: &[NSSWITCH],
        variables: &[],
        make: name_service,
    },
    Recipe {
        kind: NeedKind::MimeTypes,
        places: mime::PLACES,
        variables: &[],
        make: mime::addition,
    },
];

/// Plans what goes in for `needs`, in the order of the paths.
#[must_use]
pub fn plan(needs: &[Need], brought: &dyn Brought) -> Vec<Addition> {
    let mut all: Vec<Addition> = Vec::new();
    for recipe in RECIPES {
        let asked =
            |need: &&Need| need.kind == recipe.kind && need.confidence >= Confidence::Likely;
        let Some(need) = needs
            .iter()
            .filter(asked)
            .max_by_key(|need| need.confidence)
        else {
            continue;
        };
        let replaced = recipe.places.iter().any(|path| brought.file(path))
            || recipe.variables.iter().any(|name| brought.variable(name));
        if !replaced {
            all.push((recipe.make)(need));
        }
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

/// nsswitch.conf(5), which glibc reads before it looks up a name.
const NSSWITCH: &str = "/etc/nsswitch.conf";

/// Without this file a static glibc asks DNS first and /etc/hosts only when no
/// server answers (nss/nss_database.c, `nss_database_select_default`).
fn name_service(need: &Need) -> Addition {
    let text = b"passwd: files\ngroup: files\nhosts: files dns\n".to_vec();
    Addition::new(
        NSSWITCH,
        "the order in which names are looked up: hosts before DNS",
        "ampoule",
        need,
        vec![File {
            path: NSSWITCH.to_owned(),
            content: Content::Bytes(text),
        }],
    )
}

impl Addition {
    fn new(path: &str, what: &str, source: &str, need: &Need, files: Vec<File>) -> Addition {
        let len = |file: &File| match &file.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Link(_) => 0,
        };
        Addition {
            path: path.to_owned(),
            what: what.to_owned(),
            source: source.to_owned(),
            size: Bytes(files.iter().map(len).sum()),
            evidence: need.evidence.clone(),
            files,
        }
    }
}

#[cfg(test)]
mod tests;
