//! The filter of system calls that init puts on an app.
//!
//! [`Policy`] says which calls an app may make; [`Policy::file`] turns it into the file that
//! init reads, whose format is [`ampoule_init::seccomp`]. [`denied`] is the table of calls
//! that no server in a sealed machine needs, [`shown`] which of a call's arguments init
//! tells, [`program`] the filter as instructions for the kernel. All of it is pure.

pub mod denied;
mod policy;
pub mod program;
pub mod shown;
#[cfg(test)]
mod tests;

pub use policy::{Policy, always};
