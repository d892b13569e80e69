//! The health checks that Services ask for, each port given to one of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::model::{HealthCheck, Rejection, ServiceName};

/// Health checks as they are wanted, and as they can be had.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// Who has its port.
    held: Arc<BTreeMap<ServiceName, HealthCheck>>,
    /// Who has which port.
    holders: BTreeMap<u16, ServiceName>,
    /// Who wants a port that another holds.
    losers: BTreeMap<ServiceName, HealthCheck>,
}

impl Checks {
    /// Takes what a Service wants now. A port stays with the Service that has it for as long as it
    /// wants it; then the first by name of those who wait gets it.
    pub(super) fn set(&mut self, name: &ServiceName, wanted: Option<HealthCheck>) {
        if wanted.is_some() && self.held.get(name) == wanted.as_ref() {
            return;
        }
        self.losers.remove(name);
        let had = self.held.get(name).map(|check| check.port);
        match wanted {
            Some(check) if had == Some(check.port) => self.hold(name, check),
            _ => {
                if let Some(port) = had {
                    self.give_up(name, port);
                }
                match wanted {
                    Some(check) if self.holders.contains_key(&check.port) => {
                        self.losers.insert(name.clone(), check);
                    }
                    Some(check) => self.hold(name, check),
                    None => (),
                }
            }
        }
    }

    /// Who has its port, and what is answered there.
    pub(super) fn held(&self) -> Arc<BTreeMap<ServiceName, HealthCheck>> {
        Arc::clone(&self.held)
    }

    /// Who has not.
    pub(super) fn rejections(&self) -> BTreeSet<Rejection> {
        let rejected = |(name, check): (&ServiceName, &HealthCheck)| Rejection {
            object: format!("Service {name}"),
            field: "spec.healthCheckNodePort".to_owned(),
            reason: match self.holders.get(&check.port) {
                Some(holder) => format!("port {} answers for Service {holder}", check.port),
                None => format!("port {} is taken", check.port),
            },
        };
        self.losers.iter().map(rejected).collect()
    }

    fn hold(&mut self, name: &ServiceName, check: HealthCheck) {
        self.holders.insert(check.port, name.clone());
        Arc::make_mut(&mut self.held).insert(name.clone(), check);
    }

    fn give_up(&mut self, name: &ServiceName, port: u16) {
        self.holders.remove(&port);
        Arc::make_mut(&mut self.held).remove(name);
        let next = self.losers.iter().find(|(_, check)| check.port == port);
        if let Some((heir, check)) = next.map(|(heir, check)| (heir.clone(), *check)) {
            self.losers.remove(&heir);
            self.hold(&heir, check);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets in order `(name, port, endpoints)`, port 0 for none; then who has what, and who is
    /// rejected.
    #[track_caller]
    fn check(sets: &[(&str, u16, u32)], held: &[(&str, u16, u32)], rejected: &[&str]) {
        let mut checks = Checks::default();
        for (name, port, local_endpoints) in sets {
            let check = HealthCheck { port: *port, local_endpoints: *local_endpoints };
            checks.set(&ServiceName::new("default", name), (*port > 0).then_some(check));
        }
        let now = checks.held();
        let now: Vec<_> =
            now.iter().map(|(name, c)| (&*name.name, c.port, c.local_endpoints)).collect();
        assert_eq!(now, held);
        let refused: Vec<_> = checks.rejections().into_iter().map(|one| one.object).collect();
        assert_eq!(refused, rejected);
    }

    #[test]
    fn each_service_has_what_it_wanted_last() {
        check(&[("a", 1, 2), ("b", 2, 0)], &[("a", 1, 2), ("b", 2, 0)], &[]);
        check(&[("a", 1, 2), ("a", 1, 3)], &[("a", 1, 3)], &[]);
        check(&[("a", 1, 2), ("a", 2, 2)], &[("a", 2, 2)], &[]);
        check(&[("a", 1, 2), ("a", 0, 0)], &[], &[]);
    }

    #[test]
    fn a_port_is_one_services_until_it_gives_it_up() {
        let second = ["Service default/a"];
        check(&[("b", 1, 2), ("a", 1, 9)], &[("b", 1, 2)], &second);
        check(&[("b", 1, 2), ("a", 1, 9), ("b", 1, 3)], &[("b", 1, 3)], &second);
        check(&[("b", 1, 2), ("a", 1, 9), ("b", 0, 0)], &[("a", 1, 9)], &[]);
        check(&[("b", 1, 2), ("a", 1, 9), ("b", 2, 2)], &[("a", 1, 9), ("b", 2, 2)], &[]);
        check(&[("b", 1, 2), ("a", 1, 9), ("a", 0, 0)], &[("b", 1, 2)], &[]);
        check(&[("b", 1, 2), ("a", 1, 9), ("a", 3, 9)], &[("a", 3, 9), ("b", 1, 2)], &[]);
        let waiting = [("b", 1, 2), ("d", 1, 4), ("c", 1, 3), ("b", 0, 0)];
        check(&waiting, &[("c", 1, 3)], &["Service default/d"]);
    }

    #[test]
    fn a_rejection_names_who_holds_the_port() {
        let mut checks = Checks::default();
        for name in ["a", "b"] {
            let name = ServiceName::new("default", name);
            checks.set(&name, Some(HealthCheck { port: 31000, local_endpoints: 1 }));
        }
        let rejection = checks.rejections().into_iter().next().unwrap();
        assert_eq!(
            rejection.to_string(),
            "Service default/b: spec.healthCheckNodePort: port 31000 answers for Service default/a"
        );
    }
}
