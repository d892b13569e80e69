//! The doors to table content: operations in, content out.
//!
//! [`reconcile`](crate::reconcile) writes through [`Tables`]; the command line reads. What a table
//! should contain is decided in [`plan`](crate::plan), how tables are made and pinned in
//! [`kernel`](crate::kernel).

mod adopt;
mod array;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod flows;
mod hash;
mod reader;
mod writer;

pub use error::{Class, Error};
pub use flows::{FlowTables, PoolFill};
pub use reader::{Counters, Reader};
pub use writer::{KernelTables, is_call};

use crate::plan::{Contents, LiveRows, Op};

/// The tables that are planned.
pub trait Tables: LiveRows {
    /// Performs operations in order. After an error, those before the failing one are done and
    /// what is in the tables must be read again.
    ///
    /// # Errors
    ///
    /// See [`Error::class`] for what to do.
    fn apply(&mut self, ops: &[Op]) -> Result<(), Error>;

    /// Everything that is in the tables now.
    ///
    /// # Errors
    ///
    /// As for [`Self::apply`].
    fn contents(&self) -> Result<Contents, Error>;

    /// The same without rows of arrays, slots and names.
    ///
    /// # Errors
    ///
    /// As for [`Self::apply`].
    fn entries(&self) -> Result<Contents, Error>;
}
