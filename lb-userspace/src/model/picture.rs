//! A source's complete view of the cluster, and what differs between two of them.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::{OrdMap, ordmap::DiffItem};

use super::{EndpointSlice, Service, ServiceName};

/// All EndpointSlices of one Service.
pub type Slices = Arc<[Arc<EndpointSlice>]>;

/// Everything a source knows, complete: what is not in it does not exist.
///
/// A copy shares all entries with its original, and after a change all but those near the changed
/// one. So a source copies its last picture, changes the copy and hands it out: that, and the
/// comparison of the two, takes no longer for being one Service among ten thousand.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Picture {
    /// Services by name.
    pub services: OrdMap<ServiceName, Arc<Service>>,
    /// EndpointSlices by the Service they belong to, which need not exist; no list is empty.
    pub slices: OrdMap<ServiceName, Slices>,
}

impl Picture {
    /// Puts a complete set of Services in the place of those that are there. What is equal keeps
    /// its place in memory.
    pub fn set_services(&mut self, all: BTreeMap<ServiceName, Arc<Service>>) {
        set_all(&mut self.services, all);
    }

    /// Puts a complete set of EndpointSlices in the place of those that are there; see
    /// [`set_services`](Self::set_services).
    pub fn set_slices(&mut self, all: BTreeMap<ServiceName, Slices>) {
        set_all(&mut self.slices, all);
    }

    /// The Services of which an object differs between the two pictures.
    pub(super) fn differences(&self, other: &Self) -> BTreeSet<ServiceName> {
        let services = self.services.diff(&other.services).map(name_of);
        let slices = self.slices.diff(&other.slices).map(name_of);
        services.chain(slices).cloned().collect()
    }
}

fn name_of<'a, V>(item: DiffItem<'a, 'a, ServiceName, V>) -> &'a ServiceName {
    match item {
        DiffItem::Add(name, _) | DiffItem::Remove(name, _) => name,
        DiffItem::Update { new: (name, _), .. } => name,
    }
}

/// Walks the two side by side and touches only what differs.
fn set_all<V: Clone + PartialEq>(map: &mut OrdMap<ServiceName, V>, all: BTreeMap<ServiceName, V>) {
    let before = map.clone();
    let mut before = before.iter().peekable();
    for (name, value) in all {
        while let Some((gone, _)) = before.next_if(|(other, _)| **other < name) {
            map.remove(gone);
        }
        match before.next_if(|(other, _)| other.cmp(&&name) == Ordering::Equal) {
            Some((_, old)) if *old == value => (),
            _ => _ = map.insert(name, value),
        }
    }
    for (gone, _) in before {
        map.remove(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::service, *};

    fn services(given: &[(&str, u16)]) -> BTreeMap<ServiceName, Arc<Service>> {
        let build = |(name, port): &(&str, u16)| service(name).port("http", *port).build();
        let built = given.iter().map(build);
        built.map(|service| (service.name.clone(), Arc::new(service))).collect()
    }

    #[track_caller]
    fn check(before: &[(&str, u16)], after: &[(&str, u16)], differing: &[&str]) {
        let mut old = Picture::default();
        old.set_services(services(before));
        let mut new = old.clone();
        new.set_services(services(after));
        assert!(new.services.iter().eq(&services(after)));
        let found = old.differences(&new);
        assert_eq!(found.iter().map(|name| &*name.name).collect::<Vec<_>>(), differing);
        for (name, service) in &old.services {
            let kept = new.services.get(name).is_some_and(|other| Arc::ptr_eq(service, other));
            assert_eq!(kept, !differing.contains(&&*name.name), "{name}");
        }
    }

    #[test]
    fn a_complete_set_replaces_what_was_and_keeps_what_is_equal() {
        check(&[], &[("a", 1), ("b", 1)], &["a", "b"]);
        check(&[("a", 1), ("b", 1)], &[("a", 1), ("b", 1)], &[]);
        check(&[("a", 1), ("b", 1), ("c", 1)], &[("b", 2), ("c", 1), ("d", 1)], &["a", "b", "d"]);
        check(&[("a", 1), ("b", 1)], &[("a", 1)], &["b"]);
        check(&[("a", 1), ("b", 1)], &[], &["a", "b"]);
    }

    #[test]
    fn a_copy_shares_what_did_not_change() {
        let names: Vec<_> = (0..1000).map(|number| format!("s{number:04}")).collect();
        let given: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let mut picture = Picture::default();
        picture.set_services(services(&given));
        let changed = Arc::new(service("s0500").port("http", 2).build());
        let mut next = picture.clone();
        next.services.insert(changed.name.clone(), changed);
        assert_eq!(picture.differences(&next).len(), 1);
    }
}
