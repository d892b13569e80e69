//! Services whose policy is Local, whose endpoints are elsewhere, and of which none is here: what
//! comes to this node for them is not served.

use std::collections::HashMap;

use crate::model::{IpFamily, ServiceName, ServicePort};

/// Whose policy it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Policy {
    /// `internalTrafficPolicy`.
    Internal,
    /// `externalTrafficPolicy`.
    External,
}

/// By family and policy, in the order of [`CASES`].
type Lacks = [bool; CASES.len()];

/// What is told apart.
pub(super) const CASES: [(IpFamily, Policy); 4] = [
    (IpFamily::V4, Policy::Internal),
    (IpFamily::V4, Policy::External),
    (IpFamily::V6, Policy::Internal),
    (IpFamily::V6, Policy::External),
];

/// The Services that lack an endpoint here, counted.
#[derive(Debug, Default)]
pub(super) struct NoLocal {
    lacking: HashMap<ServiceName, Lacks>,
    counts: [i64; CASES.len()],
}

impl NoLocal {
    /// Takes what follows for a Service now.
    pub(super) fn set(&mut self, name: &ServiceName, ports: &[ServicePort]) {
        let lacks = CASES.map(|(family, policy)| ports.iter().any(|p| lacks(p, family, policy)));
        let before = match lacks.contains(&true) {
            true => self.lacking.insert(name.clone(), lacks),
            false => self.lacking.remove(name),
        };
        let before = before.unwrap_or_default();
        for (count, (now, was)) in self.counts.iter_mut().zip(lacks.iter().zip(before)) {
            *count += i64::from(*now) - i64::from(was);
        }
    }

    /// How many lack one, in the order of [`CASES`].
    pub(super) fn counts(&self) -> [i64; CASES.len()] {
        self.counts
    }
}

fn lacks(port: &ServicePort, family: IpFamily, policy: Policy) -> bool {
    let local = match policy {
        Policy::Internal => port.internal_local,
        Policy::External => port.external_local,
    };
    local
        && port.id.family == family
        && !port.backends.is_empty()
        && !port.backends.iter().any(|backend| backend.in_local)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{
        Model, Node, Picture, TrafficPolicy,
        testing::{EndpointBuilder, endpoint, service, slice},
    };

    /// A Service on both sides Local, with these endpoints; what is counted then, and what when it
    /// is gone.
    #[track_caller]
    fn check(endpoints: Vec<EndpointBuilder>, expected: [i64; 4]) {
        let local = TrafficPolicy::Local;
        let service = service("web").cluster_ip("10.96.0.1").external_ip("192.0.2.1");
        let service = service.internal_policy(local).external_policy(local).port("http", 80);
        let service = Arc::new(service.port("more", 81).build());
        let name = service.name.clone();
        let slice = slice("web").port("http", 80).port("more", 80);
        let slice = endpoints.into_iter().fold(slice, |slice, one| slice.endpoint(one));
        let mut picture = Picture::default();
        picture.services.insert(name.clone(), service);
        picture.slices.insert(name.clone(), [Arc::new(slice.build())].into());
        let mut model = Model::new(Node { name: "n1".into(), zone: None });
        model.replace(Arc::new(picture));
        let mut counted = NoLocal::default();
        counted.set(&name, &model.service_ports(&name));
        counted.set(&name, &model.service_ports(&name));
        assert_eq!(counted.counts(), expected);
        counted.set(&name, &[]);
        assert_eq!(counted.counts(), [0; 4]);
    }

    #[test]
    fn a_service_counts_once_while_its_endpoints_are_all_elsewhere() {
        check(vec![endpoint("10.1.0.1").node("n2")], [1, 1, 0, 0]);
        check(vec![endpoint("10.1.0.1").node("n1"), endpoint("10.1.0.2").node("n2")], [0; 4]);
        check(vec![endpoint("10.1.0.1").node("n1").terminating()], [0; 4]);
        check(vec![], [0; 4]);
    }
}
