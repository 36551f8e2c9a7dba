//! What the program's code does: the system calls that it can make, found by
//! decoding its text and following constants to the instruction that enters the kernel.

mod arm;
mod callers;
mod frames;
pub mod functions;
mod globals;
mod ir;
mod lift;
#[cfg(test)]
mod patterns;
mod pclntab;
mod slots;
#[cfg(test)]
mod tests;
mod text;
mod trace;
mod unit;
mod uses;
mod x86;

use std::collections::BTreeMap;

use memchr::memmem;

use super::binary::Binary;
use super::content::HEAD;
use super::upx;
use crate::need::Evidence;
use crate::sysno;
use crate::units::Arch;

use functions::Functions;
use lift::Lifter;
use text::Text;
use trace::{Traced, Tracer};

/// Numbers from here on are no calls on any architecture: the kernel says ENOSYS.
const NUMBERS_END: u32 = 1024;

/// Places without a number that are told of.
const UNRESOLVED_MAX: usize = 1000;
/// Times that places in memory are looked for, each time those that the last one found.
const ROUNDS_MAX: usize = 6;

/// The system calls of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    /// Each call by its number, with a place that makes it.
    pub found: BTreeMap<u32, Evidence>,
    /// Places that enter the kernel with a number that could not be told.
    pub unresolved: Vec<Evidence>,
}

/// Finds the system calls of `binary`.
#[must_use]
pub fn calls(binary: &Binary<'_>) -> Calls {
    if let Some(mark) = packed(binary) {
        return Calls {
            found: BTreeMap::new(),
            unresolved: vec![binary.evidence(mark, "packed by UPX: its text is not to be seen")],
        };
    }
    let functions = Functions::find(binary);
    let text = Text::of(binary);
    let lifter = Lifter::new(&text, binary, &functions);
    let units = text.units(binary.arch, &functions);
    let mut references = text.references(&lifter, &units);
    let words = text.words(binary, &units);
    let units = text::cut(&lifter, &units, &mut references, &words);
    let mut tracer = Tracer::new(&lifter, &units, &references, &words);
    let entries = lifter.entries();
    let mut traced = Traced::default();
    for _ in 0..ROUNDS_MAX {
        traced = Traced::default();
        for at in &entries {
            tracer.entry(*at, &mut traced);
        }
        if !tracer.look() {
            break;
        }
    }
    let mut calls = Calls::default();
    let place = |at: ir::At, what: &str| {
        let address = text.address(at);
        let offset = binary.offset_of(address).unwrap_or_default();
        let by = functions.at(address).and_then(|function| function.name);
        match by {
            Some(name) => binary.evidence(offset, format!("{what} by {name}")),
            None => binary.evidence(offset, what),
        }
    };
    for (number, at) in traced.numbers {
        if number < NUMBERS_END {
            let name = sysno::name(binary.arch, number);
            let name = name.map_or_else(|| format!("call {number}"), str::to_owned);
            calls.found.insert(number, place(at, &name));
        }
    }
    for (cut, what) in [
        (
            text.cut,
            "text that is too far from the rest to be looked at",
        ),
        (
            references.cut || words.cut,
            "more references than are looked at",
        ),
    ] {
        if cut {
            calls.unresolved.push(place(0, what));
        }
    }
    for (at, reason) in traced.unknown.into_iter().take(UNRESOLVED_MAX) {
        calls.unresolved.push(place(at, reason.text()));
    }
    kernels_own(binary.arch, &mut calls.found);
    calls
}

/// Where UPX's mark is, in a packed program.
fn packed(binary: &Binary<'_>) -> Option<u64> {
    let page = binary.bytes.get(..HEAD.min(binary.bytes.len()))?;
    if !binary.sections.is_empty() {
        return None;
    }
    upx::find(page)?;
    memmem::find(page, b"UPX!").map(|at| at as u64)
}

/// Adds the calls that the kernel makes in the program's name: it restarts a call that
/// a signal interrupted, and has the end of a signal's handler in its vDSO.
fn kernels_own(arch: Arch, found: &mut BTreeMap<u32, Evidence>) {
    const RESTARTED: &[&str] = &["nanosleep", "clock_nanosleep", "poll", "futex"];
    for (call, causes) in [
        ("restart_syscall", RESTARTED),
        ("rt_sigreturn", &["rt_sigaction"]),
    ] {
        let cause = causes
            .iter()
            .filter_map(|cause| sysno::number(arch, cause))
            .find_map(|cause| found.get(&cause));
        if let (Some(cause), Some(call)) = (cause.cloned(), sysno::number(arch, call)) {
            let what = format!("the kernel's own, for {}", cause.what);
            found.entry(call).or_insert(Evidence { what, ..cause });
        }
    }
}
