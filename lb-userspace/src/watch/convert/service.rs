//! Services.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use k8s_openapi::{
    api::core::v1::{Service as Object, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use lb_common::limits;

use super::{Converted, Notes, annotation, each, hidden, shared, value};
use crate::{
    model::{IpFamily, Port, Service, ServiceType, TrafficPolicy},
    watch::draft::{FamilyPolicy, PortDraft, ServiceDraft, Target},
};

/// What `spec.clusterIP` says of a headless Service.
const HEADLESS: &str = "None";

/// Converts a Service.
pub fn service(object: &Object) -> Converted<ServiceDraft> {
    let mut notes = Notes::new("Service", &object.metadata);
    let draft = convert(object, &mut notes);
    (draft, notes.rejections)
}

fn convert(object: &Object, notes: &mut Notes) -> Option<ServiceDraft> {
    let name = notes.name(&object.metadata)?;
    let Some(spec) = &object.spec else {
        notes.refuse("spec", "is missing");
        return None;
    };
    let kind = kind(spec, notes)?;
    let internal_policy = policy("internalTrafficPolicy", &spec.internal_traffic_policy, notes)?;
    let external_policy = policy("externalTrafficPolicy", &spec.external_traffic_policy, notes)?;
    let affinity_timeout_s = affinity(spec, notes)?;
    let family_policy = family_policy(spec, notes)?;
    let families = families(spec, notes)?;
    let proxied = kind != ServiceType::ExternalName && !headless(spec);

    let mut service = Service {
        name,
        created_s: object.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()),
        kind,
        cluster_ips: Vec::new(),
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        ports: Vec::new(),
        internal_policy,
        external_policy,
        affinity_timeout_s,
        algorithm: annotation::algorithm(&object.metadata, notes),
        health_check_node_port: None,
        hidden: hidden(&object.metadata),
    };
    let mut ports = Vec::new();
    if proxied {
        service.cluster_ips = cluster_ips(spec, notes)?;
        service.external_ips = addresses("spec.externalIPs", spec.external_ips.as_ref(), notes);
        (service.ports, ports) = self::ports(spec, kind, notes);
        if kind == ServiceType::LoadBalancer {
            load_balancer(object, spec, &mut service, notes);
        }
    }
    Some(ServiceDraft {
        service: Arc::new(service),
        proxied,
        families,
        family_policy,
        selector: spec.selector.clone().unwrap_or_default(),
        publish_not_ready: spec.publish_not_ready_addresses.unwrap_or_default(),
        ports,
    })
}

fn kind(spec: &ServiceSpec, notes: &mut Notes) -> Option<ServiceType> {
    let values = [
        ("ClusterIP", ServiceType::ClusterIp),
        ("NodePort", ServiceType::NodePort),
        ("LoadBalancer", ServiceType::LoadBalancer),
        ("ExternalName", ServiceType::ExternalName),
    ];
    let known = "ClusterIP, NodePort, LoadBalancer, ExternalName";
    notes.check("spec.type", value::one_of(spec.type_.as_deref(), &values, known))
}

fn policy(field: &str, text: &Option<String>, notes: &mut Notes) -> Option<TrafficPolicy> {
    let values = [("Cluster", TrafficPolicy::Cluster), ("Local", TrafficPolicy::Local)];
    notes.check(format!("spec.{field}"), value::one_of(text.as_deref(), &values, "Cluster, Local"))
}

/// The outer option is whether the object can be used.
fn affinity(spec: &ServiceSpec, notes: &mut Notes) -> Option<Option<u32>> {
    let values = [("None", false), ("ClientIP", true)];
    let text = spec.session_affinity.as_deref();
    let by_client =
        notes.check("spec.sessionAffinity", value::one_of(text, &values, "None, ClientIP"))?;
    if !by_client {
        return Some(None);
    }
    let given = spec
        .session_affinity_config
        .as_ref()
        .and_then(|config| config.client_ip.as_ref())
        .and_then(|client| client.timeout_seconds);
    let longest = limits::AFFINITY_TIMEOUT_LONGEST_S;
    match given.map(u32::try_from) {
        None => Some(Some(limits::AFFINITY_TIMEOUT_DEFAULT_S)),
        Some(Ok(seconds)) if (1..=longest).contains(&seconds) => Some(Some(seconds)),
        Some(_) => {
            notes.refuse(
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                format_args!("{} is not between 1 and {longest}", given.unwrap_or_default()),
            );
            None
        }
    }
}

