//! What can keep this room from watching. Objects that cannot be used are not errors but
//! [`Rejection`](crate::model::Rejection)s.

use std::{io, path::PathBuf};

/// Why a source of news could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The folder cannot be listed.
    #[error("cannot read the manifest folder {}", dir.display())]
    ReadFolder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be watched.
    #[error("cannot watch the manifest folder {} (inotify)", dir.display())]
    WatchFolder {
        /// The folder.
        dir: PathBuf,
        /// Why; "too many open files" means the limit fs.inotify.max_user_instances.
        #[source]
        source: io::Error,
    },
    /// The kubeconfig names no server and credentials that could be used.
    #[error("cannot use the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// No kubeconfig was named, and this is no pod with a service account.
    #[error("cannot find an API server: no --kubeconfig, and not in a pod")]
    InCluster(#[source] kube::config::InClusterError),
    /// What the kubeconfig or the service account says cannot be made a client of.
    #[error("cannot make a client for the API server")]
    Client(#[source] kube::Error),
    /// A netlink socket cannot be opened or has failed.
    #[error("cannot {operation} over rtnetlink")]
    Netlink {
        /// What was to be done.
        operation: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel did not list its links, addresses or routes.
    #[error("cannot list {what} over rtnetlink")]
    Dump {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: rtnetlink::Error,
    },
}
