//! ClusterIPs and NodePorts for Services that were written without them, as an API server would
//! have filled them in. Pure.
//!
//! There is no server here to remember an answer, and every node reads the same folder: so the
//! answer is a function of the Services alone. Explicit numbers are reserved first; then each
//! Service, in the order of names, takes the first free of the places its own name hashes to. A
//! Service moves only when one that sorts before it is given a place it would have taken, which in
//! a range that is mostly free hardly ever happens; who needs certainty writes the number down.

use std::{collections::HashSet, net::IpAddr, ops::RangeInclusive, sync::Arc};

use ipnet::IpNet;
use lb_common::limits;

use super::draft::{FamilyPolicy, ServiceDraft};
use crate::model::{IpFamily, Rejection, Service, ServiceName};

/// What is allotted from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ranges {
    /// `--service-cidr`: one network per family at most; the first one's family is the default.
    pub service_cidrs: Vec<IpNet>,
    /// NodePorts.
    pub node_ports: RangeInclusive<u16>,
}

impl Default for Ranges {
    fn default() -> Self {
        Self {
            service_cidrs: Vec::new(),
            node_ports: limits::NODE_PORT_FIRST..=limits::NODE_PORT_LAST,
        }
    }
}

/// Places that a name hashes to before the search goes on one by one. Scattered tries keep a
/// collision from pushing a whole row of neighbours along.
const SCATTERED_TRIES: u64 = 16;

/// Completes the Services, given in the order of names. One that cannot be given what it needs is
/// left out and rejected.
pub fn allot<'d>(
    drafts: impl Iterator<Item = &'d ServiceDraft> + Clone,
    ranges: &Ranges,
) -> (Vec<Arc<Service>>, Vec<Rejection>) {
    let mut allotment = Allotment::reserving(drafts.clone(), ranges);
    let services = drafts.filter_map(|draft| allotment.complete(draft)).collect();
    (services, allotment.rejections)
}

struct Allotment<'a> {
    ranges: &'a Ranges,
    addresses: HashSet<IpAddr>,
    node_ports: HashSet<u16>,
    rejections: Vec<Rejection>,
}

