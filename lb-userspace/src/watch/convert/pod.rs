//! Pods, for Services whose selector is resolved here.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod as Object, PodSpec, PodStatus};

use super::{Converted, Notes, each, value};
use crate::{
    model::IpFamily,
    watch::draft::{ContainerPort, PodDraft},
};

/// Converts a Pod.
pub fn pod(object: &Object) -> Converted<PodDraft> {
    let mut notes = Notes::new("Pod", &object.metadata);
    let pod = convert(object, &mut notes);
    (pod, notes.rejections)
}

fn convert(object: &Object, notes: &mut Notes) -> Option<PodDraft> {
    let name = notes.name(&object.metadata)?;
    let (spec, status) = (object.spec.as_ref(), object.status.as_ref());
    let phase = status.and_then(|status| status.phase.as_deref());
    Some(PodDraft {
        namespace: name.namespace,
        name: name.name,
        labels: object.metadata.labels.clone().unwrap_or_default(),
        addresses: addresses(spec, status, notes),
        node: spec
            .and_then(|spec| spec.node_name.as_deref())
            .filter(|n| !n.is_empty())
            .map(Into::into),
        ready: status.is_some_and(ready),
        terminating: object.metadata.deletion_timestamp.is_some(),
        finished: matches!(phase, Some("Succeeded" | "Failed")),
        ports: spec.map(|spec| container_ports(spec, notes)).unwrap_or_default(),
    })
}

fn ready(status: &PodStatus) -> bool {
    match status.conditions.as_deref() {
        // A hand-written manifest with an address and nothing else means a pod that runs.
        None | Some([]) => true,
        Some(conditions) => conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
    }
}

/// The first address of each family: `podIPs`, else `podIP`; in the host's network those of the
/// host serve as well.
fn addresses(spec: Option<&PodSpec>, status: Option<&PodStatus>, notes: &mut Notes) -> Vec<IpAddr> {
    let Some(status) = status else { return Vec::new() };
    let mut given: Vec<(String, &str)> = each(status.pod_ips.as_ref())
        .map(|(i, entry)| (format!("status.podIPs[{i}].ip"), entry.ip.as_str()))
        .collect();
    if given.is_empty() {
        given.extend(status.pod_ip.as_deref().map(|text| ("status.podIP".to_owned(), text)));
    }
    if given.is_empty() && spec.is_some_and(|spec| spec.host_network == Some(true)) {
        given = each(status.host_ips.as_ref())
            .map(|(i, entry)| (format!("status.hostIPs[{i}].ip"), entry.ip.as_str()))
            .collect();
        if given.is_empty() {
            given.extend(status.host_ip.as_deref().map(|text| ("status.hostIP".to_owned(), text)));
        }
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (field, text) in given.into_iter().filter(|(_, text)| !text.is_empty()) {
        let Some(address) = notes.check(field, value::address(text)) else { continue };
        if !addresses.iter().any(|other| IpFamily::of(*other) == IpFamily::of(address)) {
            addresses.push(address);
        }
    }
    addresses
}

/// Named ports of the containers, and of those init containers that stay (sidecars).
fn container_ports(spec: &PodSpec, notes: &mut Notes) -> Vec<ContainerPort> {
    let sidecars = each(spec.init_containers.as_ref())
        .filter(|(_, container)| container.restart_policy.as_deref() == Some("Always"))
        .map(|(i, container)| (format!("spec.initContainers[{i}]"), container));
    let containers = each(Some(&spec.containers))
        .map(|(i, container)| (format!("spec.containers[{i}]"), container));
    let mut ports = Vec::new();
    for (field, container) in containers.chain(sidecars) {
        for (i, port) in each(container.ports.as_ref()) {
            let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) else { continue };
            let field = format!("{field}.ports[{i}]");
            let number = value::port(port.container_port);
            let number = notes.check(format!("{field}.containerPort"), number);
            let protocol = value::protocol(port.protocol.as_deref());
            let protocol = notes.check(format!("{field}.protocol"), protocol);
            if let (Some(port), Some(protocol)) = (number, protocol) {
                ports.push(ContainerPort { name: name.into(), protocol, port });
            }
        }
    }
    ports
}

#[cfg(test)]
mod tests;
