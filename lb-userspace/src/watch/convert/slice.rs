//! EndpointSlices.

use std::{sync::Arc, time::SystemTime};

use k8s_openapi::{
    api::discovery::v1::{Endpoint as ObjectEndpoint, EndpointSlice as Object},
    jiff::Timestamp,
};

use super::{Converted, Notes, annotation::Weights, each, hidden, namespace, shared, value};
use crate::model::{Conditions, Endpoint, EndpointSlice, Hints, IpFamily, ServiceName, SlicePort};

/// The Service a slice belongs to.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// When the pods changed in a way that changed the slice; set by its controller.
const TRIGGER_ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// When the last change of an EndpointSlice was set off, if it says so in a way that can be read.
pub fn trigger_time(object: &Object) -> Option<SystemTime> {
    let text = object.metadata.annotations.as_ref()?.get(TRIGGER_ANNOTATION)?;
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}

/// Converts an EndpointSlice. Hidden slices and those of domain names give nothing.
pub fn endpoint_slice(object: &Object) -> Converted<EndpointSlice> {
    let mut notes = Notes::new("EndpointSlice", &object.metadata);
    let slice = convert(object, &mut notes);
    (slice, notes.rejections)
}

fn convert(object: &Object, notes: &mut Notes) -> Option<EndpointSlice> {
    if hidden(&object.metadata) {
        return None;
    }
    let name = notes.name(&object.metadata)?.name;
    let labels = object.metadata.labels.as_ref();
    let service = labels.and_then(|labels| labels.get(SERVICE_LABEL)).filter(|s| !s.is_empty());
    let Some(service) = service else {
        notes.refuse("metadata.labels", format_args!("{SERVICE_LABEL} is missing"));
        return None;
    };
    let types = [("IPv4", Some(IpFamily::V4)), ("IPv6", Some(IpFamily::V6)), ("FQDN", None)];
    let given = match object.address_type.as_str() {
        "" => {
            notes.refuse("addressType", "is missing");
            return None;
        }
        given => Some(given),
    };
    let family = notes.check("addressType", value::one_of(given, &types, "IPv4, IPv6, FQDN"))??;

    let mut ports = Vec::new();
    for (i, port) in each(object.ports.as_ref()) {
        ports.extend(slice_port(
            &format!("ports[{i}]"),
            (port.name.as_deref(), port.protocol.as_deref(), port.port),
            notes,
        ));
    }
    let weights = Weights::of(&object.metadata, notes);
    let mut endpoints = Vec::new();
    for (i, endpoint) in each(object.endpoints.as_ref()) {
        endpoints.extend(convert_endpoint(i, endpoint, family, &weights, notes));
    }
    // Kept for as long as the slice is there.
    ports.shrink_to_fit();
    endpoints.shrink_to_fit();
    let service = ServiceName::new(namespace(&object.metadata), service);
    Some(EndpointSlice { name, service, family, ports, endpoints })
}

/// A port of a slice or of an Endpoints subset. No number means "all ports", which a proxy has no
/// use for. No name is the empty name: the API server stores it so, and hand-made manifests of a
/// Service with one nameless port rely on it.
pub(super) fn slice_port(
    field: &str,
    (name, protocol, number): (Option<&str>, Option<&str>, Option<i32>),
    notes: &mut Notes,
) -> Option<SlicePort> {
    let port = notes.check(format!("{field}.port"), value::optional_port(number))??;
    let protocol = notes.check(format!("{field}.protocol"), value::protocol(protocol))?;
    Some(SlicePort { name: shared(name), protocol, port })
}

fn convert_endpoint(
    index: usize,
    object: &ObjectEndpoint,
    family: IpFamily,
    weights: &Weights,
    notes: &mut Notes,
) -> Option<Endpoint> {
    let field = format!("endpoints[{index}].addresses");
    let Some(text) = object.addresses.first() else {
        notes.refuse(field, "is empty");
        return None;
    };
    let address = notes.check(format!("{field}[0]"), value::address(text))?;
    if IpFamily::of(address) != family {
        notes.refuse(format!("{field}[0]"), format_args!("{address} is not of the addressType"));
        return None;
    }
    let conditions = object.conditions.as_ref();
    Some(Endpoint {
        address,
        conditions: Conditions {
            ready: conditions.and_then(|c| c.ready).unwrap_or(true),
            serving: conditions.and_then(|c| c.serving).unwrap_or(true),
            terminating: conditions.and_then(|c| c.terminating).unwrap_or(false),
        },
        node: object.node_name.as_deref().filter(|name| !name.is_empty()).map(Arc::from),
        hints: hints(object),
        weight: weights.get(address),
    })
}

fn hints(object: &ObjectEndpoint) -> Hints {
    let Some(hints) = &object.hints else { return Hints::default() };
    let zones = each(hints.for_zones.as_ref()).map(|(_, zone)| zone.name.as_str().into());
    let nodes = each(hints.for_nodes.as_ref()).map(|(_, node)| node.name.as_str().into());
    Hints { zones: zones.collect(), nodes: nodes.collect() }
}

#[cfg(test)]
mod tests;
