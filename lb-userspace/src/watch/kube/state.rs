//! From updates to pictures. Pure.
//!
//! Nothing leaves before Services and EndpointSlices were both listed completely. A list that is
//! read again is collected beside the present picture and replaces it whole when it is complete:
//! what was deleted while nobody looked is gone then, and until then everything stays.
//!
//! A known object that turns out to be unusable is taken out of the picture, with a rejection that
//! names it; its last good state is not kept. What an agent programs is to follow from what the API
//! holds, and from nothing else: an agent that has just been started cannot know the last good
//! state, and two nodes that serve the same Service differently, depending on when their agents
//! were started, are harder to understand than a Service that is rejected by name on all of them.
//! (A manifest folder is different: a file that cannot be parsed is most often one being edited.)
//! Only of the own Node the last known state stays: it decides nothing about which Services exist.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::SystemTime,
};

use super::{
    intern::Interner,
    object::{Kind, Object, Value},
};
use crate::{
    model::{self, EndpointSlice, Picture, Rejection, ServiceName, Slices},
    watch::news::{News, NodeNews, Trigger},
};

/// What the feeds tell.
#[derive(Debug)]
pub(super) enum Change {
    /// A complete list begins; what was collected of an earlier one is void.
    ListBegins,
    /// An object of the list.
    Listed(Object),
    /// The list is complete.
    ListEnds,
    /// An object is new or has changed.
    Set(Object),
    /// An object is gone.
    Gone(ServiceName),
}

/// Everything that is known.
#[derive(Debug)]
pub(super) struct State {
    interner: Interner,
    picture: Picture,
    /// The slices of the picture by their own names.
    slices: HashMap<ServiceName, Arc<EndpointSlice>>,
    node: Option<NodeNews>,
    rejections: BTreeMap<(Kind, ServiceName), Vec<Rejection>>,
    /// The same, as it is handed out.
    all_rejections: Arc<[Rejection]>,
    lists: Lists,
    services_complete: bool,
    slices_complete: bool,
    /// Something changed since the last news.
    changed: bool,
    triggers: Vec<Trigger>,
    /// What was set off before we started says nothing about how quick we are.
    started: SystemTime,
}

/// Lists that are being read.
#[derive(Debug, Default)]
struct Lists {
    services: BTreeMap<ServiceName, Arc<model::Service>>,
    slices: HashMap<ServiceName, (Arc<EndpointSlice>, Option<SystemTime>)>,
    node: Option<NodeNews>,
    rejections: BTreeMap<(Kind, ServiceName), Vec<Rejection>>,
}

impl State {
    /// Knows nothing. `started`: when the agent began.
    pub(super) fn new(started: SystemTime) -> Self {
        Self {
            interner: Interner::default(),
            picture: Picture::default(),
            slices: HashMap::new(),
            node: None,
            rejections: BTreeMap::new(),
            all_rejections: Arc::new([]),
            lists: Lists::default(),
            services_complete: false,
            slices_complete: false,
            changed: false,
            triggers: Vec::new(),
            started,
        }
    }

    /// Both initial lists have been complete once.
    pub(super) fn is_complete(&self) -> bool {
        self.services_complete && self.slices_complete
    }

    /// There is something to hand out.
    pub(super) fn has_news(&self) -> bool {
        self.changed && self.is_complete()
    }

