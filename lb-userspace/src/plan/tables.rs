//! From model to table content, one value at a time. Which place it goes to is not decided here.

use std::net::IpAddr;

use ipnet::IpNet;
use lb_common::{
    Address, Be16, Family, Protocol, V4, V6, backend,
    frontend::{FrontendKey, kind, scope},
    service::{ServiceSettings, flags},
    source_range,
};

use super::FrontendAt;
use crate::model::{Backend, Frontend, FrontendKind, IpFamily, PortId, ServicePort};

/// The settings word of a port's row.
pub(super) fn settings(port: &ServicePort) -> ServiceSettings {
    let options = [
        (port.internal_local, flags::INTERNAL_LOCAL),
        (port.external_local, flags::EXTERNAL_LOCAL),
        (port.affinity_timeout_s.is_some(), flags::AFFINITY),
        (!port.source_ranges.is_empty(), flags::SOURCE_RANGES),
        (port.id.family == IpFamily::V6, flags::IPV6),
    ];
    let set = options.iter().filter(|(on, _)| *on).fold(0, |set, (_, flag)| set | flag);
    let protocol = u32::from(port.id.protocol.number()) << flags::PROTOCOL_SHIFT;
    ServiceSettings {
        flags: flags::LIVE | protocol | set,
        affinity_timeout_s: port.affinity_timeout_s.unwrap_or(0),
    }
}

/// Protocol and family of a row, read back from its settings.
pub(super) fn kind_of_row(settings: ServiceSettings) -> Option<(Protocol, IpFamily)> {
    let protocol = Protocol::from_number((settings.flags >> flags::PROTOCOL_SHIFT) as u8)?;
    let ipv6 = settings.flags & flags::IPV6 != 0;
    Some((protocol, if ipv6 { IpFamily::V6 } else { IpFamily::V4 }))
}

/// Whether a row with these settings asks what clients remember.
pub(super) fn affinity(settings: ServiceSettings) -> bool {
    settings.flags & flags::AFFINITY != 0
}

/// Whether a row with these settings uses its local list for anything.
pub(super) fn uses_local(settings: ServiceSettings) -> bool {
    settings.flags & (flags::INTERNAL_LOCAL | flags::EXTERNAL_LOCAL) != 0
}

/// The flags of a backend's row.
pub(super) fn backend_flags(backend: &Backend) -> u16 {
    let options = [
        (true, backend::flags::SERVING),
        (backend.in_cluster, backend::flags::IN_CLUSTER),
        (backend.in_local, backend::flags::IN_LOCAL),
        (backend.local, backend::flags::LOCAL),
    ];
    options.iter().filter(|(on, _)| *on).fold(0, |set, (_, flag)| set | flag)
}

/// Key and kind of a frontend.
pub(super) fn frontend(id: &PortId, frontend: &Frontend) -> (FrontendAt, u8) {
    let kind = match frontend.kind {
        FrontendKind::ClusterIp => kind::CLUSTER_IP,
        FrontendKind::NodePort => kind::NODE_PORT,
        FrontendKind::ExternalIp => kind::EXTERNAL_IP,
        FrontendKind::LoadBalancer => kind::LOAD_BALANCER,
    };
    let address = frontend.address.map(Address::from);
    let at = match id.family {
        IpFamily::V4 => FrontendAt::V4(key::<V4>(id.protocol, address, frontend.port)),
        IpFamily::V6 => FrontendAt::V6(key::<V6>(id.protocol, address, frontend.port)),
    };
    (at, kind)
}

fn key<F: Family>(
    protocol: Protocol,
    address: Option<Address>,
    port: u16,
) -> FrontendKey<F::Address> {
    FrontendKey {
        address: address.map(F::narrow).unwrap_or_default(),
        port: Be16::new(port),
        protocol: protocol.number(),
        scope: if address.is_some() { scope::ADDRESS } else { scope::NODE_PORT },
    }
}

/// Prefix length and network of a source range.
pub(super) fn range(range: &IpNet) -> (u32, Address) {
    let ipv6 = matches!(range, IpNet::V6(_));
    (source_range::prefix_length(range.prefix_len(), ipv6), range.network().into())
}

impl FrontendAt {
    /// The family whose table this is a key of.
    pub fn family(&self) -> IpFamily {
        match self {
            Self::V4(_) => IpFamily::V4,
            Self::V6(_) => IpFamily::V6,
        }
    }

    /// The address; `None` for a NodePort.
    pub fn address(&self) -> Option<IpAddr> {
        let (address, scope) = match self {
            Self::V4(key) => (V4::to_ip(key.address), key.scope),
            Self::V6(key) => (V6::to_ip(key.address), key.scope),
        };
        (scope == scope::ADDRESS).then_some(address)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::V4(key) => key.port.get(),
            Self::V6(key) => key.port.get(),
        }
    }

    /// The protocol's IANA number.
    pub fn protocol(&self) -> u8 {
        match self {
            Self::V4(key) => key.protocol,
            Self::V6(key) => key.protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_range_counts_its_bits_behind_the_service_and_the_mapped_prefix() {
        let check = |text: &str, bits: u32, network: &str| {
            let given: IpNet = text.parse().unwrap();
            let network: IpAddr = network.parse().unwrap();
            assert_eq!(range(&given), (bits, network.into()));
        };
        check("10.1.2.3/8", 32 + 96 + 8, "10.0.0.0");
        check("0.0.0.0/0", 32 + 96, "0.0.0.0");
        check("fd00::1/64", 32 + 64, "fd00::");
    }
}
