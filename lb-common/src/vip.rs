//! Addresses that belong to Services and to nobody else: the table `VIPS`.
//!
//! Value of an address: a set of [`flags`], of all the frontends that have it.

/// Flags of a VIP.
pub mod flags {
    /// Some Service has it as a ClusterIP.
    pub const CLUSTER_IP: u32 = 1 << 0;
    /// Some Service has it as an ExternalIP or a load balancer's.
    pub const EXTERNAL: u32 = 1 << 1;
}
