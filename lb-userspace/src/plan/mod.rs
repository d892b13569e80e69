//! What to write: the difference between what should be and what the tables hold, as a list of
//! plain operations in a safe order.

mod op;

pub use op::{FrontendAt, List, Op};
