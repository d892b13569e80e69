//! What was typed, as it was typed.

use std::path::PathBuf;

use lb_common::limits;

/// Settings of `sluice agent`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct RawAgent {
    /// Folder of Service and EndpointSlice manifests to follow
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// Name of this node, as endpoints name it [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// Cgroup whose processes are served [default: the root of the cgroup2 mount]
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,
    /// External and overlay devices, as patterns of names [default: those that routes use]
    #[arg(long, value_name = "GLOB,...", value_delimiter = ',')]
    pub interfaces: Vec<String>,
    /// Where XDP programs run: auto, native, generic or off
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub xdp: String,
    /// Folder on a bpf filesystem that programs and tables are pinned in
    #[arg(long, value_name = "DIR", default_value = PIN_PATH)]
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
    /// Addresses of the node on which NodePorts answer: networks, `primary`, `localhost`, `all`
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',', default_value = "all")]
    pub nodeport_addresses: Vec<String>,
    /// Let clients from outside the cluster use ClusterIPs
    #[arg(long)]
    pub external_cluster_ip: bool,
    /// Log more, the kernel side included
    #[arg(short, long)]
    pub verbose: bool,
    /// How log lines are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Last, as flags after its heading would stand below it.
    #[command(flatten)]
    pub tables: RawTables,
}

/// Default of `--pin-path`.
pub const PIN_PATH: &str = "/sys/fs/bpf/sluice";

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
    /// Places in lists of endpoints
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
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines, one object a line.
    Json,
}
