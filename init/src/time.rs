//! Time as the main loop counts it.

pub use crate::net::Millis;

/// The earlier of two deadlines, where either may be absent.
#[must_use]
pub fn earlier(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