fn family_policy(spec: &ServiceSpec, notes: &mut Notes) -> Option<FamilyPolicy> {
    let values = [
        ("SingleStack", FamilyPolicy::SingleStack),
        ("PreferDualStack", FamilyPolicy::PreferDualStack),
        ("RequireDualStack", FamilyPolicy::RequireDualStack),
    ];
    let known = "SingleStack, PreferDualStack, RequireDualStack";
    let text = spec.ip_family_policy.as_deref();
    notes.check("spec.ipFamilyPolicy", value::one_of(text, &values, known))
}

fn families(spec: &ServiceSpec, notes: &mut Notes) -> Option<Vec<IpFamily>> {
    let values = [("IPv4", IpFamily::V4), ("IPv6", IpFamily::V6)];
    let mut families = Vec::new();
    for (i, text) in each(spec.ip_families.as_ref()) {
        let field = format!("spec.ipFamilies[{i}]");
        let family = notes.check(field, value::one_of(Some(text), &values, "IPv4, IPv6"))?;
        if !families.contains(&family) {
            families.push(family);
        }
    }
    families.shrink_to_fit();
    Some(families)
}

/// The ClusterIPs as given, with the field's name: `clusterIPs`, or `clusterIP` alone.
fn given_cluster_ips(spec: &ServiceSpec) -> Vec<(String, &str)> {
    let list: Vec<_> = each(spec.cluster_ips.as_ref())
        .map(|(i, text)| (format!("spec.clusterIPs[{i}]"), text.as_str()))
        .collect();
    if list.is_empty() {
        let single = spec.cluster_ip.as_deref().filter(|text| !text.is_empty());
        return single.map(|text| ("spec.clusterIP".to_owned(), text)).into_iter().collect();
    }
    list
}

fn headless(spec: &ServiceSpec) -> bool {
    given_cluster_ips(spec).first().is_some_and(|(_, text)| *text == HEADLESS)
}

fn cluster_ips(spec: &ServiceSpec, notes: &mut Notes) -> Option<Vec<IpAddr>> {
    let given = given_cluster_ips(spec);
    let none_given = given.is_empty();
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (field, text) in given {
        let Some(address) = notes.check(field.clone(), value::address(text)) else { continue };
        if addresses.iter().any(|other| IpFamily::of(*other) == IpFamily::of(address)) {
            notes.refuse(field, "is a second address of the same family");
        } else {
            addresses.push(address);
        }
    }
    addresses.shrink_to_fit();
    // With every address refused it would look as if it had asked for one to be allotted.
    (none_given || !addresses.is_empty()).then_some(addresses)
}

fn addresses(field: &str, list: Option<&Vec<String>>, notes: &mut Notes) -> Vec<IpAddr> {
    each(list)
        .filter_map(|(i, text)| notes.check(format!("{field}[{i}]"), value::address(text)))
        .collect()
}

fn ports(spec: &ServiceSpec, kind: ServiceType, notes: &mut Notes) -> (Vec<Port>, Vec<PortDraft>) {
    let mut ports: Vec<Port> = Vec::new();
    let mut drafts = Vec::new();
    for (i, object) in each(spec.ports.as_ref()) {
        let field = format!("spec.ports[{i}]");
        let Some((port, draft)) = port((i, object), spec, kind, notes) else { continue };
        let twin = |other: &Port| {
            other.protocol == port.protocol && (other.port == port.port || other.name == port.name)
        };
        if ports.iter().any(twin) {
            notes.refuse(field, "has the number or the name of another port of this protocol");
            continue;
        }
        ports.push(port);
        drafts.push(draft);
    }
    // Kept for as long as the Service is there, and most have one.
    ports.shrink_to_fit();
    drafts.shrink_to_fit();
    (ports, drafts)
}

