//! The one room that knows all others: an appliance becomes an image, and an
//! image is read back.

mod analyze;
mod build;
mod cut;
mod error;
mod estimate;
mod examine;
mod filter;
mod guest;
mod inspect;
mod label;
mod learn;
mod libraries;
mod memory;
mod open;
mod provenance;
mod script;
mod source;
mod verdict;

pub use analyze::{Answer, KernelConfig, Report, Syscalls, analyze};
pub use build::{Built, Silent, Step, Watcher, allow, build, screen};
pub use cut::{DirectParts, EXTRACTED, cut, extract};
pub use error::PipelineError;
pub use estimate::Estimate;
pub use filter::{Allowed, Filter};
pub use inspect::{Config, Inspection, KernelInfo, UkiInfo, inspect};
pub use learn::learning;
pub use open::{Summary, summary};
pub use provenance::{Given, Provenance};
pub use source::{Source, Taken, open};
pub use verdict::Remark;
