//! The one room that knows all others: an appliance becomes an image, and an
//! image is read back.

mod build;
mod cut;
mod error;
mod filter;
mod guest;
mod inspect;
mod label;
mod libraries;
mod memory;
mod open;

pub use build::{Built, Silent, Step, Watcher, allow, build};
pub use cut::{DirectParts, EXTRACTED, cut, extract};
pub use error::PipelineError;
pub use filter::{Allowed, Filter};
pub use inspect::{Config, Inspection, KernelInfo, UkiInfo, inspect};
pub use open::{Summary, summary};
