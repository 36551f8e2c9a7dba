//! Everything that can be told of a program from its bytes.

use std::sync::LazyLock;

use super::binary::Binary;
use super::code::{self, Calls};
use super::facts::{self, Facts};
use super::make::{self, Make};
use super::needs::{self, Listen};
use super::traces::Search;
use super::{Damage, Shape, inspect};
use crate::need::Need;

/// What a file is, was made with, needs and does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// What it is.
    pub shape: Shape,
    /// What its segments, notes and sections say beyond the shape.
    pub facts: Facts,
    /// What it was made with.
    pub make: Make,
    /// What it needs of the system around it.
    pub needs: Vec<Need>,
    /// Ports that it is likely to listen on.
    pub listens: Vec<Listen>,
    /// The system calls that it can make.
    pub calls: Calls,
}

/// The strings that anything is judged by.
static SEARCH: LazyLock<Search> =
    LazyLock::new(|| Search::new(make::texts().chain(needs::texts())));

/// Tells everything of the file of these bytes. What is no program of ours has a
/// shape and nothing else.
///
/// # Errors
/// [`Damage`] when it is an ELF file that Linux could not load.
pub fn analyse(bytes: &[u8]) -> Result<Analysis, Damage> {
    let shape = inspect(bytes)?;
    let mut analysis = Analysis {
        shape,
        facts: Facts::default(),
        make: Make::default(),
        needs: Vec::new(),
        listens: Vec::new(),
        calls: Calls::default(),
    };
    // what Linux could not load is damage, which `inspect` tells; an object file or a
    // program for another system is looked into as far as that goes
    if let (Some(_), Ok(binary)) = (analysis.shape.arch(), Binary::parse(bytes)) {
        let traces = SEARCH.run(&binary);
        analysis.facts = facts::facts(&binary);
        if analysis.shape.packed().is_some() {
            // what a packer puts behind its segments is its own
            analysis.facts.appended = 0;
        }
        analysis.make = make::make(&binary, &traces);
        analysis.calls = code::calls(&binary);
        (analysis.needs, analysis.listens) =
            needs::needs(&binary, &traces, &analysis.make, &analysis.calls);
    }
    Ok(analysis)
}
