//! Clusters made of network namespaces, for tests, demo and bench: nodes with pods, a client
//! beyond a router, a cgroup and a folder of pins a node, agents, servers that tell whom they
//! saw, clients that count who answered, and an API server that fails on cue. Nothing in here
//! knows BPF.
//!
//! A scenario reads like this:
//!
//! ```no_run
//! use lb_testbed::{AgentOptions, Cluster, Families, Launcher, Probe};
//!
//! # fn main() -> lb_testbed::Result<()> {
//! let launcher = Launcher::beside_tests()?;
//! let mut cluster = Cluster::builder(launcher).families(Families::Both).nodes(2).build()?;
//! cluster.add_pod("node1", "web-1")?;
//! let _server = cluster.serve("web-1", &[8080], &[])?;
//! let _agent = cluster.start_agent("node2", &AgentOptions::new("sluice", "manifests"))?;
//! let to = "10.96.0.10:80".parse().expect("an address");
//! let report = cluster.probe("node2", &Probe::tcp(to).requests(600))?;
//! assert_eq!(report.by_pod().get("web-1"), Some(&600));
//! # Ok(())
//! # }
//! ```
//!
//! All of it goes when the values go. What a killed process leaves behind is removed by the next
//! cluster, as every name says whose it is ([`sweep`]).

mod agent;
pub mod api;
mod cgroup;
mod cluster;
mod enter;
mod error;
mod ethtool;
pub mod firewall;
pub mod guest;
mod links;
mod netlink;
mod netns;
mod pins;
mod process;
mod rights;
mod run;
mod statistics;
pub mod worker;

pub use agent::{Agent, AgentOptions, Source};
pub use api::ApiServer;
pub use cluster::{Builder, CLIENT, CONTROL, Cluster, Families};
pub use enter::enter;
pub use error::{Error, Result};
pub use ethtool::Feature;
pub use links::Links;
pub use netns::Netns;
pub use process::{Launcher, RunningProbe, Worker, spawn};
pub use rights::require as require_rights;
pub use run::sweep;
pub use statistics::even_spread_p;
pub use worker::{
    Amount, Answer, Container, Exchange, Latency, Load, Loaded, Pattern, Place, Probe, Report,
    Serve, Transport, Volume,
};
