//! The lock: what is pinned for each Debian release, and what came out of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::error::KitError;
use crate::digest::Digest;

/// The whole lock, by release (VERSION_CODENAME of os-release(5)).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Lock {
    pins: BTreeMap<String, Pin>,
}

/// What one release's kit is made of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pin {
    pub kernel: Package,
    pub stub: Package,
    /// Results, by architecture.
    #[serde(default)]
    pub made: BTreeMap<String, Made>,
}

/// One Debian package at one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// The digest of the .deb file.
    pub sha256: Digest,
}

/// The tools whose versions the kernel's bytes depend on, each in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// The first line of `gcc --version`.
    pub gcc: String,
    /// The first line of `ld --version`.
    pub ld: String,
    /// The first line of `zstd --version`.
    pub zstd: String,
}

/// What came out of a pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// With these tools.
    #[serde(flatten)]
    pub tools: Tools,
    /// Of the options that were asked for.
    pub asked: Digest,
    /// Of the final configuration.
    pub config: Digest,
    /// Of the bzImage.
    pub kernel: Digest,
    /// Lines that `make` printed: what progress is counted against.
    pub steps: u64,
}

impl Lock {
    /// Reads a lock; `path` is for messages.
    pub(super) fn parse(text: &str, path: &str) -> Result<Lock, KitError> {
        toml::from_str(text).map_err(|error| KitError::Lock {
            path: path.to_owned(),
            reason: error.message().to_owned(),
        })
    }

    /// The pin of `release`.
    pub(super) fn pin(&self, release: &str) -> Option<&Pin> {
        self.pins.get(release)
    }

    /// The pins without results, in a fixed order: part of a kit's name.
    pub(super) fn pins_text(&self) -> String {
        let mut text = String::new();
        for (release, pin) in &self.pins {
            for part in [&pin.kernel, &pin.stub] {
                let _ = writeln!(
                    text,
                    "{release} {} {} {}",
                    part.package, part.version, part.sha256
                );
            }
        }
        text
    }
}

/// Puts new packages into a lock's text, which keeps its comments. Results of
/// other packages than these go.
pub(super) fn move_pin(
    text: &str,
    path: &str,
    release: &str,
    kernel: &Package,
    stub: &Package,
) -> Result<String, KitError> {
    edit(text, path, release, |pin| {
        put(pin, "kernel", kernel);
        put(pin, "stub", stub);
        pin.remove("made");
    })
}

/// Records what came out of a pin.
pub(super) fn record(
    text: &str,
    path: &str,
    release: &str,
    arch: &str,
    made: &Made,
) -> Result<String, KitError> {
    edit(text, path, release, |pin| {
        let made_of = pin
            .entry("made")
            .or_insert_with(toml_edit::table)
            .as_table_mut();
        if let Some(table) = made_of {
            table.set_implicit(true);
            put(table, arch, made);
        }
    })
}

fn edit(
    text: &str,
    path: &str,
    release: &str,
    change: impl FnOnce(&mut toml_edit::Table),
) -> Result<String, KitError> {
    let wrong = |reason: String| KitError::Lock {
        path: path.to_owned(),
        reason,
    };
    let mut document: toml_edit::DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| wrong(error.message().to_owned()))?;
    let pin = document
        .entry(release)
        .or_insert_with(toml_edit::table)
        .as_table_mut()
        .ok_or_else(|| wrong(format!("{release} is no table")))?;
    pin.set_implicit(true);
    change(pin);
    Ok(document.to_string())
}

/// Writes `value` as a table of its own, over an older one's keys.
fn put(parent: &mut toml_edit::Table, key: &str, value: &impl Serialize) {
    // strings, digests and numbers always have a TOML form
    let text = toml::to_string(value).unwrap_or_default();
    let document: toml_edit::DocumentMut = text.parse().unwrap_or_default();
    let table = parent.entry(key).or_insert_with(toml_edit::table);
    if let Some(table) = table.as_table_mut() {
        for (name, item) in document.iter() {
            table.insert(name, item.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::carried;

    fn package(name: &str, version: &str) -> Package {
        Package {
            package: name.into(),
            version: version.into(),
            sha256: Digest::of(version.as_bytes()),
        }
    }

    fn made() -> Made {
        Made {
            tools: Tools {
                gcc: "gcc 1".into(),
                ld: "ld 2".into(),
                zstd: "zstd 3".into(),
            },
            asked: Digest::of(b"a"),
            config: Digest::of(b"c"),
            kernel: Digest::of(b"k"),
            steps: 7,
        }
    }

    #[test]
    fn our_own_lock_pins_both_releases() {
        let lock = Lock::parse(carried::LOCK, "lock").unwrap();
        let bookworm = lock.pin("bookworm").unwrap();
        assert_eq!(bookworm.kernel.version, "6.12.117-1~deb12u1");
        assert_eq!(
            bookworm.kernel.sha256.to_string(),
            "e849faf31ca3555757f3a8877cb01af92122f744f75d1f3102734651c4e14703"
        );
        let trixie = lock.pin("trixie").unwrap();
        assert_eq!(
            trixie.kernel.sha256.to_string(),
            "9141325315c7f1eca682113d185a8c77c82814aa6e32f7e127e61d6106403835"
        );
        assert!(lock.pin("sid").is_none());
    }

    #[test]
    fn moving_a_pin_keeps_comments_and_drops_stale_results() {
        let before = "# why\n\n[a.kernel]\npackage = \"l\"\nversion = \"1\"\nsha256 = \"00\"\n\n\
                      [a.stub]\npackage = \"s\"\nversion = \"1\"\nsha256 = \"00\"\n\n\
                      [a.made.x86_64]\nkernel = \"00\"\n";
        let (kernel, stub) = (package("l", "2"), package("s", "3"));
        let after = move_pin(before, "lock", "a", &kernel, &stub).unwrap();
        assert!(after.starts_with("# why\n"), "{after}");
        let pin = Lock::parse(&after, "lock")
            .unwrap()
            .pin("a")
            .unwrap()
            .clone();
        assert_eq!((pin.kernel, pin.stub), (kernel, stub));
        assert!(pin.made.is_empty());
    }

    #[test]
    fn a_result_is_recorded_and_read_back_and_changes_no_name() {
        let bare = move_pin("", "lock", "a", &package("l", "2"), &package("s", "3")).unwrap();
        let full = record(&bare, "lock", "a", "x86_64", &made()).unwrap();
        let (bare, lock) = (
            Lock::parse(&bare, "lock").unwrap(),
            Lock::parse(&full, "lock").unwrap(),
        );
        assert_eq!(lock.pin("a").unwrap().made["x86_64"], made());
        assert_eq!(bare.pins_text(), lock.pins_text());
        // twice is the same as once
        assert_eq!(record(&full, "lock", "a", "x86_64", &made()).unwrap(), full);
    }

    #[test]
    fn a_lock_with_an_unknown_key_is_refused() {
        let text = "[a]\nkernal = 1\n";
        let error = Lock::parse(text, "my.lock").unwrap_err().to_string();
        assert!(
            error.starts_with("the lock my.lock cannot be understood"),
            "{error}"
        );
    }
}
