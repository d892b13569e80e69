//! What the kernel listed to what the agent needs: which devices are external, and which address
//! packets get as source when they leave by one. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use crate::model::{IpFamily, Rejection};

/// Links, addresses and routes of one moment, in the kernel's order.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// All links.
    pub links: Vec<Link>,
    /// All addresses.
    pub addresses: Vec<Address>,
    /// Unicast routes, an entry for each next hop.
    pub routes: Vec<Route>,
}

/// A link.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Its ifindex.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `veth`, `bond` and the like; none for hardware.
    pub kind: Option<String>,
    /// Its frames have Ethernet headers.
    pub ethernet: bool,
    /// It is the loopback device.
    pub loopback: bool,
    /// It is switched on.
    pub up: bool,
    /// It is a port of a bridge or another device.
    pub port: bool,
    /// The link that it is a VLAN of.
    pub vlan_of: Option<u32>,
    /// What it belongs to, its other end as a rule, is in another network namespace.
    pub reaches_out: bool,
    /// XDP may send frames out of it: somebody is there to take them.
    pub takes_frames: bool,
}

/// An address of a link.
#[derive(Clone, Debug)]
pub struct Address {
    /// The link.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// Of global scope.
    pub global: bool,
    /// One that new connections may have as source: neither secondary nor temporary nor deprecated.
    pub primary: bool,
    /// Not waiting for duplicate address detection, nor failed in it.
    pub usable: bool,
}

/// A way out of the node.
#[derive(Clone, Debug)]
pub struct Route {
    /// Of the destination.
    pub family: IpFamily,
    /// The destination is everything.
    pub default: bool,
    /// There is a gateway.
    pub gateway: bool,
    /// The lower the better.
    pub metric: u32,
    /// The link it leaves by.
    pub link: u32,
}

/// Which devices carry our programs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selection {
    /// Those that lead out of the node.
    pub external: External,
    /// Patterns of the names of those behind which pods are. One that is external is no such.
    pub pods: Vec<String>,
}

/// Which devices are external.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum External {
    /// Those that a default route or a route with a gateway leaves by.
    #[default]
    ByRoutes,
    /// Those whose name one of these patterns fits; `*` and `?` as in a shell.
    Named(Vec<String>),
}

/// This network namespace, as far as the agent is concerned.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeNet {
    /// All addresses that are the node's own, loopback and link-local ones too.
    pub addresses: BTreeMap<IpAddr, LocalAddress>,
    /// External devices, and those that face pods, by ifindex.
    pub devices: BTreeMap<u32, DeviceNet>,
    /// Devices that pods may be behind, by ifindex.
    pub pods: BTreeMap<u32, PodDevice>,
    /// Devices that were asked for and are not there or cannot be used.
    pub rejections: Vec<Rejection>,
}

/// Where an address is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalAddress {
    /// The link's ifindex.
    pub ifindex: u32,
    /// The link's name.
    pub device: String,
    /// Of global scope.
    pub global: bool,
}

/// A device that carries our programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceNet {
    /// Its name.
    pub name: String,
    /// `veth`, `bond` and the like; none for hardware.
    pub kind: Option<String>,
    /// It is switched on.
    pub up: bool,
    /// There are VLAN devices on it.
    pub vlans: bool,
    /// Pods are behind it, not what is outside.
    pub pods: bool,
    /// Source of IPv4 flows that leave by it.
    pub source_v4: Option<Ipv4Addr>,
    /// Source of IPv6 flows that leave by it.
    pub source_v6: Option<Ipv6Addr>,
}

/// A device that pods may be behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodDevice {
    /// Its name.
    pub name: Arc<str>,
    /// What kind it is.
    pub side: PodSide,
}

/// What kind of device pods are behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PodSide {
    /// A bridge.
    Bridge,
    /// One end of a veth pair, the other one in another network namespace.
    Veth {
        /// XDP may send frames out of it.
        takes_frames: bool,
    },
}

impl PodSide {
    /// Whether pods may be behind a link that is not external. What is a port is reached by way of
    /// what it is a port of.
    fn of(link: &Link) -> Option<Self> {
        match link.kind.as_deref() {
            Some("bridge") if link.ethernet && !link.port => Some(Self::Bridge),
            Some("veth") if link.reaches_out && !link.port => {
                Some(Self::Veth { takes_frames: link.takes_frames })
            }
            _ => None,
        }
    }
}

