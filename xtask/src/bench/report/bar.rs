//! The budgets that the design sets. A report names every one of them, measured or not.

use serde::{Deserialize, Serialize};

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bar {
    /// The socket path.
    ClusterIp,
    /// The packet path, through the stack of the node.
    NodePort,
    /// The packet path, past it.
    DirectDelivery,
    /// The packet program by itself.
    Packet,
    /// A start.
    Load,
    /// A change.
    Change,
    /// What a change asks of the kernel.
    ChangeCalls,
    /// What the kernel keeps.
    KernelMemory,
    /// What the agent keeps.
    Resident,
    /// Agents that die, and programs that are replaced.
    Upgrades,
}

impl Bar {
    /// All, in the order of the report.
    pub const ALL: [Self; 10] = [
        Self::ClusterIp,
        Self::NodePort,
        Self::DirectDelivery,
        Self::Packet,
        Self::Load,
        Self::Change,
        Self::ChangeCalls,
        Self::KernelMemory,
        Self::Resident,
        Self::Upgrades,
    ];

    /// What it is about.
    pub fn what(self) -> &'static str {
        match self {
            Self::ClusterIp => "requests a second to a ClusterIP / direct, 10 to 30,000 services",
            Self::NodePort => "requests a second to a NodePort, backend there / direct",
            Self::DirectDelivery => "the same with direct delivery / direct",
            Self::Packet => "XDP, known flow, backend elsewhere / parse and send back, ns a packet",
            Self::Load => "load 10,000 services x 4 endpoints from memory",
            Self::Change => "one endpoint changed at 10,000 services, p99",
            Self::ChangeCalls => "system calls to tables for those changes",
            Self::KernelMemory => "kernel memory a service with 4 endpoints, beyond the first size",
            Self::Resident => "agent, resident, 10,000 services x 4 endpoints",
            Self::Upgrades => "failed or cut connections over 100 kills and 100 upgrades",
        }
    }

    /// What is asked.
    pub fn asked(self) -> &'static str {
        match self {
            Self::ClusterIp => ">= 0.97",
            Self::NodePort => ">= 0.95",
            Self::DirectDelivery => ">= 1.05",
            Self::Packet => "<= 3",
            Self::Load => "<= 100 ms",
            Self::Change => "<= 1000 us",
            Self::ChangeCalls | Self::Upgrades => "<= 0",
            Self::KernelMemory => "<= 192 B",
            Self::Resident => "<= 64 MiB",
        }
    }
}
