//! Stand-in.
use std::{
    collections::{BTreeMap, BTreeSet},
    net::*,
};
/// x
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeNet {
    /// x
    pub addresses: BTreeSet<IpAddr>,
    /// x
    pub devices: BTreeMap<u32, DeviceNet>,
}
/// x
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeviceNet {
    /// x
    pub name: std::sync::Arc<str>,
    /// x
    pub source_v4: Option<Ipv4Addr>,
    /// x
    pub source_v6: Option<Ipv6Addr>,
}
/// x
pub fn look(globs: Option<&[String]>) -> NodeNet {
    let mut net = NodeNet::default();
    for i in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let Some(a) = i.address else { continue };
        let ip: IpAddr = if let Some(a) = a.as_sockaddr_in() {
            a.ip().into()
        } else if let Some(a) = a.as_sockaddr_in6() {
            a.ip().into()
        } else {
            continue;
        };
        net.addresses.insert(ip);
        let wanted =
            globs.map_or(i.interface_name != "lo", |g| g.iter().any(|g| *g == i.interface_name));
        if wanted {
            let index = nix::net::if_::if_nametoindex(i.interface_name.as_str()).unwrap_or(0);
            let d = net.devices.entry(index).or_default();
            d.name = i.interface_name.as_str().into();
            match ip {
                IpAddr::V4(ip) => d.source_v4 = Some(ip),
                IpAddr::V6(ip) => d.source_v6 = Some(ip),
            }
        }
    }
    net
}
