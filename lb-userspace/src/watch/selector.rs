//! Services' selectors resolved against Pods, as the EndpointSlice controller would have done it.
//! Pure; for folders of manifests, where no controller runs.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::draft::{PodDraft, PortDraft, ServiceDraft, Target};
use crate::model::{
    Conditions, Endpoint, EndpointSlice, Hints, IpFamily, Port, Rejection, SlicePort,
};

/// All Pods, found by namespace and label.
pub struct Pods<'a> {
    by_label: HashMap<(&'a str, &'a str, &'a str), Vec<&'a PodDraft>>,
    /// Pods already reported for having no address: once is enough, however many Services.
    reported: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Pods<'a> {
    /// Indexes the Pods.
    pub fn new(pods: impl Iterator<Item = &'a PodDraft>) -> Self {
        let mut by_label: HashMap<_, Vec<_>> = HashMap::new();
        for pod in pods {
            for (key, value) in &pod.labels {
                let label = (&*pod.namespace, key.as_str(), value.as_str());
                by_label.entry(label).or_default().push(pod);
            }
        }
        Self { by_label, reported: BTreeSet::new() }
    }

    /// The slices of a Service with a selector: one for each family and each set of resolved ports
    /// that its Pods have. Pods that have ended are no endpoints; Pods without an address, or
    /// without a container port of the name asked for, are passed over and reported.
    pub fn slices(
        &mut self,
        draft: &ServiceDraft,
        rejections: &mut Vec<Rejection>,
    ) -> Vec<EndpointSlice> {
        let mut slices: Vec<EndpointSlice> = Vec::new();
        for pod in self.selected(draft) {
            if pod.addresses.is_empty() {
                if self.reported.insert((&pod.namespace, &pod.name)) {
                    rejections.push(passed_over(pod, "status.podIPs", "has no address".to_owned()));
                }
                continue;
            }
            let ports = resolve(draft, pod, rejections);
            for address in &pod.addresses {
                let endpoint = Endpoint {
                    address: *address,
                    conditions: Conditions {
                        ready: draft.publish_not_ready || (pod.ready && !pod.terminating),
                        serving: pod.ready,
                        terminating: pod.terminating,
                    },
                    node: pod.node.clone(),
                    hints: Hints::default(),
                    weight: 1,
                };
                add(&mut slices, draft, &ports, endpoint);
            }
        }
        slices
    }

    fn selected(&self, draft: &ServiceDraft) -> Vec<&'a PodDraft> {
        let namespace = &*draft.service.name.namespace;
        // Any one label of the selector narrows the search; the rest is checked pod by pod.
        let Some((key, value)) = draft.selector.first_key_value() else { return Vec::new() };
        let pods = self.by_label.get(&(namespace, key.as_str(), value.as_str()));
        let matches = |pod: &PodDraft| {
            !pod.finished
                && draft.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
        };
        pods.into_iter().flatten().copied().filter(|pod| matches(pod)).collect()
    }
}

/// Adds an endpoint to the slice of its family and ports, opening one if there is none yet.
fn add(
    slices: &mut Vec<EndpointSlice>,
    draft: &ServiceDraft,
    ports: &[SlicePort],
    endpoint: Endpoint,
) {
    let family = IpFamily::of(endpoint.address);
    match slices.iter_mut().find(|slice| slice.family == family && slice.ports == ports) {
        Some(slice) => slice.endpoints.push(endpoint),
        None => slices.push(EndpointSlice {
            name: format!("{}-pods-{}", draft.service.name.name, slices.len()).into(),
            service: draft.service.name.clone(),
            family,
            ports: ports.to_vec(),
            endpoints: vec![endpoint],
        }),
    }
}

fn resolve(
    draft: &ServiceDraft,
    pod: &PodDraft,
    rejections: &mut Vec<Rejection>,
) -> Vec<SlicePort> {
    let mut resolved = Vec::new();
    for (port, PortDraft { target, .. }) in draft.service.ports.iter().zip(&draft.ports) {
        match number(port, target, pod) {
            Ok(number) => resolved.push(SlicePort {
                name: port.name.clone(),
                protocol: port.protocol,
                port: number,
            }),
            Err(name) => rejections.push(passed_over(
                pod,
                "spec.containers",
                format!(
                    "no {} port is named `{name}`, which Service {} asks for",
                    port.protocol, draft.service.name
                ),
            )),
        }
    }
    resolved
}

fn number(port: &Port, target: &Target, pod: &PodDraft) -> Result<u16, Arc<str>> {
    match target {
        Target::Number(number) => Ok(*number),
        Target::Name(name) => pod
            .ports
            .iter()
            .find(|other| other.name == *name && other.protocol == port.protocol)
            .map(|other| other.port)
            .ok_or_else(|| Arc::clone(name)),
    }
}

fn passed_over(pod: &PodDraft, field: &str, reason: String) -> Rejection {
    let object = format!("Pod {}/{}", pod.namespace, pod.name);
    Rejection { object, field: field.to_owned(), reason }
}

#[cfg(test)]
mod tests;
