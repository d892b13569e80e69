//! What becomes of a packet, and what every error becomes.

use lb_common::counter::Counter;

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// On to whoever comes next (the next program, the host's stack): untouched if it is not ours,
    /// rewritten if the stack is to deliver it.
    Pass,
    /// No flow knows it, untouched: whether a service does is asked next.
    Unknown,
    /// A new flow, prepared: to be entered, and then delivered.
    Enter,
    /// Untouched, from XDP to tc, which can always finish what XDP cannot; counted.
    LeaveToTc(Counter),
    /// Rewritten, out of the device with this ifindex.
    Send(u32),
    /// Gone; counted.
    Drop(Counter),
}

/// What can go wrong on a packet's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A frontend without an endpoint on any node.
    NoEndpoint {
        /// It is a NodePort, so the address is the node's own.
        node_port: bool,
    },
    /// Local policy, endpoints elsewhere only.
    NoLocalEndpoint,
    /// The client is in none of the service's source ranges.
    SourceRange,
    /// A ClusterIP asked for from outside.
    ClusterIpFromOutside,
    /// No free source port.
    SnatExhausted,
    /// No room for the source ports towards another backend.
    SnatPool,
    /// The device the packet must leave by has no address of its family.
    NoSnatAddress,
    /// No route to where the packet must go.
    NoRoute,
    /// Hop limit used up.
    Ttl,
    /// Larger than the next link takes.
    TooBig,
    /// No room for another flow.
    FlowTable,
    /// The packet could not be rewritten.
    Rewrite,
    /// XDP cannot finish this, for the reason counted; tc can.
    Unfinished(Counter),
}

impl Fault {
    /// The one table of what errors become.
    ///
    /// All are drops but two: a packet for a NodePort without endpoints goes up to the stack, which
    /// has nobody listening there and answers as it does for any closed port; and what XDP cannot
    /// finish, tc can.
    #[inline(always)]
    pub const fn verdict(self) -> Verdict {
        Verdict::Drop(match self {
            Self::NoEndpoint { node_port: true } => return Verdict::Pass,
            Self::Unfinished(counter) => return Verdict::LeaveToTc(counter),
            Self::NoEndpoint { node_port: false } => Counter::DropNoEndpoint,
            Self::NoLocalEndpoint => Counter::DropNoLocalEndpoint,
            Self::SourceRange => Counter::DropSourceRange,
            Self::ClusterIpFromOutside => Counter::DropClusterIpFromOutside,
            Self::SnatExhausted => Counter::DropSnatExhausted,
            Self::SnatPool => Counter::DropSnatPool,
            Self::NoSnatAddress => Counter::DropNoSnatAddress,
            Self::NoRoute => Counter::DropNoRoute,
            Self::Ttl => Counter::DropTtl,
            Self::TooBig => Counter::DropTooBig,
            Self::FlowTable => Counter::DropFlowTable,
            Self::Rewrite => Counter::DropRewrite,
        })
    }
}

/// Why a socket call is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Refusal {
    /// No endpoint on any node.
    NoEndpoint,
    /// Local policy, endpoints elsewhere only.
    NoLocalEndpoint,
    /// The client is in none of the service's source ranges.
    SourceRange,
}

impl Refusal {
    /// The errno the process gets.
    #[inline(always)]
    pub const fn errno(self) -> i32 {
        const EHOSTUNREACH: i32 = 113;
        const ECONNREFUSED: i32 = 111;
        match self {
            Self::NoEndpoint => ECONNREFUSED,
            Self::NoLocalEndpoint | Self::SourceRange => EHOSTUNREACH,
        }
    }

    /// What is counted.
    #[inline(always)]
    pub const fn counter(self) -> Counter {
        match self {
            Self::NoEndpoint => Counter::SocketNoEndpoint,
            Self::NoLocalEndpoint => Counter::SocketNoLocalEndpoint,
            Self::SourceRange => Counter::SocketSourceRange,
        }
    }
}
