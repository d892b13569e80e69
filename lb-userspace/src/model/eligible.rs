//! Which endpoints count: by port, conditions, topology and node.
//!
//! Two lists follow, chosen independently of each other. The CLUSTER list is always made: besides
//! being a list to choose from, its emptiness tells "nobody anywhere" (refuse) from "nobody here"
//! (drop). The LOCAL list is made where a Local policy uses it.

use std::{cmp::Reverse, net::IpAddr, sync::Arc};

use super::{Backend, Endpoint, EndpointSlice, IpFamily, Node, Port};

/// The endpoints of `port` that may receive traffic, now or as the far end of an older flow;
/// unique by address and port, and sorted by them.
pub(super) fn backends(
    slices: &[Arc<EndpointSlice>],
    port: &Port,
    family: IpFamily,
    node: &Node,
    with_local: bool,
) -> Vec<Backend> {
    let candidates = candidates(slices, port, family, node);
    let ready_anywhere = candidates.iter().any(Candidate::ready);
    let ready_here = candidates.iter().any(|candidate| candidate.local && candidate.ready());
    let topology = Topology::of(&candidates, node);

    let in_cluster = |candidate: &Candidate<'_>| match ready_anywhere {
        true => candidate.ready() && topology.admits(candidate.endpoint, node),
        false => candidate.last_resort(),
    };
    let in_local = |candidate: &Candidate<'_>| match ready_here {
        true => candidate.local && candidate.ready(),
        false => candidate.local && candidate.last_resort(),
    };
    // Whoever is to get nothing is left out last: it is a ready endpoint in every other respect.
    let weighs = |candidate: &Candidate<'_>| candidate.endpoint.weight > 0;
    candidates
        .iter()
        .filter(|candidate| candidate.ready() || candidate.endpoint.conditions.serving)
        .map(|candidate| Backend {
            address: candidate.endpoint.address,
            port: candidate.port,
            local: candidate.local,
            in_cluster: weighs(candidate) && in_cluster(candidate),
            in_local: with_local && weighs(candidate) && in_local(candidate),
            weight: candidate.endpoint.weight,
        })
        .collect()
}

/// An endpoint on one of its ports.
struct Candidate<'a> {
    endpoint: &'a Endpoint,
    port: u16,
    local: bool,
}

impl Candidate<'_> {
    fn ready(&self) -> bool {
        self.endpoint.conditions.ready
    }

    /// Used when nothing is ready: it is going away, but still answers.
    fn last_resort(&self) -> bool {
        self.endpoint.conditions.serving && self.endpoint.conditions.terminating
    }

    fn key(&self) -> (IpAddr, u16) {
        (self.endpoint.address, self.port)
    }
}

/// Every endpoint of every slice of the family, joined to the port by name and protocol.
///
/// A pod's address may be given to the next pod while the old one's entry still stands in another
/// slice; so of entries with the same address and port, one that is not terminating wins. What is
/// left open after that is settled by readiness and by the slices' names, so that the order in
/// which slices arrive decides nothing.
fn candidates<'a>(
    slices: &'a [Arc<EndpointSlice>],
    port: &Port,
    family: IpFamily,
    node: &Node,
) -> Vec<Candidate<'a>> {
    let mut found: Vec<(&str, Candidate<'a>)> = Vec::new();
    for slice in slices.iter().filter(|slice| slice.family == family) {
        let numbers = slice
            .ports
            .iter()
            .filter(|own| own.name == port.name && own.protocol == port.protocol)
            .map(|own| own.port);
        for number in numbers {
            found.extend(slice.endpoints.iter().map(|endpoint| {
                let local = endpoint.node.as_ref().is_some_and(|name| *name == node.name);
                (&*slice.name, Candidate { endpoint, port: number, local })
            }));
        }
    }
    found.sort_by_key(|(slice, candidate)| {
        let conditions = candidate.endpoint.conditions;
        let worth = (!conditions.terminating, conditions.ready, conditions.serving);
        (candidate.key(), Reverse(worth), *slice)
    });
    found.dedup_by_key(|(_, candidate)| candidate.key());
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// How far topology hints narrow the ready endpoints down. One ready endpoint without a hint
/// switches the mode off for the whole port: the hints may be from a time before it came.
#[derive(Clone, Copy)]
enum Topology {
    SameNode,
    SameZone,
    Anywhere,
}

impl Topology {
    fn of(candidates: &[Candidate<'_>], node: &Node) -> Self {
        let usable = |mode: Self, hinted: fn(&Endpoint) -> bool| {
            let mut ready = candidates.iter().filter(|c| c.ready()).map(|c| c.endpoint);
            ready.clone().all(hinted) && ready.any(|endpoint| mode.admits(endpoint, node))
        };
        if usable(Self::SameNode, |endpoint| !endpoint.hints.nodes.is_empty()) {
            Self::SameNode
        } else if usable(Self::SameZone, |endpoint| !endpoint.hints.zones.is_empty()) {
            Self::SameZone
        } else {
            Self::Anywhere
        }
    }

    fn admits(self, endpoint: &Endpoint, node: &Node) -> bool {
        match self {
            Self::SameNode => endpoint.hints.nodes.contains(&node.name),
            Self::SameZone => {
                node.zone.as_ref().is_some_and(|zone| endpoint.hints.zones.contains(zone))
            }
            Self::Anywhere => true,
        }
    }
}

#[cfg(test)]
mod tests;
