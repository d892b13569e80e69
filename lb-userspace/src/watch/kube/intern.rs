//! One copy of each text. Node names, zones, namespaces and port names are said by every endpoint
//! and every port anew; kept once, ten thousand Services stay small.

use std::{collections::HashSet, sync::Arc};

use crate::model::{EndpointSlice, Service, ServiceName};

/// Fewer texts than this are never looked through for those that nobody uses any more.
const FEW: usize = 1024;

/// The texts in use.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: HashSet<Arc<str>>,
    /// Look through them when there are so many.
    sweep_at: usize,
}

impl Interner {
    /// Puts shared texts in the place of a Service's own.
    pub(super) fn service(&mut self, service: &mut Service) {
        self.name(&mut service.name);
        service.ports.iter_mut().for_each(|port| self.text(&mut port.name));
    }

    /// Puts shared texts in the place of a slice's own.
    pub(super) fn slice(&mut self, slice: &mut EndpointSlice) {
        // Its own name is nobody else's, but the next version of the slice has it again.
        self.text(&mut slice.name);
        self.name(&mut slice.service);
        slice.ports.iter_mut().for_each(|port| self.text(&mut port.name));
        for endpoint in &mut slice.endpoints {
            endpoint.node.iter_mut().for_each(|node| self.text(node));
            let hints = &mut endpoint.hints;
            hints.zones.iter_mut().chain(&mut hints.nodes).for_each(|text| self.text(text));
        }
    }

    /// Puts shared texts in the place of a name's own.
    pub(super) fn name(&mut self, name: &mut ServiceName) {
        self.text(&mut name.namespace);
        self.text(&mut name.name);
    }

    fn text(&mut self, text: &mut Arc<str>) {
        if let Some(known) = self.texts.get(text) {
            text.clone_from(known);
            return;
        }
        if self.texts.len() >= self.sweep_at.max(FEW) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            // Twice what is in use: looking through them costs one look a text on average.
            self.sweep_at = self.texts.len() * 2;
        }
        self.texts.insert(Arc::clone(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{endpoint, service, slice};

    #[test]
    fn equal_texts_share_their_place() {
        let mut interner = Interner::default();
        let mut web = service("web").port("http", 80).build();
        let on_node = |address| endpoint(address).node("n1").for_zones(&["a"]);
        let mut ends = slice("web")
            .port("http", 8080)
            .endpoint(on_node("10.1.0.1"))
            .endpoint(on_node("10.1.0.2"))
            .build();
        let before = (web.clone(), ends.clone());
        interner.service(&mut web);
        interner.slice(&mut ends);
        assert_eq!((&web, &ends), (&before.0, &before.1));
        let [one, two] = &ends.endpoints[..] else { panic!("two endpoints") };
        for (a, b) in [
            (&web.name.name, &ends.service.name),
            (&web.name.namespace, &ends.service.namespace),
            (&web.ports[0].name, &ends.ports[0].name),
            (one.node.as_ref().unwrap(), two.node.as_ref().unwrap()),
            (&one.hints.zones[0], &two.hints.zones[0]),
        ] {
            assert!(Arc::ptr_eq(a, b), "{a}");
        }
    }

    #[test]
    fn texts_that_nobody_uses_are_given_back() {
        let mut interner = Interner::default();
        let mut kept = service("kept").build();
        interner.service(&mut kept);
        for number in 0..10 * FEW {
            interner.service(&mut service(&format!("s{number}")).build());
        }
        assert!(interner.texts.len() <= 2 * FEW, "{}", interner.texts.len());
        let mut again = service("kept").build();
        interner.service(&mut again);
        assert!(Arc::ptr_eq(&kept.name.name, &again.name.name));
    }
}
