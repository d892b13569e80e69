//! Why a watch was lost, and what that asks for.

use std::time::Duration;

/// What ended an attempt to list or watch.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No answer: no connection, or one that broke or was refused by our own side.
    #[error("cannot {operation}")]
    Unreachable {
        /// What was to be done.
        operation: &'static str,
        /// Why not.
        #[source]
        source: kube::Error,
    },
    /// The server took too long.
    #[error("cannot {operation}: no answer for {waited:?}")]
    Silent {
        /// What was to be done.
        operation: &'static str,
        /// How long nothing came.
        waited: Duration,
    },
    /// The server answered, and said no.
    #[error("the server answers {status} to {operation}: {message}")]
    Refused {
        /// What was to be done.
        operation: &'static str,
        /// The HTTP status, or the one inside of a watch.
        status: u16,
        /// The server's words.
        message: String,
        /// How long it asks us to wait.
        retry_after: Option<Duration>,
    },
    /// What the server sent is not what the API says.
    #[error("the server's answer to {operation} cannot be read")]
    Unreadable {
        /// What was to be done.
        operation: &'static str,
        /// Where it goes wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The watch ended before the initial list was complete.
    #[error("the initial list ended before it was complete")]
    Unfinished,
    /// The watch was granted and ended at once.
    #[error("the watch ended at once")]
    TooShort,
    /// A page without an end: neither a version to watch from nor another page.
    #[error("the server's list has no resourceVersion")]
    NoVersion,
}

/// What a failure asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    /// Ask again soon: it costs a server that is not there nothing.
    Unreachable,
    /// Ask again later: there is a server, and it had to answer.
    Refused,
    /// The version is too old: list again.
    Expired,
    /// The request itself is not to the server's liking: asking again will not help.
    Rejected,
}

impl Failure {
    /// Every [`Self::reason`].
    pub(super) const REASONS: [&'static str; 7] =
        ["unreachable", "silent", "expired", "refused", "unreadable", "incomplete", "too_short"];

    /// Why, as metrics know it.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Silent { .. } => "silent",
            Self::Refused { status: 410, .. } => "expired",
            Self::Refused { .. } => "refused",
            Self::Unreadable { .. } => "unreadable",
            Self::Unfinished | Self::NoVersion => "incomplete",
            Self::TooShort => "too_short",
        }
    }

    pub(super) fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => Class::Unreachable,
            Self::Refused { status: 410, .. } => Class::Expired,
            Self::Refused { status: 400 | 422, .. } => Class::Rejected,
            Self::Refused { .. } | Self::Unreadable { .. } => Class::Refused,
            Self::Unfinished | Self::TooShort | Self::NoVersion => Class::Refused,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
