//! What the programs count: one list for kernel, metrics and command line.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// Index of a counter in `COUNTERS`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u32)]
        pub enum Counter {
            $($(#[$doc])* $name,)*
        }

        impl Counter {
            /// All of them, in the order of their indices.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name people and metrics know it by.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }

            /// Its index in `COUNTERS`.
            #[inline(always)]
            pub const fn index(self) -> u32 {
                self as u32
            }
        }
    };
}

counters! {
    /// Socket calls sent to a backend.
    SocketTranslated = "socket_translated",
    /// Socket calls refused: the service has no endpoint (ECONNREFUSED).
    SocketNoEndpoint = "socket_no_endpoint",
    /// Socket calls refused: Local policy and no endpoint on this node (EHOSTUNREACH).
    SocketNoLocalEndpoint = "socket_no_local_endpoint",
    /// Socket calls refused: the client is in none of the service's source ranges.
    SocketSourceRange = "socket_source_range",
    /// Socket calls refused: a port of a ClusterIP that no service uses (ECONNREFUSED).
    SocketUnusedPort = "socket_unused_port",
    /// Packets of a known flow.
    FlowHit = "flow_hit",
    /// New flows.
    FlowNew = "flow_new",
    /// Flows that were over, and were removed.
    FlowEnded = "flow_ended",
    /// Flows removed before their time: nobody had answered, or they were silent, and another
    /// needed the room or the source port.
    FlowEvicted = "flow_evicted",
    /// UDP flows moved because their backend stopped serving.
    FlowMoved = "flow_moved",
    /// Packets XDP left to tc: partial checksum.
    XdpPartialChecksum = "xdp_partial_checksum",
    /// Packets XDP left to tc: no neighbour yet, or a route only the stack can finish.
    XdpRoute = "xdp_route",
    /// Packets XDP left to tc: to be answered, and larger than the first buffer.
    XdpParts = "xdp_parts",
    /// Packets handed to the device of a pod on this node, past the stack.
    DirectDelivery = "direct_delivery",
    /// Answers of pods on this node sent out by an external device, past the stack.
    DirectReply = "direct_reply",
    /// ICMP errors about translated flows, sent to the end they are for.
    IcmpTranslated = "icmp_translated",
    /// Pings of a VIP, answered.
    VipPing = "vip_ping",
    /// Later fragments that went where the first one did.
    FragmentFollowed = "fragment_followed",
    /// Refused: the service has no endpoint.
    RejectNoEndpoint = "reject_no_endpoint",
    /// Refused: a port of a VIP that no service uses.
    RejectUnusedPort = "reject_unused_port",
    /// Dropped without the answer that was due: too many a second, or to nobody who may be answered.
    DropUnanswered = "drop_unanswered",
    /// Dropped: a later fragment for a VIP whose first one was not seen.
    DropFragment = "drop_fragment",
    /// Dropped: Local policy and no endpoint on this node.
    DropNoLocalEndpoint = "drop_no_local_endpoint",
    /// Dropped: the client is in none of the service's source ranges.
    DropSourceRange = "drop_source_range",
    /// Dropped: a ClusterIP asked for from outside.
    DropClusterIpFromOutside = "drop_cluster_ip_from_outside",
    /// Dropped: no free source port towards the backend.
    DropSnatExhausted = "drop_snat_exhausted",
    /// Dropped: no room for the source ports towards another backend.
    DropSnatPool = "drop_snat_pool",
    /// Dropped: no address of ours to translate the source to.
    DropNoSnatAddress = "drop_no_snat_address",
    /// Dropped: no route to where the translated packet must go.
    DropNoRoute = "drop_no_route",
    /// Dropped: hop limit used up; the sender is told.
    DropTtl = "drop_ttl",
    /// Dropped: does not fit the next link; the sender is told.
    DropTooBig = "drop_too_big",
    /// Dropped: no room for another flow.
    DropFlowTable = "drop_flow_table",
    /// Dropped: the packet could not be rewritten.
    DropRewrite = "drop_rewrite",
    /// A table held an impossible value; the service was treated as having no backend.
    TableInconsistent = "table_inconsistent",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_follow_the_order_and_labels_are_unique() {
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(counter.index() as usize, index);
            let same = Counter::ALL.iter().filter(|other| other.label() == counter.label());
            assert_eq!(same.count(), 1, "{}", counter.label());
        }
    }
}
