//! What an image must do, whether it did, and the reports of that.
//!
//! [`Expectation`] is what is asked for, [`Observed`] what was seen of one boot, and [`judge`]
//! the pure step from both to [`Finding`]s. [`observe`] is the effect between: it boots a
//! machine, asks, stops it, and only writes down what happens.

mod ask;
mod expect;
mod judge;
mod junit;
mod report;
mod session;
mod witness;

pub use ask::Answer;
pub use expect::{ExpectError, Expectation, Http, Request};
pub use judge::{Finding, Observed, judge};
pub use junit::junit;
pub use report::{Boot, Report};
pub use session::{Outcome, Session, SessionError, observe};
pub use witness::{Ending, Witness};
