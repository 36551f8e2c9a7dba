//! Everything that can be told of a program from its bytes.

use std::sync::LazyLock;

use memchr::memmem;

use super::binary::Binary;
use super::code::{self, Calls};
use super::facts::{self, Facts};
use super::make::{self, Make};
use super::needs::{self, Listen};
use super::traces::Search;
use super::{Damage, Shape, inspect};
use crate::need::{Confidence, Need, NeedKind};

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

/// UPX's mark (UPX, src/conf.h, UPX_MAGIC_LE32).
const UPX: &[u8] = b"UPX!";

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
        analysis.make = make::make(&binary, &traces);
        if analysis.shape.is_foreign() {
            // its calls have other numbers, and its needs are met by another system
            return Ok(analysis);
        }
        analysis.calls = code::calls(&binary);
        (analysis.needs, analysis.listens) =
            needs::needs(&binary, &traces, &analysis.make, &analysis.calls);
        if analysis.shape.shell().is_some() {
            // a shell starts what it is told to; that it is one is told elsewhere
            let program = |need: &Need| matches!(need.kind, NeedKind::Program(_));
            analysis.needs.retain(|need| !program(need));
        }
        if analysis.shape.packed().is_some() {
            analysis.unpacks(&binary);
        }
    }
    Ok(analysis)
}

impl Analysis {
    /// Of a packed program only what unpacks it can be seen.
    fn unpacks(&mut self, binary: &Binary<'_>) {
        // what a packer puts behind its segments is its own
        self.facts.appended = 0;
        let mark = memmem::find(binary.bytes, UPX).unwrap_or(0) as u64;
        self.calls.unresolved.push(binary.evidence(
            mark,
            "packed by UPX: what the program inside calls cannot be told; unpack it with `upx -d`",
        ));
        // UPX 4 and later unpack into a file without a name
        self.needs.push(Need {
            kind: NeedKind::Kernel("MEMFD_CREATE".to_owned()),
            confidence: Confidence::Likely,
            evidence: vec![binary.evidence(mark, "packed by UPX")],
        });
    }
}
