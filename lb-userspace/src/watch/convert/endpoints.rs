//! Endpoints objects, as Kubernetes' EndpointSlice mirroring controller would copy them.
//!
//! Whether the Service has a selector, in which case nothing is mirrored, is for the caller to see.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints as Object};

use super::{Converted, Notes, annotation::Weights, each, hidden, slice::slice_port, value};
use crate::{
    model::{Conditions, Endpoint, EndpointSlice, Hints, IpFamily, ServiceName},
    watch::draft::EndpointsDraft,
};

/// With the value `true`: not to be mirrored.
const SKIP_LABEL: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Marks a lock of leader election kept in an Endpoints object.
const LEADER_ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";

/// Converts an Endpoints object. One that the controller would not mirror gives nothing.
pub fn endpoints(object: &Object) -> Converted<EndpointsDraft> {
    let mut notes = Notes::new("Endpoints", &object.metadata);
    let draft = convert(object, &mut notes);
    (draft, notes.rejections)
}

fn convert(object: &Object, notes: &mut Notes) -> Option<EndpointsDraft> {
    let metadata = &object.metadata;
    let skip = metadata.labels.as_ref().and_then(|labels| labels.get(SKIP_LABEL));
    let lock = metadata.annotations.as_ref().is_some_and(|all| all.contains_key(LEADER_ANNOTATION));
    // The controller copies labels, so a hiding label hides the copies.
    if skip.is_some_and(|value| value == "true") || lock || hidden(metadata) {
        return None;
    }
    let name = notes.name(metadata)?;
    // The controller copies annotations, too.
    let weights = Weights::of(metadata, notes);
    let mut slices = Vec::new();
    for (i, subset) in each(object.subsets.as_ref()) {
        slices.extend(mirror(i, subset, &name, &weights, notes));
    }
    Some(EndpointsDraft { name, slices })
}

/// One slice per family that the subset has addresses of.
fn mirror(
    index: usize,
    subset: &EndpointSubset,
    service: &ServiceName,
    weights: &Weights,
    notes: &mut Notes,
) -> Vec<EndpointSlice> {
    let field = format!("subsets[{index}]");
    let mut ports = Vec::new();
    for (i, port) in each(subset.ports.as_ref()) {
        let parts = (port.name.as_deref(), port.protocol.as_deref(), Some(port.port));
        ports.extend(slice_port(&format!("{field}.ports[{i}]"), parts, notes));
    }
    let mut all = Vec::new();
    for (i, address) in each(subset.addresses.as_ref()) {
        all.extend(endpoint(&format!("{field}.addresses[{i}]"), address, true, weights, notes));
    }
    for (i, address) in each(subset.not_ready_addresses.as_ref()) {
        all.extend(endpoint(
            &format!("{field}.notReadyAddresses[{i}]"),
            address,
            false,
            weights,
            notes,
        ));
    }
    let slice = |family| {
        let of_family = |endpoint: &&Endpoint| IpFamily::of(endpoint.address) == family;
        let endpoints: Vec<_> = all.iter().filter(of_family).cloned().collect();
        (!endpoints.is_empty()).then(|| EndpointSlice {
            name: format!("{}-mirrored-{index}-{family:?}", service.name).to_lowercase().into(),
            service: service.clone(),
            family,
            ports: ports.clone(),
            endpoints,
        })
    };
    IpFamily::ALL.into_iter().filter_map(slice).collect()
}

fn endpoint(
    field: &str,
    object: &EndpointAddress,
    ready: bool,
    weights: &Weights,
    notes: &mut Notes,
) -> Option<Endpoint> {
    let address = notes.check(format!("{field}.ip"), value::address(&object.ip))?;
    Some(Endpoint {
        address,
        // The controller sets `ready` alone; the others keep their defaults.
        conditions: Conditions { ready, serving: true, terminating: false },
        node: object.node_name.as_deref().filter(|name| !name.is_empty()).map(Arc::from),
        hints: Hints::default(),
        weight: weights.get(address),
    })
}

#[cfg(test)]
mod tests;
