//! The Services of a cluster, as manifests and peers' rule sets alike are made of: many that are only
//! there to be there, and behind them those that are measured, so that whoever walks a list walks all
//! of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// Endpoints of each service, in each family it has.
pub const ENDPOINTS: u32 = 4;
/// Where ClusterIPs and endpoints of those that are only there are counted from.
const CLUSTER_IPS: u32 = u32::from_be_bytes([10, 96, 16, 0]);
const PODS: u32 = u32::from_be_bytes([10, 128, 0, 0]);
const CLUSTER_IPS_V6: u128 = Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 0x1000).to_bits();
const PODS_V6: u128 = Ipv6Addr::new(0xfd00, 0x128, 0, 0, 0, 0, 0, 0).to_bits();

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What a port speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A service with at least one endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its name, unlike all others'.
    pub name: String,
    /// Its ClusterIPs, one a family at most.
    pub cluster_ips: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Where it leads, whichever port is called.
    pub endpoints: Vec<Endpoint>,
}

/// A port of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Port {
    /// Of the ClusterIP.
    pub number: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// Of all nodes.
    pub node_port: Option<u16>,
}

/// One that answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Where.
    pub address: SocketAddr,
    /// On which node.
    pub node: &'static str,
}

/// What a rule set says of the node it is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Site {
    /// Where NodePorts answer.
    pub node: IpAddr,
    /// All pods of the cluster.
    pub pods: IpNet,
    /// All ClusterIPs.
    pub cluster_ips: IpNet,
}

impl Family {
    /// An address's.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl Protocol {
    /// As rules write it; manifests have capitals.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl Service {
    /// Its ClusterIP in a family.
    pub fn cluster_ip(&self, family: Family) -> Option<IpAddr> {
        self.cluster_ips.iter().copied().find(|address| Family::of(*address) == family)
    }

    /// Its endpoints in a family.
    pub fn endpoints(&self, family: Family) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(move |one| Family::of(one.address.ip()) == family)
    }
}

impl Site {
    /// Of a node in the testbed.
    pub fn of(node: IpAddr) -> Self {
        let (pods, cluster_ips): (IpNet, IpNet) = match Family::of(node) {
            Family::V4 => (net([10, 244, 0, 0].into(), 16), net([10, 96, 0, 0].into(), 16)),
            Family::V6 => {
                let first = |second| Ipv6Addr::new(0xfd00, second, 0, 0, 0, 0, 0, 0);
                (net(first(0x244).into(), 32), net(first(0x96).into(), 112))
            }
        };
        Self { node, pods, cluster_ips }
    }

    /// The family.
    pub fn family(&self) -> Family {
        Family::of(self.node)
    }
}

/// So many services of these families, of which these are the last.
pub fn list(count: u32, families: &[Family], measured: &[Service]) -> Vec<Service> {
    let others = count.saturating_sub(measured.len() as u32);
    (0..others).map(|number| other(number, families)).chain(measured.iter().cloned()).collect()
}

/// One that is only there to be there.
pub fn other(number: u32, families: &[Family]) -> Service {
    let cluster_ip = |family: &Family| match family {
        Family::V4 => IpAddr::from(Ipv4Addr::from_bits(CLUSTER_IPS + number)),
        Family::V6 => Ipv6Addr::from_bits(CLUSTER_IPS_V6 + u128::from(number)).into(),
    };
    let pods = number * ENDPOINTS..(number + 1) * ENDPOINTS;
    let endpoints = families.iter().flat_map(|family| {
        pods.clone().map(|pod| {
            let address = match family {
                Family::V4 => IpAddr::from(Ipv4Addr::from_bits(PODS + pod)),
                Family::V6 => Ipv6Addr::from_bits(PODS_V6 + u128::from(pod)).into(),
            };
            Endpoint { address: (address, 8080).into(), node: "elsewhere" }
        })
    });
    Service {
        name: format!("other-{number:05}"),
        cluster_ips: families.iter().map(cluster_ip).collect(),
        ports: vec![Port { number: 80, protocol: Protocol::Tcp, node_port: None }],
        endpoints: endpoints.collect(),
    }
}

fn net(address: IpAddr, length: u8) -> IpNet {
    IpNet::new_assert(address, length)
}

#[cfg(test)]
mod tests {
    use super::{Family, list, other};

    #[test]
    fn the_measured_come_last_and_count() {
        let measured = [other(7_000, &[Family::V4])];
        let services = list(3, &[Family::V4], &measured);
        let names: Vec<_> = services.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(names, ["other-00000", "other-00001", "other-07000"]);
    }

    #[test]
    fn no_two_share_an_address() {
        let both = [Family::V4, Family::V6];
        let (one, next) = (other(0x2fff, &both), other(0x3000, &both));
        assert_eq!(one.cluster_ip(Family::V4), "10.96.63.255".parse().ok());
        assert_eq!(next.cluster_ip(Family::V6), "fd00:96::4000".parse().ok());
        let last = one.endpoints(Family::V6).last().map(|last| last.address.to_string());
        assert_eq!(last.as_deref(), Some("[fd00:128::bfff]:8080"));
        let first = next.endpoints(Family::V4).next().map(|first| first.address.to_string());
        assert_eq!(first.as_deref(), Some("10.128.192.0:8080"));
    }
}
