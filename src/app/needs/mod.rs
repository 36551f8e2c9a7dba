//! What a program needs of the system around it, each need with its evidence.

use serde::Serialize;

use super::binary::Binary;
use super::code::Calls;
use super::make::Make;
use super::traces::Traces;
use crate::need::{Confidence, Evidence, Need};

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
    std::iter::empty()
}

/// Finds what `binary` needs, and the ports that it is likely to listen on.
pub(super) fn needs(
    _binary: &Binary<'_>,
    _traces: &Traces,
    _make: &Make,
    _calls: &Calls,
) -> (Vec<Need>, Vec<Listen>) {
    (Vec::new(), Vec::new())
}