    /// Services and EndpointSlices there are.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.picture.services.len(), self.slices.len())
    }

    /// What is known of the own Node.
    pub(super) fn node(&self) -> Option<&NodeNews> {
        self.node.as_ref()
    }

    /// The complete picture, with everything that set off changes since the last one.
    pub(super) fn news(&mut self) -> News {
        self.changed = false;
        News {
            picture: Arc::new(self.picture.clone()),
            rejections: Arc::clone(&self.all_rejections),
            complete: true,
            triggers: std::mem::take(&mut self.triggers),
        }
    }

    /// Takes in what a feed tells.
    pub(super) fn apply(&mut self, kind: Kind, change: Change) {
        match change {
            Change::ListBegins => self.lists.clear(kind),
            Change::Listed(object) => self.list(kind, object),
            Change::ListEnds => self.end_list(kind),
            Change::Set(object) => self.set(kind, object),
            Change::Gone(name) => {
                self.reject(kind, &name, Vec::new());
                self.remove(kind, &name);
            }
        }
    }

    fn list(&mut self, kind: Kind, object: Object) {
        let Object { mut name, value, rejections, .. } = object;
        self.interner.name(&mut name);
        if !rejections.is_empty() {
            self.lists.rejections.insert((kind, name.clone()), rejections);
        }
        match value {
            Some(Value::Service(service)) => {
                let service = self.service(service);
                self.lists.services.insert(service.name.clone(), service);
            }
            Some(Value::Slice(slice, trigger)) => {
                let slice = self.slice(&name, slice);
                self.lists.slices.insert(name, (slice, trigger));
            }
            Some(Value::Node(node)) => self.lists.node = Some(node),
            None => (),
        }
    }

    fn end_list(&mut self, kind: Kind) {
        let listed = self.lists.take(kind);
        match kind {
            Kind::Services => {
                self.picture.set_services(listed.services);
                self.services_complete = true;
            }
            Kind::Slices => self.set_slices(listed.slices),
            // One that cannot be read exists all the same.
            Kind::Node if listed.node.is_none() && !listed.rejections.is_empty() => (),
            Kind::Node => self.set_node(listed.node),
        }
        let refused = self.all_rejections.len();
        self.rejections.retain(|(of, _), _| *of != kind);
        self.rejections.extend(listed.rejections);
        self.rejections_changed();
        // Nothing of a Node is in the picture, but what was refused of it is told with one.
        self.changed |= kind != Kind::Node || self.all_rejections.len() != refused;
    }

    fn set(&mut self, kind: Kind, object: Object) {
        let Object { mut name, value, rejections, .. } = object;
        self.interner.name(&mut name);
        self.reject(kind, &name, rejections);
        match value {
            Some(Value::Service(service)) => {
                let service = self.service(service);
                let name = service.name.clone();
                let old = self.picture.services.insert(name, Arc::clone(&service));
                self.changed |= old.is_none_or(|old| old != service);
            }
            Some(Value::Slice(slice, trigger)) => {
                let slice = self.slice(&name, slice);
                self.set_slice(name, slice, trigger);
            }
            Some(Value::Node(node)) => self.set_node(Some(node)),
            // It exists, and what was known of it is the best there is.
            None if kind == Kind::Node => (),
            None => self.remove(kind, &name),
        }
    }

    fn remove(&mut self, kind: Kind, name: &ServiceName) {
        match kind {
            Kind::Services => self.changed |= self.picture.services.remove(name).is_some(),
            Kind::Slices => {
                if let Some(slice) = self.slices.remove(name) {
                    self.unlink(&slice);
                    self.changed = true;
                }
            }
            Kind::Node => self.set_node(None),
        }
    }

    fn set_slice(
        &mut self,
        name: ServiceName,
        slice: Arc<EndpointSlice>,
        trigger: Option<SystemTime>,
    ) {
        let old = self.slices.insert(name, Arc::clone(&slice));
        if old.as_ref() == Some(&slice) {
            return;
        }
        if let Some(old) = old.filter(|old| old.service != slice.service) {
            self.unlink(&old);
        }
        self.note(&slice, trigger);
        let others = self.others(&slice);
        let at = others.partition_point(|other| other.name < slice.name);
        let list: Slices =
            others[..at].iter().chain([&slice]).chain(&others[at..]).cloned().collect();
        self.picture.slices.insert(slice.service.clone(), list);
        self.changed = true;
    }

    /// Takes a slice out of its Service's list.
    fn unlink(&mut self, slice: &EndpointSlice) {
        let others = self.others(slice);
        if others.is_empty() {
            self.picture.slices.remove(&slice.service);
        } else {
            self.picture.slices.insert(slice.service.clone(), others.into());
        }
    }

    /// The other slices of a slice's Service, in the order of their names.
    fn others(&self, slice: &EndpointSlice) -> Vec<Arc<EndpointSlice>> {
        let list = self.picture.slices.get(&slice.service).map_or(&[][..], |list| list);
        list.iter().filter(|other| other.name != slice.name).cloned().collect()
    }

    fn set_slices(
        &mut self,
        listed: HashMap<ServiceName, (Arc<EndpointSlice>, Option<SystemTime>)>,
    ) {
        let mut before = std::mem::take(&mut self.slices);
        let mut by_service: BTreeMap<ServiceName, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        for (name, (slice, trigger)) in listed {
            if before.remove(&name).as_ref() != Some(&slice) {
                self.note(&slice, trigger);
            }
            by_service.entry(slice.service.clone()).or_default().push(Arc::clone(&slice));
            self.slices.insert(name, slice);
        }
        let sorted = by_service.into_iter().map(|(service, mut list)| {
            list.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            (service, list.into())
        });
        self.picture.set_slices(sorted.collect());
        self.slices_complete = true;
    }

    /// `None`: there is none, and the rest stays as it was.
    fn set_node(&mut self, node: Option<NodeNews>) {
        self.node = match (node, self.node.take()) {
            (Some(node), _) => Some(node),
            (None, Some(last)) => Some(NodeNews { exists: false, ..last }),
            (None, None) => Some(NodeNews {
                zone: None,
                internal_ips: Vec::new(),
                eligible: true,
                exists: false,
            }),
        };
    }

    fn note(&mut self, slice: &EndpointSlice, trigger: Option<SystemTime>) {
        if let Some(at) = trigger.filter(|at| *at > self.started) {
            self.triggers.push(Trigger { service: slice.service.clone(), at });
        }
    }

    fn reject(&mut self, kind: Kind, name: &ServiceName, rejections: Vec<Rejection>) {
        let key = (kind, name.clone());
        let before = self.rejections.get(&key).map_or(&[][..], Vec::as_slice);
        if *before == *rejections {
            return;
        }
        if rejections.is_empty() {
            self.rejections.remove(&key);
        } else {
            self.rejections.insert(key, rejections);
        }
        self.rejections_changed();
        self.changed = true;
    }

    fn rejections_changed(&mut self) {
        self.all_rejections = self.rejections.values().flatten().cloned().collect();
    }

    /// The Service as it is already, if it is equal, else with shared texts.
    fn service(&mut self, mut service: Arc<model::Service>) -> Arc<model::Service> {
        match self.picture.services.get(&service.name) {
            Some(known) if *known == service => Arc::clone(known),
            _ => {
                self.interner.service(Arc::make_mut(&mut service));
                service
            }
        }
    }

    /// The same for a slice.
    fn slice(&mut self, name: &ServiceName, mut slice: Arc<EndpointSlice>) -> Arc<EndpointSlice> {
        match self.slices.get(name) {
            Some(known) if *known == slice => Arc::clone(known),
            _ => {
                self.interner.slice(Arc::make_mut(&mut slice));
                slice
            }
        }
    }
}

impl Lists {
    fn clear(&mut self, kind: Kind) {
        self.take(kind);
    }

    /// Takes out what was collected of a kind.
    fn take(&mut self, kind: Kind) -> Self {
        let mut taken = Self::default();
        match kind {
            Kind::Services => taken.services = std::mem::take(&mut self.services),
            Kind::Slices => taken.slices = std::mem::take(&mut self.slices),
            Kind::Node => taken.node = self.node.take(),
        }
        let (of_kind, others) =
            std::mem::take(&mut self.rejections).into_iter().partition(|((of, _), _)| *of == kind);
        (taken.rejections, self.rejections) = (of_kind, others);
        taken
    }
}

#[cfg(test)]
mod tests;
