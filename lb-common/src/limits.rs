//! Every capacity and timeout, with its reason. Units stand last in the name.

use crate::run::Run;

/// Rows of `SERVICES` unless set otherwise: a row is one port of one Service in one family.
pub const SERVICES: u32 = 1 << 16;
/// Rows of `BACKENDS` unless set otherwise: four a service.
pub const BACKENDS: u32 = 1 << 18;
/// Slots unless set otherwise: hash tables for 4,800 service ports of up to eight endpoints, far
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
/// Tokens of flows that are not confirmed yet, of each family; a flow has one token.
pub const PROVISIONAL: u32 = provisional(FLOWS);
/// Entries of `AFFINITY` unless set otherwise.
pub const AFFINITIES: u32 = 1 << 16;
/// Entries of `UDP_PEERS` unless set otherwise; an unconnected UDP conversation takes two.
pub const UDP_PEERS: u32 = 1 << 16;
/// Entries of `SOURCE_RANGES` unless set otherwise.
pub const SOURCE_RANGES: u32 = 1 << 14;
/// Entries of `NODE_ADDRESSES`: a node with more addresses than this is not one we have met.
pub const NODE_ADDRESSES: u32 = 1 << 10;
/// Entries of `DEVICES`, 97 bytes each: with direct delivery one for each pod, of which a node runs
/// some hundreds at most.
pub const DEVICES: u32 = 1 << 10;

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

/// First source port for flows to backends on other nodes, unless set otherwise. The range keeps
/// clear of NodePorts and of Linux' default ephemeral range (32768 to 60999), so that it cannot
/// collide with a connection the host itself opened.
pub const SNAT_PORT_FIRST: u16 = 10_000;
/// Last source port; see [`SNAT_PORT_FIRST`].
pub const SNAT_PORT_LAST: u16 = NODE_PORT_FIRST - 1;
/// Entries of `POOLS`: made as they are needed, some 4 KiB each.
pub const POOLS: u32 = 1 << 16;
/// How many ports are tried for a new flow; that one of them is held by a flow that the pool knows
/// nothing of is a rare accident.
pub const SNAT_TRIES: u32 = 8;
/// How many flows of a pool without a free port are looked at for one that will not be missed.
pub const SNAT_LOOKS: u32 = 16;
/// Locks of flows that are being ended; more than any machine's CPUs, so that they seldom meet.
pub const LOCKS: u32 = 1 << 10;

/// Of the entries of a flow table, the part that flows may take which are not confirmed yet: one in
/// so many. A flood of first packets gets no further.
pub const PROVISIONAL_SHARE: u32 = 4;
/// How many tokens a new flow looks at: more than one, so that the queue does not grow.
pub const TOKEN_LOOKS: u32 = 2;
/// How many tokens a new flow looks at that found the table full.
pub const TOKEN_LOOKS_PRESSED: u32 = 8;
/// How many tokens one run of the sweeping program looks at.
pub const TOKEN_LOOKS_SWEEP: u32 = 64;

/// A connection whose handshake is not over. As conntrack's SYN_RECV.
pub const TCP_OPENING_S: u32 = 60;
/// As kube-proxy sets conntrack's timeout of an established connection; RFC 5382 asks for at least
/// 2 hours and 4 minutes.
pub const TCP_IDLE_S: u32 = 86_400;
/// One side has closed. As kube-proxy sets conntrack's timeout of CLOSE_WAIT.
pub const TCP_HALF_CLOSED_S: u32 = 3_600;
/// Both sides have closed: TIME_WAIT in Linux.
pub const TCP_CLOSED_S: u32 = 60;
/// A side has reset the connection. As conntrack's CLOSE.
pub const TCP_RESET_S: u32 = 10;
/// An SCTP association. Heartbeats come every 30 seconds unless they are switched off; who did so is
/// given as long as half a TCP connection. All else about associations is as for connections.
pub const SCTP_IDLE_S: u32 = 3_600;
/// Nobody has answered. As conntrack's UDP timeout.
pub const UDP_ONE_WAY_S: u32 = 30;
/// As conntrack's UDP stream timeout, and the least that RFC 4787 admits.
pub const UDP_TWO_WAY_S: u32 = 120;

/// The same while others go without a port or an entry: a connection being opened outlives its
/// first two retransmissions.
pub const TCP_OPENING_PRESSED_S: u32 = 4;
/// A closed connection, by either way: longer than the last packet is under way.
pub const TCP_CLOSED_PRESSED_S: u32 = 2;
/// Longer than an answer takes to come.
pub const UDP_ONE_WAY_PRESSED_S: u32 = 2;
/// A conversation that has gone silent: it is a question and its answer most often.
pub const UDP_TWO_WAY_PRESSED_S: u32 = 5;

/// For so long after it was refreshed a flow's entry is left alone, so that most packets cost no
/// store, and its next hop is believed: a change of routes or neighbours is followed within it.
pub const FLOW_REFRESH_MS: u32 = 250;

/// After so many units of so many seconds, XDP leaves a packet of a flow to tc: half a minute, which
/// is for how long Linux takes a neighbour for reachable without having heard of it.
pub const SHOWN_UNITS: u8 = 8;
/// See [`SHOWN_UNITS`].
pub const SHOWN_UNIT_S: u32 = 4;

/// Default of `sessionAffinityConfig.clientIP.timeoutSeconds`, as Kubernetes documents it.
pub const AFFINITY_TIMEOUT_DEFAULT_S: u32 = 10_800;
/// The longest affinity timeout that Kubernetes admits.
pub const AFFINITY_TIMEOUT_LONGEST_S: u32 = 86_400;

/// How many tokens of provisional flows belong to a flow table of so many entries.
pub const fn provisional(flows: u32) -> u32 {
    let flows = flows / PROVISIONAL_SHARE / 2;
    if flows == 0 { 1 } else { flows }
}

const _: () = assert!(SLOTS <= Run::OFFSETS && NAME_CELLS <= Run::OFFSETS);
const _: () = assert!(SNAT_PORT_LAST < NODE_PORT_FIRST && NODE_PORT_LAST < 32_768);
const _: () = assert!(((SNAT_PORT_LAST - SNAT_PORT_FIRST) as u32) < crate::pool::MOST_PORTS);
const _: () = assert!(LOCKS.is_power_of_two());