impl NodeNet {
    /// Chooses from what the kernel listed.
    pub fn choose(listing: &Listing, selection: &Selection) -> Self {
        let names: BTreeMap<u32, &str> =
            listing.links.iter().map(|link| (link.index, link.name.as_str())).collect();
        let address = |address: &Address| {
            let device = (*names.get(&address.link)?).to_owned();
            let local = LocalAddress { ifindex: address.link, device, global: address.global };
            Some((address.address, local))
        };
        let usable = listing.addresses.iter().filter(|address| address.usable);
        let mut net = Self { addresses: usable.filter_map(address).collect(), ..Self::default() };

        let routed: BTreeSet<u32> = listing
            .routes
            .iter()
            .filter(|route| route.default || route.gateway)
            .map(|route| route.link)
            .collect();
        for link in listing.links.iter().filter(|link| !link.loopback) {
            let external = match &selection.external {
                External::ByRoutes => link.ethernet && routed.contains(&link.index),
                External::Named(patterns) => is_named(link, patterns),
            };
            let wanted = external || is_named(link, &selection.pods);
            if wanted && link.ethernet {
                net.devices.insert(link.index, device(listing, link, !external));
            } else if wanted {
                net.rejections.push(Rejection {
                    object: format!("device {}", link.name),
                    field: String::new(),
                    reason: "is not an Ethernet device, its packets stay untouched".to_owned(),
                });
            }
        }
        let faces_pods =
            |link: &&Link| net.devices.get(&link.index).is_none_or(|device| device.pods);
        let pods = listing.links.iter().filter(faces_pods);
        let pods = pods.filter_map(|link| {
            let device = PodDevice { name: link.name.as_str().into(), side: PodSide::of(link)? };
            Some((link.index, device))
        });
        net.pods = pods.collect();
        net.rejections.extend(unmatched(listing, selection));
        net
    }
}

fn is_named(link: &Link, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| fits(pattern.as_bytes(), link.name.as_bytes()))
}

/// Patterns of external devices that no device fits, or only loopback, which is never external.
/// Pods' devices come with the pods: nothing is wrong where there is none.
fn unmatched(listing: &Listing, selection: &Selection) -> Vec<Rejection> {
    let External::Named(patterns) = &selection.external else { return Vec::new() };
    let devices = || listing.links.iter().filter(|link| !link.loopback);
    let fitting =
        |pattern: &str| devices().any(|link| fits(pattern.as_bytes(), link.name.as_bytes()));
    let missing = patterns.iter().filter(|pattern| !fitting(pattern));
    missing
        .map(|pattern| Rejection {
            object: format!("--interfaces {pattern}"),
            field: String::new(),
            reason: "there is no such device; it is used when it comes".to_owned(),
        })
        .collect()
}

fn device(listing: &Listing, link: &Link, pods: bool) -> DeviceNet {
    let source = |family| source(listing, link.index, family);
    DeviceNet {
        name: link.name.clone(),
        kind: link.kind.clone(),
        up: link.up,
        vlans: listing.links.iter().any(|other| other.vlan_of == Some(link.index)),
        pods,
        source_v4: source(IpFamily::V4).and_then(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }),
        source_v6: source(IpFamily::V6).and_then(|address| match address {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        }),
    }
}

/// The device's own address, else that of the device of the default route, else any: nodes with
/// unnumbered uplinks keep their only address on the loopback device.
fn source(listing: &Listing, link: u32, family: IpFamily) -> Option<IpAddr> {
    let default = listing
        .routes
        .iter()
        .filter(|route| route.default && route.family == family)
        .min_by_key(|route| route.metric)
        .map(|route| route.link);
    let mut candidates: Vec<_> = listing
        .addresses
        .iter()
        .filter(|a| a.global && a.primary && a.usable && !a.address.is_loopback())
        .filter(|a| IpFamily::of(a.address) == family)
        .collect();
    // The kernel lists the oldest IPv4 address first, and the oldest IPv6 address last. The oldest
    // is what we want: it does not change because another one is added.
    if family == IpFamily::V6 {
        candidates.reverse();
    }
    let on = |link: u32| candidates.iter().find(|address| address.link == link);
    on(link)
        .or_else(|| default.and_then(on))
        .or_else(|| candidates.iter().min_by_key(|address| address.link))
        .map(|address| address.address)
}

fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if fits(rest, name) => true,
        (Some((b'*', _)), Some((_, name))) => fits(pattern, name),
        (Some((p, pattern)), Some((n, name))) if *p == b'?' || p == n => fits(pattern, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        let (ethernet, loopback) = (!name.starts_with("tun") && name != "lo", name == "lo");
        Link {
            index,
            name: name.to_owned(),
            kind: None,
            ethernet,
            loopback,
            up: true,
            ..Link::default()
        }
    }

    fn address(link: u32, text: &str) -> Address {
        let address: IpAddr = text.parse().unwrap();
        let global = !text.starts_with("fe80") && !address.is_loopback();
        Address { link, address, global, primary: true, usable: true }
    }

    fn route(link: u32, what: &str) -> Route {
        let family = if what.contains('6') { IpFamily::V6 } else { IpFamily::V4 };
        let (default, gateway) = (what.contains("default"), what.contains("via"));
        Route { family, default, gateway, metric: 0, link }
    }

    fn links() -> Vec<Link> {
        vec![link(1, "lo"), link(2, "eth0"), link(3, "eth1"), link(4, "veth7"), link(5, "tun0")]
    }

    fn named(external: &[&str], pods: &[&str]) -> Selection {
        let owned = |list: &[&str]| list.iter().map(|pattern| (*pattern).to_owned()).collect();
        Selection { external: External::Named(owned(external)), pods: owned(pods) }
    }

    #[test]
    fn devices_of_pods_are_those_named_that_are_not_external() {
        #[track_caller]
        fn check(pods: &[&str], expected: &[(&str, bool)], refused: &[&str]) {
            let listing = Listing { links: links(), ..Listing::default() };
            let net = NodeNet::choose(&listing, &named(&["eth0"], pods));
            let devices = net.devices.values();
            let devices: Vec<_> = devices.map(|one| (one.name.as_str(), one.pods)).collect();
            let rejections: Vec<_> = net.rejections.iter().map(|r| r.object.as_str()).collect();
            assert_eq!((devices, rejections), (expected.to_vec(), refused.to_vec()));
        }
        check(&[], &[("eth0", false)], &[]);
        check(&["veth*"], &[("eth0", false), ("veth7", true)], &[]);
        check(&["cali*", "eth?"], &[("eth0", false), ("eth1", true)], &[]);
        check(&["lo", "tun*"], &[("eth0", false)], &["device tun0"]);
    }

    #[test]
    fn external_devices_are_found_by_routes_or_chosen_by_name() {
        #[track_caller]
        fn check(
            selection: &Selection,
            routes: &[(u32, &str)],
            expected: &[&str],
            refused: &[&str],
        ) {
            let routes = routes.iter().map(|(link, what)| route(*link, what)).collect();
            let listing = Listing { links: links(), addresses: vec![], routes };
            let net = NodeNet::choose(&listing, selection);
            let names: Vec<_> = net.devices.values().map(|device| device.name.as_str()).collect();
            let rejections: Vec<_> = net.rejections.iter().map(|r| r.object.as_str()).collect();
            assert_eq!((names, rejections), (expected.to_vec(), refused.to_vec()));
        }
        let by_routes = Selection::default();
        check(&by_routes, &[(2, "default via")], &["eth0"], &[]);
        check(&by_routes, &[(2, "default"), (3, "via"), (4, "link")], &["eth0", "eth1"], &[]);
        check(&by_routes, &[(3, "default 6 via")], &["eth1"], &[]);
        check(&by_routes, &[(5, "default"), (1, "via"), (9, "via")], &[], &[]);
        let named = |list: &[&str]| named(list, &[]);
        check(&named(&["eth*"]), &[(4, "default")], &["eth0", "eth1"], &[]);
        check(&named(&["eth1", "veth?"]), &[], &["eth1", "veth7"], &[]);
        check(&named(&["*"]), &[], &["eth0", "eth1", "veth7"], &["device tun0"]);
        check(&named(&["eth"]), &[], &[], &["--interfaces eth"]);
        check(
            &named(&["eth0", "lo", "x*"]),
            &[],
            &["eth0"],
            &["--interfaces lo", "--interfaces x*"],
        );
    }

    #[test]
    fn the_source_is_the_oldest_primary_address_of_the_nearest_device() {
        #[track_caller]
        fn check(addresses: Vec<Address>, expected: (Option<&str>, Option<&str>)) {
            let routes = vec![route(2, "default via"), route(2, "default 6 via"), route(3, "via")];
            let net = NodeNet::choose(
                &Listing { links: links(), addresses, routes },
                &Selection::default(),
            );
            let device = &net.devices[&3];
            let (v4, v6) = expected;
            assert_eq!(device.source_v4, v4.map(|text| text.parse().unwrap()));
            assert_eq!(device.source_v6, v6.map(|text| text.parse().unwrap()));
        }
        let secondary = |a: Address| Address { primary: false, ..a };
        let tentative = |a: Address| Address { usable: false, ..a };
        check(vec![], (None, None));
        check(vec![address(3, "192.0.2.3"), address(3, "192.0.2.4")], (Some("192.0.2.3"), None));
        check(
            vec![address(3, "2001:db8::4"), address(3, "2001:db8::3")],
            (None, Some("2001:db8::3")),
        );
        check(
            vec![
                secondary(address(3, "192.0.2.2")),
                address(3, "192.0.2.3"),
                address(3, "fe80::3"),
            ],
            (Some("192.0.2.3"), None),
        );
        check(
            vec![
                address(2, "198.51.100.2"),
                tentative(address(3, "2001:db8::3")),
                address(2, "2001:db8::2"),
            ],
            (Some("198.51.100.2"), Some("2001:db8::2")),
        );
        check(
            vec![address(1, "127.0.0.1"), address(1, "203.0.113.1")],
            (Some("203.0.113.1"), None),
        );
    }

    #[test]
    fn every_usable_address_is_the_nodes() {
        let tentative = Address { usable: false, ..address(2, "2001:db8::9") };
        let addresses = vec![
            address(1, "127.0.0.1"),
            address(1, "::1"),
            address(2, "192.0.2.1"),
            address(2, "fe80::1"),
            tentative,
            address(9, "192.0.2.9"),
        ];
        let listing = Listing { links: links(), addresses, routes: vec![] };
        let net = NodeNet::choose(&listing, &Selection::default());
        let found: Vec<_> = net
            .addresses
            .iter()
            .map(|(address, local)| format!("{address} {} {}", local.device, local.global))
            .collect();
        let expected =
            ["127.0.0.1 lo false", "192.0.2.1 eth0 true", "::1 lo false", "fe80::1 eth0 false"];
        assert_eq!(found, expected);
    }
}
