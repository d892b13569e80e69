//! What the operator decided: first as typed ([`RawAgent`]) and written ([`kube_proxy`]), then
//! checked ([`Config`]).
//!
//! [`check`] finds every problem at once and touches nothing. Flags win over the file of
//! `--config`, that over the environment, and that over defaults. Built once, by the command line,
//! and handed to [`agent`](crate::agent), which gives each part its own share.

mod addresses;
mod check;
pub mod kube_proxy;
mod listen;
mod raw;
mod source;
mod surroundings;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

pub use addresses::NodePortAddresses;
pub use check::{Problem, Problems, check};
pub use raw::{LogFormat, PIN_PATH, PIN_PATH_VARIABLE, RawAgent, RawTables};
pub use surroundings::Surroundings;

use crate::kernel::{Sizes, XdpMode};

/// The agent's settings, checked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Where Services and their endpoints come from.
    pub source: Source,
    /// This node's name.
    #[serde(serialize_with = "text")]
    pub node_name: Arc<str>,
    /// The cgroup that the socket programs serve; `None`: the root of the cgroup2 mount.
    pub cgroup: Option<PathBuf>,
    /// Patterns of device names; `None`: the devices that routes to the outside use.
    pub interfaces: Option<Vec<String>>,
    /// Patterns of the names of devices behind which pods are.
    pub pod_interfaces: Vec<String>,
    /// Where XDP runs.
    pub xdp: XdpMode,
    /// Folder of pins.
    pub pin_path: PathBuf,
    /// Networks that ClusterIPs are allotted from, one per family at most.
    pub service_cidrs: Vec<IpNet>,
    /// First and last NodePort.
    pub node_ports: (u16, u16),
    /// First and last source port of ours, of flows to backends elsewhere.
    pub snat_ports: (u16, u16),
    /// The addresses on which NodePorts answer.
    pub node_port_addresses: NodePortAddresses,
    /// ClusterIPs answer clients from outside.
    pub external_cluster_ip: bool,
    /// Packets from outside are handed to pods' devices past the stack.
    pub direct_delivery: bool,
    /// Where the node's health is served; `None`: nowhere.
    pub healthz: Option<SocketAddr>,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// An address that cannot be bound ends the agent.
    pub bind_hard_fail: bool,
    /// Start beside another Service proxy.
    pub allow_kube_proxy: bool,
    /// VIPs answer pings from outside.
    pub vip_ping: bool,
    /// Ports of VIPs that no Service uses are refused to clients outside.
    pub reject_unused_ports: bool,
    /// Sizes of the tables.
    pub sizes: Sizes,
    /// Log more, and use the kernel object that logs.
    pub verbose: bool,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// What is to be said once, at the start, about how the settings came to be.
    #[serde(skip)]
    pub remarks: Vec<String>,
}

/// Where Services and their endpoints come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A folder of manifests.
    Manifests(PathBuf),
    /// A cluster's API server.
    Kubernetes {
        /// How to reach it; `None`: as a pod does.
        kubeconfig: Option<PathBuf>,
    },
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
