//! The objects of all files of a folder to one picture. Pure.
//!
//! What an API server and its controllers would do between `kubectl apply` and a proxy's watch is
//! done here: names are unique, missing addresses and ports are allotted, Endpoints are mirrored
//! and selectors resolved.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    allot::{Ranges, allot},
    draft::{EndpointsDraft, PodDraft, ServiceDraft},
    manifest::Object,
    selector::Pods,
};
use crate::model::{EndpointSlice, Picture, Rejection, Service, ServiceName, Slices};

/// Makes one picture after the other.
#[derive(Debug)]
pub struct Assembler {
    ranges: Ranges,
    allotted: Allotted,
    last: Arc<Picture>,
}

/// The last allotment, which stands while the Services are the same: most changes are of endpoints.
#[derive(Debug, Default)]
struct Allotted {
    drafts: Vec<Arc<ServiceDraft>>,
    services: BTreeMap<ServiceName, Arc<Service>>,
    rejections: Vec<Rejection>,
}

impl Assembler {
    /// Allots from these ranges.
    pub fn new(ranges: Ranges) -> Self {
        Self { ranges, allotted: Allotted::default(), last: Arc::default() }
    }

    /// Makes the picture of all objects, each with the name of its file, in the order of files.
    /// Where two files define one object the first has it.
    pub fn assemble<'a>(
        &mut self,
        objects: impl Iterator<Item = (&'a str, &'a Object)>,
    ) -> (Arc<Picture>, Vec<Rejection>) {
        let mut rejections = Vec::new();
        let objects = Unique::collect(objects, &mut rejections);
        self.allot(&objects.services);
        rejections.extend(self.allotted.rejections.iter().cloned());
        let slices = objects.slices(&mut rejections);
        let mut picture = Picture::clone(&self.last);
        picture.set_services(self.allotted.services.clone());
        picture.set_slices(slices);
        self.last = Arc::new(picture);
        (Arc::clone(&self.last), rejections)
    }

    fn allot(&mut self, services: &ByName<'_, Arc<ServiceDraft>>) {
        let same = self.allotted.drafts.len() == services.0.len()
            && self.allotted.drafts.iter().zip(services.values()).all(|(a, b)| Arc::ptr_eq(a, b));
        if same {
            return;
        }
        let drafts: Vec<_> = services.values().cloned().collect();
        let (services, rejections) = allot(drafts.iter().map(Arc::as_ref), &self.ranges);
        let services =
            services.into_iter().map(|service| (service.name.clone(), service)).collect();
        self.allotted = Allotted { drafts, services, rejections };
    }
}

/// Objects of one kind in the order of namespace and name, each name once.
struct ByName<'a, T>(Vec<Named<'a, T>>);

struct Named<'a, T> {
    /// Namespace and name.
    name: (&'a str, &'a str),
    file: &'a str,
    value: &'a T,
}

impl<'a, T> ByName<'a, T> {
    /// Sorts the list and rejects all but the first of a name.
    fn new(kind: &str, mut list: Vec<Named<'a, T>>, rejections: &mut Vec<Rejection>) -> Self {
        // Stable, so files stay in their order.
        list.sort_by_key(|named| named.name);
        list.dedup_by(|later, first| {
            let same = later.name == first.name;
            if same {
                let (namespace, name) = first.name;
                let (winner, loser) = (first.file, later.file);
                rejections.push(Rejection {
                    object: format!("{kind} {namespace}/{name}"),
                    field: String::new(),
                    reason: format!(
                        "is defined in {winner} already; the one in {loser} is left out"
                    ),
                });
            }
            same
        });
        Self(list)
    }

    fn get(&self, name: (&str, &str)) -> Option<&'a T> {
        let found = self.0.binary_search_by(|named| named.name.cmp(&name)).ok()?;
        self.0.get(found).map(|named| named.value)
    }

    fn values(&self) -> impl Iterator<Item = &'a T> {
        self.0.iter().map(|named| named.value)
    }
}

struct Unique<'a> {
    services: ByName<'a, Arc<ServiceDraft>>,
    slices: ByName<'a, Arc<EndpointSlice>>,
    endpoints: ByName<'a, EndpointsDraft>,
    pods: ByName<'a, PodDraft>,
}

impl<'a> Unique<'a> {
    fn collect(
        objects: impl Iterator<Item = (&'a str, &'a Object)>,
        rejections: &mut Vec<Rejection>,
    ) -> Self {
        let (mut services, mut slices, mut endpoints, mut pods) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (file, object) in objects {
            match object {
                Object::Service(value) => {
                    services.push(Named { name: key(&value.service.name), file, value });
                }
                Object::Slice(value) => {
                    let name = (&*value.service.namespace, &*value.name);
                    slices.push(Named { name, file, value });
                }
                Object::Endpoints(value) => {
                    endpoints.push(Named { name: key(&value.name), file, value: &**value });
                }
                Object::Pod(value) => {
                    let name = (&*value.namespace, &*value.name);
                    pods.push(Named { name, file, value: &**value });
                }
            }
        }
        Self {
            services: ByName::new("Service", services, rejections),
            slices: ByName::new("EndpointSlice", slices, rejections),
            endpoints: ByName::new("Endpoints", endpoints, rejections),
            pods: ByName::new("Pod", pods, rejections),
        }
    }

    /// Slices by Service: those written, those mirrored for Services without a selector, and those
    /// of the Pods a selector finds if nothing was written.
    fn slices(&self, rejections: &mut Vec<Rejection>) -> BTreeMap<ServiceName, Slices> {
        let mut slices: BTreeMap<ServiceName, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        for slice in self.slices.values() {
            slices.entry(slice.service.clone()).or_default().push(Arc::clone(slice));
        }
        let mut pods = Pods::new(self.pods.values());
        for draft in self.services.values() {
            let name = &draft.service.name;
            if draft.selector.is_empty() {
                if let Some(endpoints) = self.endpoints.get(key(name)) {
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
        slices.retain(|_, list| !list.is_empty());
        slices.into_iter().map(|(name, list)| (name, list.into())).collect()
    }
}

fn key(name: &ServiceName) -> (&str, &str) {
    (&name.namespace, &name.name)
}

#[cfg(test)]
mod tests;
