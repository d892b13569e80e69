//! What becomes of a packet, and what every error becomes.

use lb_common::counter::Counter;

use crate::answer::Answer;

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// On to whoever comes next (the next program, the host's stack): untouched if it is not ours,
    /// rewritten if the stack is to deliver it.
    Pass,
    /// Rewritten, for a backend that the stack reaches: the same, unless tc is to hand it to a device.
    Local,
    /// No flow knows it, untouched: whether a service does is asked next.
    Unknown,
    /// Neither TCP nor UDP, untouched: whether it is ICMP about either is asked next.
    Other,
    /// A new flow, prepared: to be entered, and then delivered.
    Enter,
    /// Untouched, from XDP to tc, which can always finish what XDP cannot; counted.
    LeaveToTc(Counter),
    /// Rewritten, out of the device with this ifindex.
    Send(u32),
    /// Rewritten, in at the far end of the device with this ifindex; only at tc.
    PutIn(u32),
    /// Made into its own answer, out of the device it came by.
    Back,
    /// Untouched, to be made into this answer; counted.
    Answer(Answer, Counter),
    /// Gone; counted.
    Drop(Counter),
}

/// What can go wrong on a packet's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A frontend without an endpoint on any node.
    NoEndpoint,
    /// A port of a VIP that no service uses.
    UnusedPort,
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
    /// Larger than the next link takes, which is so many bytes.
    TooBig(u16),
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
    /// All are drops, some of which the sender is told of; but what XDP cannot finish, tc can.
    #[inline(always)]
    pub const fn verdict(self) -> Verdict {
        Verdict::Drop(match self {
            Self::Unfinished(counter) => return Verdict::LeaveToTc(counter),
            Self::NoEndpoint => return Verdict::Answer(Answer::Refuse, Counter::RejectNoEndpoint),
            Self::UnusedPort => return Verdict::Answer(Answer::Refuse, Counter::RejectUnusedPort),
            Self::Ttl => return Verdict::Answer(Answer::TimeExceeded, Counter::DropTtl),
            Self::TooBig(mtu) => {
                return Verdict::Answer(Answer::TooBig(mtu), Counter::DropTooBig);
            }
            Self::NoLocalEndpoint => Counter::DropNoLocalEndpoint,
            Self::SourceRange => Counter::DropSourceRange,
            Self::ClusterIpFromOutside => Counter::DropClusterIpFromOutside,
            Self::SnatExhausted => Counter::DropSnatExhausted,
            Self::SnatPool => Counter::DropSnatPool,
            Self::NoSnatAddress => Counter::DropNoSnatAddress,
            Self::NoRoute => Counter::DropNoRoute,
            Self::FlowTable => Counter::DropFlowTable,
            Self::Rewrite => Counter::DropRewrite,
        })
    }
}

/// Why a socket call is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Refusal {
    /// A port of a ClusterIP that no service uses.
    UnusedPort,
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
            Self::UnusedPort | Self::NoEndpoint => ECONNREFUSED,
            Self::NoLocalEndpoint | Self::SourceRange => EHOSTUNREACH,
        }
    }

    /// What is counted.
    #[inline(always)]
    pub const fn counter(self) -> Counter {
        match self {
            Self::UnusedPort => Counter::SocketUnusedPort,
            Self::NoEndpoint => Counter::SocketNoEndpoint,
            Self::NoLocalEndpoint => Counter::SocketNoLocalEndpoint,
            Self::SourceRange => Counter::SocketSourceRange,
        }
    }
}