impl<'a> Allotment<'a> {
    fn reserving<'d>(
        drafts: impl Iterator<Item = &'d ServiceDraft> + Clone,
        ranges: &'a Ranges,
    ) -> Self {
        let services = || drafts.clone().map(|draft| &draft.service);
        Self {
            ranges,
            addresses: services().flat_map(|service| service.cluster_ips.clone()).collect(),
            node_ports: services()
                .flat_map(|service| {
                    let ports = service.ports.iter().filter_map(|port| port.node_port);
                    ports.chain(service.health_check_node_port)
                })
                .collect(),
            rejections: Vec::new(),
        }
    }

    fn complete(&mut self, draft: &ServiceDraft) -> Option<Arc<Service>> {
        let wanted = self.wanted_families(draft)?;
        let mut service = Arc::clone(&draft.service);
        for family in wanted {
            let Some(address) = self.address(&service.name, family) else {
                self.refuse(&service, "spec.clusterIPs", format!("no {family:?} address is free"));
                return None;
            };
            Arc::make_mut(&mut service).cluster_ips.push(address);
        }
        for (position, port) in draft.ports.iter().enumerate() {
            let field = format!("spec.ports[{}].nodePort", port.index);
            let given = draft.service.ports.get(position).and_then(|port| port.node_port);
            let node_port = match given {
                Some(given) if self.ranges.node_ports.contains(&given) => continue,
                Some(given) => {
                    let (first, last) = self.ranges.node_ports.clone().into_inner();
                    let reason = format!("{given} is not a NodePort ({first} to {last})");
                    self.refuse(&service, &field, reason);
                    None
                }
                None if port.wants_node_port => {
                    let found = self.node_port(&service, position);
                    if found.is_none() {
                        self.refuse(&service, &field, "no NodePort is free".to_owned());
                    }
                    found
                }
                None => continue,
            };
            if let Some(port) = Arc::make_mut(&mut service).ports.get_mut(position) {
                port.node_port = node_port;
            }
        }
        Some(service)
    }

    /// The families still to be given an address, or `None` if they cannot be had.
    fn wanted_families(&mut self, draft: &ServiceDraft) -> Option<Vec<IpFamily>> {
        if !draft.proxied {
            return Some(Vec::new());
        }
        let given: Vec<_> =
            draft.service.cluster_ips.iter().map(|address| IpFamily::of(*address)).collect();
        let offered: Vec<_> =
            self.ranges.service_cidrs.iter().map(|cidr| IpFamily::of(cidr.addr())).collect();
        // Two families written down mean both, whether or not the policy was written too.
        let policy = match draft.family_policy {
            FamilyPolicy::SingleStack if draft.families.len() > 1 => FamilyPolicy::RequireDualStack,
            policy => policy,
        };
        let first = given.first().or(draft.families.first()).or(offered.first()).copied();
        let Some(first) = first else {
            let reason = "is missing, and without --service-cidr none can be allotted";
            self.refuse(&draft.service, "spec.clusterIP", reason.to_owned());
            return None;
        };
        let mut families = vec![first];
        if policy != FamilyPolicy::SingleStack {
            families.extend(IpFamily::ALL.into_iter().filter(|family| *family != first));
        }
        families.retain(|family| !given.contains(family));
        if policy == FamilyPolicy::PreferDualStack {
            families.retain(|family| *family == first || offered.contains(family));
        }
        if let Some(missing) = families.iter().find(|family| !offered.contains(family)) {
            let reason = format!("no --service-cidr is of family {missing:?}");
            self.refuse(&draft.service, "spec.ipFamilies", reason);
            return None;
        }
        Some(families)
    }

    fn address(&mut self, name: &ServiceName, family: IpFamily) -> Option<IpAddr> {
        let of_family = |cidr: &&IpNet| IpFamily::of(cidr.addr()) == family;
        let cidr = *self.ranges.service_cidrs.iter().find(of_family)?;
        let (first, count) = hosts(cidr);
        let taken = &self.addresses;
        let address = |position: u64| nth(family, first, position);
        let found = search(&[&name.namespace, &name.name], count, |position| {
            !taken.contains(&address(position))
        })?;
        let address = address(found);
        self.addresses.insert(address);
        Some(address)
    }

    fn node_port(&mut self, service: &Service, position: usize) -> Option<u16> {
        let port = service.ports.get(position)?;
        let (first, last) = self.ranges.node_ports.clone().into_inner();
        let count = u64::from(last.checked_sub(first)?) + 1;
        let number = |position: u64| u16::try_from(u64::from(first) + position).ok();
        let key = [
            &*service.name.namespace,
            &*service.name.name,
            &port.port.to_string(),
            &port.protocol.to_string(),
        ];
        let taken = &self.node_ports;
        let found = search(&key, count, |position| {
            number(position).is_some_and(|number| !taken.contains(&number))
        })?;
        let number = number(found)?;
        self.node_ports.insert(number);
        Some(number)
    }

    fn refuse(&mut self, service: &Service, field: &str, reason: String) {
        let object = format!("Service {}", service.name);
        self.rejections.push(Rejection { object, field: field.to_owned(), reason });
    }
}

/// The first address that may be allotted, and how many there are: all but the network's own and,
/// for IPv4, the broadcast address.
fn hosts(cidr: IpNet) -> (u128, u64) {
    let (network, bits, broadcast) = match cidr.network() {
        IpAddr::V4(network) => (u128::from(network.to_bits()), 32 - cidr.prefix_len(), 1),
        IpAddr::V6(network) => (network.to_bits(), 128 - cidr.prefix_len(), 0),
    };
    let count = 1u64.checked_shl(bits.into()).unwrap_or(u64::MAX);
    if bits <= 1 { (network, count) } else { (network + 1, count - 1 - broadcast) }
}

fn nth(family: IpFamily, first: u128, position: u64) -> IpAddr {
    let bits = first + u128::from(position);
    match family {
        // An IPv4 network's addresses fit 32 bits, so nothing is cut off.
        IpFamily::V4 => IpAddr::V4((bits as u32).into()),
        IpFamily::V6 => IpAddr::V6(bits.into()),
    }
}

/// A free position below `count`, by the key's hash; `None` if none is.
fn search(key: &[&str], count: u64, free: impl Fn(u64) -> bool) -> Option<u64> {
    let scattered = (0..SCATTERED_TRIES).map(|attempt| hash(key, attempt).checked_rem(count));
    let start = hash(key, 0).checked_rem(count)?;
    let in_turn = (start..count).chain(0..start);
    scattered.flatten().chain(in_turn).find(|position| free(*position))
}

/// FNV-1a over the parts, each closed by a zero byte, and a final mix (that of MurmurHash3), since
/// FNV's low bits alone are weak. Nodes of different builds must agree, so this is no place for the
/// standard library's hasher, whose algorithm is unspecified.
fn hash(key: &[&str], attempt: u64) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let bytes = key.iter().flat_map(|part| part.bytes().chain([0]));
    for byte in bytes.chain(attempt.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests;
