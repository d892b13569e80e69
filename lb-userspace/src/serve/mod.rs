//! What the agent tells: probes, metrics, and the health checks of load balancers. Nothing here
//! changes anything but its own listeners.
//!
//! | where | what | module |
//! | --- | --- | --- |
//! | `:10256` | `/healthz`, `/livez`, `/readyz` | [`probes`] |
//! | `127.0.0.1:10249` | `/metrics`, `/proxyMode`, `/configz`, `/healthz` | [`admin`] |
//! | each `healthCheckNodePort` | one Service's local endpoints | [`services`] |
//!
//! Ports, paths, headers, JSON keys and metric names are kube-proxy's wherever the meaning is the
//! same, so that what was built around it goes on working. [`agent`](crate::agent) wires and runs
//! these; whether the agent is well is decided by [`Pulse`](crate::reconcile::Pulse) and
//! [`Ready`](crate::task::ready::Ready).

pub mod admin;
mod answer;
mod clock;
mod connection;
mod datapath;
mod exposition;
pub mod listen;
pub mod probes;
mod process;
pub mod services;

use std::{io, net::SocketAddr};

pub use datapath::Datapath;
pub use process::Process;

use crate::model::ServiceName;

/// See the variants.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address cannot be had, and that was to be the end.
    #[error("listening on {address} for {server}")]
    Bind {
        /// Whose.
        server: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A server ended.
    #[error("serving {server}")]
    Serve {
        /// Which.
        server: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Something that the owner of a Service should hear of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incident {
    /// The Service.
    pub service: ServiceName,
    /// Why, as one word for machines.
    pub reason: &'static str,
    /// What was being done.
    pub action: &'static str,
    /// What happened, for people.
    pub note: String,
}
