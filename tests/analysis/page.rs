//! What is kept of an analysis: a row of the table, and a page for each program.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::corpus::{Analysed, Analysis, Need};

/// The head of the table.
pub const HEAD: &str = "\
| program | processor | linkage | language | libc | needs, likely or certain | ports | calls | recall | unresolved | verdict |
|---|---|---|---|---|---|---|---|---|---|---|
";
/// The width of a page.
const WIDTH: usize = 110;

/// One row of the table.
pub fn row(analysed: &Analysed) -> String {
    let analysis = &analysed.analysis;
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    let mut linkage = or_dash(&analysis.linkage);
    if analysis.packed {
        linkage += ", packed";
    }
    let language = match (&analysis.language, &analysis.compiler) {
        (Some(language), Some(compiler)) => format!("{language} ({compiler})"),
        (language, _) => or_dash(language),
    };
    let libc = match (&analysis.libc, &analysis.libc_version) {
        (Some(libc), Some(version)) => format!("{libc} {version}"),
        (libc, _) => or_dash(libc),
    };
    let verdict = match analysis.reasons.first() {
        Some(reason) => format!("{}: {}", analysis.verdict, reason.what),
        None => analysis.verdict.clone(),
    };
    let cells = [
        analysed.program.name.clone(),
        analysis
            .machine
            .clone()
            .unwrap_or_else(|| analysis.format.clone()),
        linkage,
        language,
        libc,
        kinds(analysis),
        ports(analysis),
        analysis.syscalls.names.len().to_string(),
        recall(analysed),
        analysis.syscalls.unresolved.to_string(),
        verdict,
    ];
    // a bar in a cell would end it
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// How many of the calls that it makes were found.
fn recall(analysed: &Analysed) -> String {
    if analysed.made.is_empty() {
        return "–".to_owned();
    }
    let made = analysed.made.len();
    format!("{} of {made}", made - missed(analysed).len())
}

/// The calls that it makes and that were not found.
pub fn missed(analysed: &Analysed) -> Vec<&str> {
    let found: BTreeSet<&String> = analysed.analysis.syscalls.names.iter().collect();
    let made = analysed.made.iter();
    made.filter(|call| !found.contains(call))
        .map(String::as_str)
        .collect()
}

fn matters(need: &&Need) -> bool {
    need.confidence != "possible"
}

/// The kinds of what it needs, each with how many there are.
fn kinds(analysis: &Analysis) -> String {
    let needs: Vec<&Need> = analysis.needs.iter().filter(matters).collect();
    let kinds: BTreeSet<&str> = needs.iter().map(|need| need.kind.as_str()).collect();
    let told = kinds.iter().map(|kind| {
        let of_it: Vec<&&Need> = needs.iter().filter(|need| need.kind == *kind).collect();
        match (&of_it[..], of_it.len()) {
            ([one], _) => match &one.name {
                Some(name) => format!("{kind} {name}"),
                None => (*kind).to_owned(),
            },
            (_, count) => format!("{kind} ×{count}"),
        }
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        "–".to_owned()
    } else {
        told.join(", ")
    }
}

fn ports(analysis: &Analysis) -> String {
    let told: Vec<String> = analysis
        .listens
        .iter()
        .filter(|listen| listen.confidence != "possible")
        .map(|listen| {
            let place = if listen.loopback { " (loopback)" } else { "" };
            format!("{}{place}", listen.port)
        })
        .collect();
    if told.is_empty() {
        "–".to_owned()
    } else {
        told.join(", ")
    }
}

/// What is said of one program, in full but for the places.
pub fn page(analysis: &Analysis) -> String {
    let mut text = String::new();
    let mut section = |head: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "{head}");
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    };
    let needs = analysis.needs.iter().map(|need| {
        let name = need.name.as_deref().unwrap_or_default();
        format!("{} {} {name}", need.confidence, need.kind)
            .trim_end()
            .to_owned()
    });
    section("needs", needs.collect());
    let added = analysis.payload.iter();
    section("added", added.map(|file| file.path.clone()).collect());
    let kernel = analysis.kernel.iter();
    section(
        "kernel lacks",
        kernel
            .map(|missing| format!("{} {}", missing.level, missing.option))
            .collect(),
    );
    let told = |remarks: &[crate::corpus::Remark]| {
        remarks.iter().map(|remark| remark.what.clone()).collect()
    };
    section("refused", told(&analysis.reasons));
    section("warned", told(&analysis.warnings));
    section("calls", wrapped(&analysis.syscalls.names));
    text
}

fn wrapped(names: &[String]) -> Vec<String> {
    let mut lines = vec![String::new()];
    for name in names {
        if lines
            .last()
            .is_some_and(|line| line.len() + name.len() >= WIDTH)
        {
            lines.push(String::new());
        }
        let line = lines.last_mut().expect("there is one");
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(name);
    }
    lines.retain(|line| !line.is_empty());
    lines
}
