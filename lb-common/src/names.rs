//! Names of maps and programs as they stand in the object.

/// Frontends of IPv4: [`crate::frontend`].
pub const FRONTENDS_V4: &str = "FRONTENDS_V4";
/// Frontends of IPv6.
pub const FRONTENDS_V6: &str = "FRONTENDS_V6";
/// The node's own addresses: [`crate::frontend::node_address`].
pub const NODE_ADDRESSES: &str = "NODE_ADDRESSES";
/// [`crate::service::Service`] by index.
pub const SERVICES: &str = "SERVICES";
/// Backend indices by position.
pub const SLOTS: &str = "SLOTS";
/// [`crate::backend::Backend`] by index.
pub const BACKENDS: &str = "BACKENDS";
/// [`crate::service::NameCell`] by position.
pub const NAMES: &str = "NAMES";
/// [`crate::flow`] of IPv4.
pub const FLOWS_V4: &str = "FLOWS_V4";
/// [`crate::flow`] of IPv6.
pub const FLOWS_V6: &str = "FLOWS_V6";
/// Tokens of IPv4 flows that are not confirmed yet: [`crate::flow::Token`].
pub const PROVISIONAL_V4: &str = "PROVISIONAL_V4";
/// Tokens of IPv6 flows that are not confirmed yet.
pub const PROVISIONAL_V6: &str = "PROVISIONAL_V6";
/// Tokens of confirmed IPv4 flows.
pub const CONFIRMED_V4: &str = "CONFIRMED_V4";
/// Tokens of confirmed IPv6 flows.
pub const CONFIRMED_V6: &str = "CONFIRMED_V6";
/// [`crate::pool`].
pub const POOLS: &str = "POOLS";
/// [`crate::pool::Lock`] by the low bits of a flow's id.
pub const LOCKS: &str = "LOCKS";
/// [`crate::affinity`].
pub const AFFINITY: &str = "AFFINITY";
/// [`crate::source_range`].
pub const SOURCE_RANGES: &str = "SOURCE_RANGES";
/// [`crate::socket::UdpPeer`].
pub const UDP_PEERS: &str = "UDP_PEERS";
/// [`crate::socket::Origin`] of connected sockets.
pub const SOCKET_ORIGIN: &str = "SOCKET_ORIGIN";
/// [`crate::device::Device`] by ifindex.
pub const DEVICES: &str = "DEVICES";
/// VIPs: [`crate::vip`].
pub const VIPS: &str = "VIPS";
/// [`crate::fragment`].
pub const FRAGMENTS: &str = "FRAGMENTS";
/// [`crate::counter::Counter`] by index, per CPU.
pub const COUNTERS: &str = "COUNTERS";

/// Global: [`crate::settings::flags`].
pub const GLOBAL_FLAGS: &str = "FLAGS";
/// Global: first NodePort.
pub const GLOBAL_NODE_PORT_FIRST: &str = "NODE_PORT_FIRST";
/// Global: last NodePort.
pub const GLOBAL_NODE_PORT_LAST: &str = "NODE_PORT_LAST";

/// Global: first source port of ours.
pub const GLOBAL_SNAT_PORT_FIRST: &str = "SNAT_PORT_FIRST";
/// Global: [`crate::limits::FLOW_REFRESH_MS`] in jiffies of this kernel.
pub const GLOBAL_FLOW_REFRESH_JIFFIES: &str = "FLOW_REFRESH_JIFFIES";
/// Global: how many source ports of ours there are.
pub const GLOBAL_SNAT_PORTS: &str = "SNAT_PORTS";

/// Cgroup programs, by the hook they are for.
pub const SOCKET_PROGRAMS: [&str; 8] = [
    "connect4",
    "connect6",
    "sendmsg4",
    "sendmsg6",
    "recvmsg4",
    "recvmsg6",
    "getpeername4",
    "getpeername6",
];
/// XDP program of an external device.
pub const XDP_INGRESS: &str = "xdp_ingress";
/// tc ingress program of an external device.
pub const TC_INGRESS: &str = "tc_ingress";
/// tc egress program of an external device.
pub const TC_EGRESS: &str = "tc_egress";
/// tc ingress program of a device that pods are behind, for what they answer.
pub const TC_REPLY: &str = "tc_reply";
/// The program that looks through flows; it sits on no hook, the agent runs it.
pub const SWEEP: &str = "sweep";
