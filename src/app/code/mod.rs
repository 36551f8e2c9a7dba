//! What the program's code does: the system calls that it can make, found by
//! decoding its text and following constants to the instruction that enters the kernel.

use std::collections::BTreeMap;

use super::binary::Binary;
use crate::need::Evidence;

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
pub fn calls(_binary: &Binary<'_>) -> Calls {
    Calls::default()
}
