//! The result of a test as data; its JSON keys stay as they are.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Ending, Finding};
use crate::digest::Digest;

/// The result for one image.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The image's path, as it was given.
    pub image: String,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Whether every check held in every boot.
    pub ok: bool,
    /// The boots, in the order they were made.
    pub boots: Vec<Boot>,
}

/// One boot.
#[derive(Debug, Clone, Serialize)]
pub struct Boot {
    /// `bios`, `uefi`, `direct` or `microvm`.
    pub firmware: String,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// Why it was not `kvm`, although that would have been taken.
    pub no_kvm: Option<String>,
    /// Whether every check held.
    pub ok: bool,
    /// From QEMU's start to its end.
    pub milliseconds: u64,
    /// How the app ended: `{"exit": 0}`, `{"signal": 9}`, `{"failed": {…}}`, or null.
    pub verdict: Option<Ending>,
    /// What was judged.
    pub checks: Vec<Finding>,
    /// The system calls that the app was refused, and how often. They fail no check: many
    /// programs ask and can do without.
    pub denied: BTreeMap<String, u32>,
    /// The file that holds the console's text; kept when a check failed.
    pub console_log: Option<String>,
    /// The console's last lines, when a check failed.
    #[serde(skip)]
    pub console_tail: Option<String>,
}

impl Report {
    /// The result of these boots.
    #[must_use]
    pub fn new(image: String, digest: Digest, boots: Vec<Boot>) -> Report {
        let ok = !boots.is_empty() && boots.iter().all(|boot| boot.ok);
        Report {
            image,
            sha256: digest.to_string(),
            ok,
            boots,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_stay() {
        let boot = Boot {
            firmware: "bios".to_owned(),
            accelerator: "tcg".to_owned(),
            no_kvm: None,
            ok: false,
            milliseconds: 7,
            verdict: Some(Ending::Signal(9)),
            checks: vec![Finding::bad("stop", "x")],
            denied: [("mount".to_owned(), 3)].into(),
            console_log: Some("a.log".to_owned()),
            console_tail: Some("y".to_owned()),
        };
        let report = Report::new("a.img".to_owned(), Digest::of(b""), vec![boot]);
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            serde_json::json!({
                "image": "a.img",
                "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "ok": false,
                "boots": [{
                    "firmware": "bios",
                    "accelerator": "tcg",
                    "no_kvm": null,
                    "ok": false,
                    "milliseconds": 7,
                    "verdict": { "signal": 9 },
                    "checks": [{ "name": "stop", "ok": false, "detail": "x" }],
                    "denied": { "mount": 3 },
                    "console_log": "a.log",
                }],
            })
        );
    }
}
