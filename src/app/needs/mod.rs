//! What a program needs of the system around it, each need with its evidence.
//!
//! A string that stands in a program says little: C libraries and Go's runtime bring
//! paths along that nobody asks for. So strings count that no runtime carries, and
//! beyond that the code decides: which functions are linked in, who calls them, and
//! with what.

mod found;
mod go;
mod native;
mod ports;
mod programs;
mod sites;
mod table;

use serde::Serialize;

use super::binary::Binary;
use super::code::Calls;
use super::code::functions::Functions;
use super::make::Make;
use super::traces::Traces;
use crate::need::{Confidence, Evidence, Need, NeedKind};
use crate::sysno;
use found::Found;
use sites::Sites;

/// A port that the program is likely to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listen {
    /// The port.
    pub port: u16,
    /// Whether it is bound to 127.0.0.1 or ::1, where no other machine reaches it.
    pub loopback: bool,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why.
    pub evidence: Evidence,
}

/// The strings that [`needs`] wants to be searched for.
pub(super) fn texts() -> impl Iterator<Item = &'static [u8]> {
    let texts = table::TEXTS.iter().map(|rule| rule.text);
    let ports = [ports::TEXTS, ports::EVERYWHERE].concat().into_iter();
    let others = [ports::LOOPBACK, programs::SHELL, native::NSSWITCH];
    let all = texts.chain(ports).chain(others);
    all.map(str::as_bytes)
}

/// Finds what `binary` needs, and the ports that it is likely to listen on.
pub(super) fn needs(
    binary: &Binary<'_>,
    traces: &Traces,
    make: &Make,
    calls: &Calls,
) -> (Vec<Need>, Vec<Listen>) {
    let mut found = Found::default();
    let mut listens = Vec::new();
    let is_go = make.language.as_deref() == Some("Go");
    if is_go {
        let functions = Functions::find(binary);
        go::find(binary, &functions, make, &mut found, &mut listens);
    } else {
        let sites = Sites::of(binary);
        native::find(binary, traces, make, &sites, &mut found);
        ports::find(binary, traces, make, &sites, &mut listens);
    }
    native::name_service(binary, traces, make, &mut found);
    // what cannot start a program starts none, whatever its libraries hold
    if !calls.found.is_empty() && calls.unresolved.is_empty() {
        let starts = ["execve", "execveat"].iter().any(|name| {
            let number = sysno::number(binary.arch, name);
            number.is_some_and(|number| calls.found.contains_key(&number))
        });
        if !starts {
            found.drop_where(|kind| matches!(kind, NeedKind::Program(_)));
        }
    }
    (found.into_needs(), distinct(listens))
}

/// Each port once, the surest first.
fn distinct(mut listens: Vec<Listen>) -> Vec<Listen> {
    listens.sort_by_key(|listen| {
        let unsure = std::cmp::Reverse(listen.confidence);
        (unsure, listen.port, listen.loopback, listen.evidence.offset)
    });
    let mut kept: Vec<Listen> = Vec::new();
    for listen in listens {
        let same = |other: &Listen| (other.port, other.loopback) == (listen.port, listen.loopback);
        if kept.len() < ports::LISTENS_MAX && !kept.iter().any(same) {
            kept.push(listen);
        }
    }
    kept
}
