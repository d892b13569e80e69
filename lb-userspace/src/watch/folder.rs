//! The objects of all files of a folder to one picture. Pure.
//!
//! What an API server and its controllers would do between `kubectl apply` and a proxy's watch is
//! done here: names are unique, missing addresses and ports are allotted, Endpoints are mirrored
//! and selectors resolved.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use super::{
    allot::{Ranges, allot},
    draft::{EndpointsDraft, PodDraft, ServiceDraft},
    manifest::Object,
    selector::Pods,
};
use crate::model::{EndpointSlice, Picture, Rejection, ServiceName};

/// Makes the picture of all objects, each with the name of its file, in the order of files. Where
/// two files define one object the first has it.
pub fn assemble<'a>(
    objects: impl Iterator<Item = (&'a str, &'a Object)>,
    ranges: &Ranges,
) -> (Picture, Vec<Rejection>) {
    let mut rejections = Vec::new();
    let unique = Unique::collect(objects, &mut rejections);
    let (services, refused) = allot(&unique.services.values_only(), ranges);
    rejections.extend(refused);
    let slices = unique.slices(&mut rejections);
    (Picture { services, slices }, rejections)
}

/// Objects of one kind by namespace and name, with the file each is from.
struct ByName<'a, T>(BTreeMap<ServiceName, (&'a str, &'a T)>);

impl<'a, T> ByName<'a, T> {
    fn values_only(&self) -> BTreeMap<ServiceName, &'a T> {
        self.0.iter().map(|(name, (_, value))| (name.clone(), *value)).collect()
    }

    fn values(&self) -> impl Iterator<Item = &'a T> {
        self.0.values().map(|(_, value)| *value)
    }

    fn insert(
        &mut self,
        kind: &str,
        name: ServiceName,
        (file, value): (&'a str, &'a T),
        rejections: &mut Vec<Rejection>,
    ) {
        match self.0.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert((file, value));
            }
            Entry::Occupied(entry) => {
                let (winner, _) = entry.get();
                rejections.push(Rejection {
                    object: format!("{kind} {}", entry.key()),
                    field: String::new(),
                    reason: format!(
                        "is defined in {winner} already; the one in {file} is left out"
                    ),
                });
            }
        }
    }
}

struct Unique<'a> {
    services: ByName<'a, ServiceDraft>,
    slices: ByName<'a, Arc<EndpointSlice>>,
    endpoints: ByName<'a, EndpointsDraft>,
    pods: ByName<'a, PodDraft>,
}

impl<'a> Unique<'a> {
    fn collect(
        objects: impl Iterator<Item = (&'a str, &'a Object)>,
        rejections: &mut Vec<Rejection>,
    ) -> Self {
        let mut all = Self {
            services: ByName(BTreeMap::new()),
            slices: ByName(BTreeMap::new()),
            endpoints: ByName(BTreeMap::new()),
            pods: ByName(BTreeMap::new()),
        };
        for (file, object) in objects {
            match object {
                Object::Service(draft) => {
                    let name = draft.service.name.clone();
                    all.services.insert("Service", name, (file, &**draft), rejections);
                }
                Object::Slice(slice) => {
                    let namespace = slice.service.namespace.clone();
                    let name = ServiceName { namespace, name: slice.name.clone() };
                    all.slices.insert("EndpointSlice", name, (file, slice), rejections);
                }
                Object::Endpoints(draft) => {
                    let name = draft.name.clone();
                    all.endpoints.insert("Endpoints", name, (file, &**draft), rejections);
                }
                Object::Pod(pod) => {
                    let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
                    let name = ServiceName { namespace, name };
                    all.pods.insert("Pod", name, (file, &**pod), rejections);
                }
            }
        }
        all
    }

    /// Slices by Service: those written, those mirrored for Services without a selector, and those
    /// of the Pods a selector finds if nothing was written.
    fn slices(
        &self,
        rejections: &mut Vec<Rejection>,
    ) -> BTreeMap<ServiceName, Vec<Arc<EndpointSlice>>> {
        let mut slices: BTreeMap<ServiceName, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        for slice in self.slices.values() {
            slices.entry(slice.service.clone()).or_default().push(Arc::clone(slice));
        }
        let mut pods = Pods::new(self.pods.values());
        for (name, (_, draft)) in &self.services.0 {
            if draft.selector.is_empty() {
                if let Some((_, endpoints)) = self.endpoints.0.get(name) {
                    let mirrored = endpoints.slices.iter().cloned().map(Arc::new);
                    slices.entry(name.clone()).or_default().extend(mirrored);
                }
            } else if draft.proxied && !slices.contains_key(name) {
                let selected = pods.slices(draft, rejections);
                if !selected.is_empty() {
                    let selected = selected.into_iter().map(Arc::new).collect();
                    slices.insert(name.clone(), selected);
                }
            }
        }
        slices
    }
}

/// Puts the allocations of `before` in the place of equal values of `now`, so that a reader may
/// compare pointers.
pub fn keep_unchanged(before: &Picture, now: &mut Picture) {
    for (name, service) in &mut now.services {
        if let Some(old) = before.services.get(name) {
            keep(old, service);
        }
    }
    for (name, slices) in &mut now.slices {
        let Some(old) = before.slices.get(name) else { continue };
        for slice in slices {
            if let Some(old) = old.iter().find(|old| old.name == slice.name) {
                keep(old, slice);
            }
        }
    }
}

fn keep<T: PartialEq>(old: &Arc<T>, new: &mut Arc<T>) {
    if !Arc::ptr_eq(old, new) && old == new {
        *new = Arc::clone(old);
    }
}

#[cfg(test)]
mod tests;
