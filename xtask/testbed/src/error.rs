//! What can go wrong while a cluster is made, used or taken down. Every error says what was being
//! done, to what, and why it failed.

use std::{fmt::Display, io};

use nix::errno::Errno;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call or file operation.
    #[error("{operation} {object}")]
    System {
        /// What was being done.
        operation: &'static str,
        /// To what.
        object: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A request about links, addresses or routes.
    #[error("{operation} {object}")]
    Link {
        /// What was being done.
        operation: &'static str,
        /// To what.
        object: String,
        /// Why it failed.
        #[source]
        source: rtnetlink::Error,
    },
    /// A message that a worker process should have understood, or sent.
    #[error("{operation} {object}")]
    Message {
        /// What was being done.
        operation: &'static str,
        /// To what.
        object: String,
        /// Why it failed.
        #[source]
        source: serde_json::Error,
    },
    /// The process lacks rights.
    #[error("this needs {missing}; run it as root, or in a container with these capabilities")]
    NotPrivileged {
        /// The capabilities that are missing.
        missing: String,
    },
    /// There is no cgroup2 hierarchy.
    #[error("no cgroup2 hierarchy is mounted; try: mount -t cgroup2 none /sys/fs/cgroup")]
    NoCgroup2,
    /// A worker process said what went wrong.
    #[error("{worker}: {message}")]
    Worker {
        /// What it was to do.
        worker: String,
        /// Its own words.
        message: String,
    },
    /// The kernel answered in a way the protocol does not know.
    #[error("{operation}: the kernel's answer is cut short")]
    ShortAnswer {
        /// What was being done.
        operation: &'static str,
    },
    /// A pod, node or other place that the cluster does not have.
    #[error("there is no {what} in this cluster")]
    Unknown {
        /// What was asked for.
        what: String,
    },
    /// A node's pod network has no room.
    #[error("no address left for {pod} on {node}")]
    NoAddressLeft {
        /// The pod that wanted one.
        pod: String,
        /// Its node.
        node: String,
    },
    /// An agent ended or never became ready.
    #[error("agent of {node} {what}; its log ends:\n{log_tail}")]
    Agent {
        /// Its node.
        node: String,
        /// What it did.
        what: String,
        /// The last lines of its log.
        log_tail: String,
    },
}

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds what was being done, and to what.
pub(crate) trait During<T> {
    /// Turns the failure into an [`Error`].
    fn during(self, operation: &'static str, object: impl Display) -> Result<T>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, operation: &'static str, object: impl Display) -> Result<T> {
        self.map_err(|source| Error::System { operation, object: object.to_string(), source })
    }
}

impl<T> During<T> for nix::Result<T> {
    fn during(self, operation: &'static str, object: impl Display) -> Result<T> {
        self.map_err(|errno: Errno| io::Error::from(errno)).during(operation, object)
    }
}

impl<T> During<T> for std::result::Result<T, rtnetlink::Error> {
    fn during(self, operation: &'static str, object: impl Display) -> Result<T> {
        self.map_err(|source| Error::Link { operation, object: object.to_string(), source })
    }
}

impl<T> During<T> for serde_json::Result<T> {
    fn during(self, operation: &'static str, object: impl Display) -> Result<T> {
        self.map_err(|source| Error::Message { operation, object: object.to_string(), source })
    }
}
