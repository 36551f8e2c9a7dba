//! What the command carries: kernel configuration, lock, and init's sources.

use super::lock::Lock;
use crate::digest::Digest;
use crate::units::Arch;

include!(concat!(env!("OUT_DIR"), "/carried.rs"));

/// The lock, as it stood when the command was built.
pub(super) const LOCK: &str = include_str!("../../kernel-config/lock.toml");

/// The workspace's manifest: the profile that init is built with.
pub(super) const WORKSPACE: &str = include_str!("../../Cargo.toml");

/// Names a kit's ingredients: two commands that carry the same make the same kit
/// from the same tools. Results in the lock do not count, only its pins.
pub(super) fn digest(arch: Arch, lock: &Lock) -> Digest {
    let mut parts = vec![("arch".to_owned(), arch.name().to_owned())];
    parts.push(("pins".to_owned(), lock.pins_text()));
    for (name, text) in FRAGMENTS {
        parts.push((format!("kernel-config/{name}"), (*text).to_owned()));
    }
    for (name, text) in INIT {
        parts.push((format!("init/{name}"), (*text).to_owned()));
    }
    digest_of_parts(&parts)
}

/// A digest in which no part can pass for a piece of its neighbour.
pub(super) fn digest_of_parts(parts: &[(String, String)]) -> Digest {
    let mut bytes = Vec::new();
    for (name, text) in parts {
        bytes.extend(format!("{name}\n{}\n{text}", text.len()).into_bytes());
    }
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let digest =
            |a: &str, b: &str| digest_of_parts(&[("a".into(), a.into()), ("b".into(), b.into())]);
        assert_ne!(digest("xy", "z"), digest("x", "yz"));
        assert_ne!(digest("x", "y"), digest("y", "x"));
    }

    #[test]
    fn configuration_and_sources_are_there() {
        let has = |table: &[(&str, &str)], name: &str| table.iter().any(|(n, _)| *n == name);
        assert!(has(FRAGMENTS, "hardening.config"));
        assert!(has(FRAGMENTS, "x86_64/boot.config"));
        assert!(has(INIT, "Cargo.toml"));
        assert!(has(INIT, "src/main.rs"));
    }
}
