//! What `ampoule analyze` says of real programs that nobody here wrote.
//!
//! `goldens/table.md` is what `scripts/analyses` prints; `made.toml` holds the calls that the programs were seen to
//! make, and `bounds.toml` how many may be found in some.

#[path = "../common/corpus.rs"]
mod common;
mod corpus;
mod golden;
mod page;

use std::collections::BTreeMap;

/// Calls that no server in a sealed machine has use for.
const WANTED_OUT: [&str; 4] = ["mount", "bpf", "kexec_load", "ptrace"];

#[test]
fn the_table_is_as_it_was() {
    let rows: String = corpus::all().iter().map(page::row).collect();
    golden::assert_same(&golden::compare(
        "table.md",
        &(page::HEAD.to_owned() + &rows),
    ));
}

#[test]
fn each_page_is_as_it_was() {
    let differences: Vec<String> = corpus::all()
        .iter()
        .flat_map(|one| {
            let name = format!("{}.txt", one.program.name);
            golden::compare(&name, &page::page(&one.analysis))
        })
        .collect();
    golden::assert_same(&differences);
}

#[test]
fn no_call_that_a_program_makes_is_missed() {
    let missed: Vec<String> = corpus::all()
        .iter()
        // packed by what cannot be unpacked, it says so
        .filter(|one| !one.analysis.packed)
        .filter(|one| !page::missed(one).is_empty())
        .map(|one| format!("{}: {}", one.program.name, page::missed(one).join(", ")))
        .collect();
    assert!(missed.is_empty(), "missed:\n{}", missed.join("\n"));
}

#[test]
fn sets_stay_small() {
    let bounds: BTreeMap<String, usize> =
        toml::from_str(include_str!("bounds.toml")).expect("bounds.toml is well formed");
    assert!(bounds.len() >= 10);
    for (name, most) in bounds {
        let found = &corpus::named(&name).analysis.syscalls;
        assert!(
            found.names.len() <= most,
            "{name}: {} calls, {most} at most",
            found.names.len()
        );
        let kept: Vec<&str> = WANTED_OUT
            .into_iter()
            .filter(|call| found.names.iter().any(|name| name == call))
            .collect();
        assert!(kept.is_empty(), "{name} is said to make {kept:?}");
    }
}

#[test]
fn negatives_are_refused_and_say_why() {
    for one in corpus::all().iter().filter(|one| one.negative) {
        let name = &one.program.name;
        assert_eq!(one.analysis.verdict, "refused", "{name}");
        assert!(!one.analysis.reasons.is_empty(), "{name}");
    }
}
