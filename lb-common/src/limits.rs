//! Every capacity and timeout, with its reason. Units stand last in the name.

use crate::run::Run;

/// Rows of `SERVICES` unless set otherwise: a row is one port of one Service in one family.
pub const SERVICES: u32 = 1 << 16;
/// Rows of `BACKENDS` unless set otherwise: four a service.
pub const BACKENDS: u32 = 1 << 18;
/// Slots unless set otherwise: hash tables for 5,000 service ports of up to eight endpoints, far
/// more than there are NodePorts, and the lists. A change needs the new run beside the old one
/// until the old one's readers are gone.
pub const SLOTS: u32 = 1 << 22;
/// The largest weight of an endpoint. A list has at most this many slots an endpoint, about as many
/// as a hash table has.
pub const WEIGHT_LARGEST: u16 = 100;
/// Cells of `NAMES` unless set otherwise: names of up to 64 bytes on average.
pub const NAME_CELLS: u32 = 4 * SERVICES;
/// Entries of each frontend table unless set otherwise: ClusterIP and NodePort of each service.
pub const FRONTENDS: u32 = 2 * SERVICES;
/// Entries of each flow table unless set otherwise; a flow takes two.
pub const FLOWS: u32 = 1 << 18;
/// Entries of `AFFINITY` unless set otherwise.
pub const AFFINITIES: u32 = 1 << 16;
/// Entries of `UDP_PEERS` unless set otherwise; an unconnected UDP conversation takes two.
pub const UDP_PEERS: u32 = 1 << 16;
/// Entries of `SOURCE_RANGES` unless set otherwise.
pub const SOURCE_RANGES: u32 = 1 << 14;
/// Entries of `NODE_ADDRESSES`: a node with more addresses than this is not one we have met.
pub const NODE_ADDRESSES: u32 = 1 << 10;
/// Entries of `DEVICES`.
pub const DEVICES: u32 = 1 << 8;

/// Entries of `FRAGMENTS`: datagrams in fragments under way, each for the blink of an eye.
pub const FRAGMENTS: u32 = 1 << 12;
/// For how long the first fragment of a datagram speaks for the others, as Linux waits for them.
pub const FRAGMENT_S: u32 = 30;

/// Nanoseconds between two ICMP errors that a CPU makes: a thousand a second, as the kernel's own
/// `icmp_msgs_per_sec`.
pub const ICMP_EVERY_NS: u64 = 1_000_000;
/// How many of them may come at once, as `icmp_msgs_burst`.
pub const ICMP_BURST: u64 = 50;

/// What a link takes that does not say what it takes (the FIB of kernels before 5.12): IPv6's least.
pub const LEAST_MTU: u16 = 1_280;

/// First and last NodePort, as the API server allots them by default.
pub const NODE_PORT_FIRST: u16 = 30_000;
/// See [`NODE_PORT_FIRST`].
pub const NODE_PORT_LAST: u16 = 32_767;

/// First source port for flows to backends on other nodes. The range keeps clear of NodePorts and
/// of Linux' default ephemeral range (32768 to 60999), so that it cannot collide with a connection
/// the host itself opened.
pub const SNAT_PORT_FIRST: u16 = 10_000;
/// Last source port; see [`SNAT_PORT_FIRST`].
pub const SNAT_PORT_LAST: u16 = NODE_PORT_FIRST - 1;
/// How many source ports are tried for a new flow before it is dropped.
pub const SNAT_TRIES: u32 = 16;

/// A TCP connection that has seen a FIN or RST, and nothing else for so long, is over at both ends:
/// Linux keeps TIME_WAIT this long. Its source port may be given to another flow.
pub const TCP_CLOSED_S: u32 = 60;
/// As conntrack's default for UDP that went both ways.
pub const UDP_IDLE_S: u32 = 120;
/// As kube-proxy sets conntrack's timeout of an established connection.
pub const TCP_IDLE_S: u32 = 86_400;

/// A flow entry is written at most once in this many jiffies (a quarter of a second to two and a
/// half, by the kernel's HZ): packets in between cost no store.
pub const FLOW_REFRESH_JIFFIES: u32 = 250;

/// Default of `sessionAffinityConfig.clientIP.timeoutSeconds`, as Kubernetes documents it.
pub const AFFINITY_TIMEOUT_DEFAULT_S: u32 = 10_800;
/// The longest affinity timeout that Kubernetes admits.
pub const AFFINITY_TIMEOUT_LONGEST_S: u32 = 86_400;

const _: () = assert!(SLOTS <= Run::OFFSETS && NAME_CELLS <= Run::OFFSETS);
const _: () = assert!(SNAT_PORT_LAST < NODE_PORT_FIRST && NODE_PORT_LAST < 32_768);
