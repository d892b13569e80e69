//! What was typed, as it was typed.

use std::path::PathBuf;

use lb_common::limits;
use serde::Serialize;

/// Settings of `sluice agent`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct RawAgent {
    /// Folder of Service and EndpointSlice manifests to follow, instead of a cluster
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// How to reach the cluster's API server [default: as a pod, by its service account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A KubeProxyConfiguration, for what is not given by a flag; what it says without effect is
    /// listed in the log
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of this node, as endpoints name it [default: $NODE_NAME, else the host's name]
    #[arg(long, value_name = "NAME", visible_alias = "hostname-override")]
    pub node_name: Option<String>,
    /// Cgroup whose processes are served [default: the root of the cgroup2 mount]
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,
    /// External and overlay devices, as patterns of names [default: those that routes use]
    #[arg(long, value_name = "GLOB,...", value_delimiter = ',')]
    pub interfaces: Vec<String>,
    /// Devices behind which pods are, as patterns of names: what comes by them past the socket
    /// hooks is served packet by packet [default: none]
    #[arg(long, value_name = "GLOB,...", value_delimiter = ',')]
    pub pod_interfaces: Vec<String>,
    /// Where XDP programs run: auto, native, generic or off
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub xdp: String,
    /// Folder on a bpf filesystem that programs and tables are pinned in
    #[arg(long, value_name = "DIR", default_value = PIN_PATH, env = PIN_PATH_VARIABLE)]
    pub pin_path: PathBuf,
    /// Network that missing ClusterIPs are allotted from; once for each family
    #[arg(long, value_name = "CIDR", value_delimiter = ',', default_value = "10.96.0.0/12")]
    pub service_cidr: Vec<String>,
    /// Ports that NodePorts are in
    #[arg(long, value_name = "FIRST-LAST", default_value = "30000-32767")]
    pub service_node_port_range: String,
    /// Source ports of ours, towards backends on other nodes: nothing else may use them
    #[arg(long, value_name = "FIRST-LAST", default_value = "10000-29999")]
    pub snat_ports: String,
    /// Addresses of the node on which NodePorts answer: networks, `primary`, `localhost`, `all`.
    /// Networks of one family alone leave the other one open [default: all]
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',')]
    pub nodeport_addresses: Vec<String>,
    /// Let clients from outside the cluster use ClusterIPs
    #[arg(long)]
    pub external_cluster_ip: bool,
    /// Hand packets from outside straight to the device of a pod on this node, and its answers
    /// straight out, past the node's stack and its packet filters
    #[arg(long)]
    pub direct_delivery: bool,
    /// Where /healthz and /livez are served; nothing or 0: nowhere [default: all addresses, 10256]
    #[arg(long, value_name = "IP:PORT")]
    pub healthz_bind_address: Option<String>,
    /// Where /metrics and /proxyMode are served; nothing or 0: nowhere [default: 127.0.0.1:10249]
    #[arg(long, value_name = "IP:PORT")]
    pub metrics_bind_address: Option<String>,
    /// End if one of these addresses cannot be bound, instead of trying again [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true")]
    pub bind_address_hard_fail: Option<bool>,
    /// Start although kube-proxy, or another Service proxy, is active on this node
    #[arg(long)]
    pub allow_kube_proxy: bool,
    /// Answer pings of load-balancer VIPs and ExternalIPs
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    pub vip_ping: bool,
    /// Refuse ports of load-balancer VIPs and ExternalIPs that no Service uses, which the node
    /// would else route on
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    pub reject_unused_ports: bool,
    /// Log more, the kernel side included
    #[arg(short, long)]
    pub verbose: bool,
    /// How log lines are written [default: text]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Last, as flags after its heading would stand below it.
    #[command(flatten)]
    pub tables: RawTables,
}

/// Default of `--pin-path`.
pub const PIN_PATH: &str = "/sys/fs/bpf/sluice";
/// What says the same as `--pin-path`: a container has it for every command that is run in it.
pub const PIN_PATH_VARIABLE: &str = "SLUICE_PIN_PATH";

/// Sizes of the kernel's tables. They are allocated whole when the agent first starts.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Table sizes")]
pub struct RawTables {
    /// Service ports, counted once for each family
    #[arg(long, value_name = "N", default_value_t = limits::SERVICES)]
    pub max_services: u32,
    /// Endpoints of service ports
    #[arg(long, value_name = "N", default_value_t = limits::BACKENDS)]
    pub max_backends: u32,
    /// Places in lists of endpoints and in their hash tables
    #[arg(long, value_name = "N", default_value_t = limits::SLOTS)]
    pub max_slots: u32,
    /// Addresses and ports that services answer on, of each family
    #[arg(long, value_name = "N", default_value_t = limits::FRONTENDS)]
    pub max_frontends: u32,
    /// Entries of the flow table of each family; a connection takes two
    #[arg(long, value_name = "N", default_value_t = limits::FLOWS)]
    pub max_flows: u32,
    /// Clients with session affinity
    #[arg(long, value_name = "N", default_value_t = limits::AFFINITIES)]
    pub max_affinities: u32,
    /// Ends of conversations of unconnected UDP sockets
    #[arg(long, value_name = "N", default_value_t = limits::UDP_PEERS)]
    pub max_udp_peers: u32,
    /// Networks in loadBalancerSourceRanges
    #[arg(long, value_name = "N", default_value_t = limits::SOURCE_RANGES)]
    pub max_source_ranges: u32,
}

/// How log lines are written.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines, one object a line.
    Json,
}