fn port(
    (index, object): (usize, &ServicePort),
    spec: &ServiceSpec,
    kind: ServiceType,
    notes: &mut Notes,
) -> Option<(Port, PortDraft)> {
    let field = format!("spec.ports[{index}]");
    let port = notes.check(format!("{field}.port"), value::port(object.port))?;
    let protocol = value::protocol(object.protocol.as_deref());
    let protocol = notes.check(format!("{field}.protocol"), protocol)?;
    let target = match &object.target_port {
        None | Some(IntOrString::Int(0)) => Target::Number(port),
        Some(IntOrString::Int(number)) => {
            let number = value::port(*number);
            Target::Number(notes.check(format!("{field}.targetPort"), number)?)
        }
        Some(IntOrString::String(name)) => Target::Name(name.as_str().into()),
    };

    let has_node_ports = matches!(kind, ServiceType::NodePort | ServiceType::LoadBalancer);
    let allocates =
        kind == ServiceType::NodePort || spec.allocate_load_balancer_node_ports.unwrap_or(true);
    let given = object.node_port.filter(|number| *number != 0);
    let mut node_port =
        notes.check(format!("{field}.nodePort"), value::optional_port(given)).flatten();
    if node_port.is_some() && !has_node_ports {
        notes.refuse(format!("{field}.nodePort"), "is not for a Service of this type");
        node_port = None;
    }
    let wants_node_port = has_node_ports && allocates && given.is_none();
    let name: Arc<str> = shared(object.name.as_deref());
    Some((Port { name, protocol, port, node_port }, PortDraft { index, target, wants_node_port }))
}

fn load_balancer(object: &Object, spec: &ServiceSpec, service: &mut Service, notes: &mut Notes) {
    let status = object.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    for (i, ingress) in each(status.and_then(|status| status.ingress.as_ref())) {
        let field = format!("status.loadBalancer.ingress[{i}]");
        let mode = value::one_of(
            ingress.ip_mode.as_deref(),
            &[("VIP", true), ("Proxy", false)],
            "VIP, Proxy",
        );
        let Some(ours) = notes.check(format!("{field}.ipMode"), mode) else { continue };
        let Some(text) = ingress.ip.as_deref().filter(|text| ours && !text.is_empty()) else {
            continue;
        };
        service.load_balancer_ips.extend(notes.check(format!("{field}.ip"), value::address(text)));
    }
    source_ranges(spec, service, notes);
    if service.external_policy == TrafficPolicy::Local {
        let port = value::optional_port(spec.health_check_node_port);
        service.health_check_node_port = notes.check("spec.healthCheckNodePort", port).flatten();
    }
}

/// A family without ranges admits everybody. So where a range that cannot be read was a family's
/// only one, that family's VIPs go: closed rather than open by a typing error.
fn source_ranges(spec: &ServiceSpec, service: &mut Service, notes: &mut Notes) {
    let mut unread = Vec::new();
    for (i, text) in each(spec.load_balancer_source_ranges.as_ref()) {
        let field = format!("spec.loadBalancerSourceRanges[{i}]");
        match notes.check(field, value::network(text)) {
            Some(network) => service.source_ranges.push(network),
            None if text.contains(':') => unread.push(IpFamily::V6),
            None => unread.push(IpFamily::V4),
        }
    }
    for family in IpFamily::ALL {
        let of_family = |range: &IpNet| IpFamily::of(range.addr()) == family;
        if !unread.contains(&family) || service.source_ranges.iter().any(of_family) {
            continue;
        }
        let before = service.load_balancer_ips.len();
        service.load_balancer_ips.retain(|address| IpFamily::of(*address) != family);
        if service.load_balancer_ips.len() != before {
            notes.refuse(
                "status.loadBalancer.ingress",
                format_args!(
                    "the {family:?} addresses are left out: none of their source ranges can be \
                     read, and without one everybody would be let in"
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests;
