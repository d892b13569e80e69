//! What the operator decided: first as typed ([`RawAgent`]), then checked ([`Config`]).
//!
//! [`check`] finds every problem at once and touches nothing. Built once, by the command line, and
//! handed to [`agent`](crate::agent), which gives each part its own share.

mod addresses;
mod check;
mod raw;

use std::{path::PathBuf, sync::Arc};

use ipnet::IpNet;

pub use addresses::NodePortAddresses;
pub use check::{Problem, Problems, check};
pub use raw::{LogFormat, PIN_PATH, RawAgent, RawTables};

use crate::kernel::{Sizes, XdpMode};

/// The agent's settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where manifests are.
    pub manifests: PathBuf,
    /// This node's name.
    pub node_name: Arc<str>,
    /// The cgroup that the socket programs serve; `None`: the root of the cgroup2 mount.
    pub cgroup: Option<PathBuf>,
    /// Patterns of device names; `None`: the devices that routes to the outside use.
    pub interfaces: Option<Vec<String>>,
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
    /// Sizes of the tables.
    pub sizes: Sizes,
    /// Log more, and use the kernel object that logs.
    pub verbose: bool,
    /// How log lines are written.
    pub log_format: LogFormat,
}
