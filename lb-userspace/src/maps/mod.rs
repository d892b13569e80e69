//! The doors to table content: operations in, content out.
//!
//! [`reconcile`](crate::reconcile) writes through [`Tables`]; the command line reads. What a table
//! should contain is decided in [`plan`](crate::plan), how tables are made and pinned in
//! [`kernel`](crate::kernel).

mod array;
mod error;
mod hash;
mod writer;

pub use error::{Class, Error};
pub use writer::KernelTables;

use crate::plan::Op;

/// The tables that are planned.
pub trait Tables {
    /// Performs operations in order. After an error, those before the failing one are done and
    /// what is in the tables must be read again.
    ///
    /// # Errors
    ///
    /// See [`Error::class`] for what to do.
    fn apply(&mut self, ops: &[Op]) -> Result<(), Error>;
}
