//! What can go wrong with a table, and what is to be done about it.

use std::io;

use aya::maps::MapError;

use crate::kernel::sys::RowError;

/// See the variants.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pinned table is missing or is not what it should be.
    #[error("opening table {table}")]
    Open {
        /// Its name.
        table: &'static str,
        /// Why.
        #[source]
        source: MapError,
    },
    /// The same, without a reason of aya's.
    #[error("opening table {table}")]
    Map {
        /// Its name.
        table: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An operation named a row that the table does not have, or that cannot be mapped.
    #[error("writing table {table}")]
    Row {
        /// Its name.
        table: &'static str,
        /// Which.
        #[source]
        source: RowError,
    },
    /// The kernel refused a change or a look.
    #[error("{operation} {} of table {table}", if *.entries == 1 { "an entry" } else { "entries" })]
    Entries {
        /// What was tried.
        operation: &'static str,
        /// How many were tried at once.
        entries: usize,
        /// The table.
        table: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What an error asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Nothing is wrong with the change: try again.
    Retry,
    /// This change does not fit; others may.
    Reject,
    /// No change will work.
    Fatal,
}

impl Error {
    /// What it asks for.
    pub fn class(&self) -> Class {
        match self {
            Self::Entries { source, .. }
            | Self::Row { source: RowError::Map { source, .. }, .. } => class_of(source),
            Self::Row { source: RowError::OutOfTable { .. }, .. } => Class::Reject,
            Self::Open { .. } | Self::Map { .. } => Class::Fatal,
        }
    }
}

fn class_of(error: &io::Error) -> Class {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR | libc::EBUSY | libc::ENOMEM | libc::ENOENT) => {
            Class::Retry
        }
        Some(libc::E2BIG | libc::ENOSPC) => Class::Reject,
        _ => Class::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_number_decides() {
        #[track_caller]
        fn check(number: i32, expected: Class) {
            let source = io::Error::from_raw_os_error(number);
            let error = Error::Entries { operation: "adding", entries: 1, table: "T", source };
            assert_eq!(error.class(), expected);
        }
        check(libc::ENOMEM, Class::Retry);
        check(libc::E2BIG, Class::Reject);
        check(libc::EPERM, Class::Fatal);
    }
}
