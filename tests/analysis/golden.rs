//! Text that is kept in the repository, and how it differs from what is now.

use std::fs;
use std::path::PathBuf;

/// Set it to write the goldens anew: `scripts/analyses --update`.
const UPDATE: &str = "AMPOULE_GOLDENS";

/// Holds `text` against the golden of this name, or writes it there. Returns the lines that differ.
pub fn compare(name: &str, text: &str) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/analysis/goldens");
    let path = path.join(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
        fs::write(path, text).expect("the golden can be written");
        return Vec::new();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    differences(name, &golden, text)
}

/// Lines that only one of the two has. Each line of a golden says what it is about, so their order tells nothing.
fn differences(name: &str, golden: &str, text: &str) -> Vec<String> {
    let only = |sign: char, one: &str, other: &str| -> Vec<String> {
        one.lines()
            .filter(|line| !other.lines().any(|same| same == *line))
            .map(|line| format!("{sign} {name}: {line}"))
            .collect()
    };
    [only('-', golden, text), only('+', text, golden)].concat()
}

/// Fails with the lines that differ.
pub fn assert_same(differences: &[String]) {
    assert!(
        differences.is_empty(),
        "the analysis has changed; if it is right so, scripts/analyses --update\n{}",
        differences.join("\n")
    );
}

#[test]
fn what_differs_is_told_by_line() {
    assert_eq!(
        differences("a", "same\nold\n", "same\nnew\n"),
        ["- a: old", "+ a: new"]
    );
    assert!(differences("a", "same\n", "same\n").is_empty());
}
