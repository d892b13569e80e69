//! The budgets that the design sets. A report names every one of them, measured or not.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::figure::mark;

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
    pub fn limit(self) -> Limit {
        match self {
            Self::ClusterIp => Limit::AtLeast(0.97),
            Self::NodePort => Limit::AtLeast(0.95),
            Self::DirectDelivery => Limit::AtLeast(1.05),
            Self::Packet => Limit::AtMost(3.0, ""),
            Self::Load => Limit::AtMost(100.0, "ms"),
            Self::Change => Limit::AtMost(1_000.0, "us"),
            Self::ChangeCalls | Self::Upgrades => Limit::AtMost(0.0, ""),
            // 128 of its own, and 16 for each of its endpoints.
            Self::KernelMemory => Limit::AtMost(128.0 + 4.0 * 16.0, "B"),
            Self::Resident => Limit::AtMost(64.0, "MiB"),
        }
    }
}

/// A limit, of a value in a unit or of a ratio.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Limit {
    /// The most that is allowed, and its unit.
    AtMost(f64, &'static str),
    /// The least.
    AtLeast(f64),
}

impl Limit {
    /// The unit of what is limited.
    pub fn unit(self) -> &'static str {
        match self {
            Self::AtMost(_, unit) => unit,
            Self::AtLeast(_) => "",
        }
    }

    /// Whether a value is within it.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit, _) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit, "") => write!(f, "<= {}", mark(*limit)),
            Self::AtMost(limit, unit) => write!(f, "<= {} {unit}", mark(*limit)),
            Self::AtLeast(limit) => write!(f, ">= {}", mark(*limit)),
        }
    }
}
