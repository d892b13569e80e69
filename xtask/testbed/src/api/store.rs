//! The server's objects, as JSON, and every change to them by its resource version. Nothing about
//! HTTP here.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};

use super::selector::Selector;

/// Kinds that agents ask for, by the plural in their paths. Others are served under a made-up kind.
const KINDS: [(&str, &str, &str); 5] = [
    ("services", "v1", "Service"),
    ("nodes", "v1", "Node"),
    ("pods", "v1", "Pod"),
    ("events", "v1", "Event"),
    ("endpointslices", "discovery.k8s.io/v1", "EndpointSlice"),
];

/// `apiVersion` and `kind` of a resource's objects.
pub(super) fn kind(resource: &str) -> (&'static str, &'static str) {
    let found = KINDS.iter().find(|(plural, ..)| *plural == resource);
    found.map_or(("v1", "Unknown"), |(_, version, kind)| (version, kind))
}

/// Which object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    /// The plural, as in a path.
    pub resource: String,
    /// Empty for what has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// A key from its parts.
    pub fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self { resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }
}

/// One change: an object as it was and as it is, absent before it came and after it went.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) key: Key,
    pub(super) old: Option<Arc<Value>>,
    pub(super) new: Option<Arc<Value>>,
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) version: u64,
    pub(super) items: Vec<Arc<Value>>,
    /// The token and number of what is left.
    pub(super) rest: Option<(String, usize)>,
}

/// What is asked for: a resource, in one namespace or all, that passes the selectors.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
    pub(super) labels: Selector,
    pub(super) fields: Selector,
}

impl Query {
    pub(super) fn covers(&self, key: &Key) -> bool {
        self.resource == key.resource
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    }

    pub(super) fn selects(&self, object: &Value) -> bool {
        self.labels.selects_labels(object) && self.fields.selects_fields(object)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Store {
    version: u64,
    /// Changes up to this version are forgotten.
    compacted: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    /// What is left of lists that were begun, so that a list shows one moment however many pages
    /// it comes in.
    begun: BTreeMap<String, (u64, Vec<Arc<Value>>)>,
}

impl Store {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn compacted(&self) -> u64 {
        self.compacted
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// Puts an object in, with what a server adds to every object; its `metadata` is left alone
    /// where it is not an object.
    pub(super) fn put(&mut self, resource: &str, mut object: Value) -> Key {
        self.version += 1;
        let (api_version, kind) = kind(resource);
        let name = |field: &str| {
            let text = object["metadata"][field].as_str();
            text.map(str::to_owned)
        };
        let unnamed = || format!("unnamed-{}", self.version);
        let key = Key {
            resource: resource.to_owned(),
            namespace: name("namespace").unwrap_or_default(),
            name: name("name").unwrap_or_else(unnamed),
        };
        if let Some(fields) = object.as_object_mut() {
            fields.entry("apiVersion").or_insert_with(|| api_version.into());
            fields.entry("kind").or_insert_with(|| kind.into());
            if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
                let uid = format!("00000000-0000-4000-8000-{:012}", self.version);
                metadata.entry("uid").or_insert_with(|| uid.into());
                metadata
                    .entry("creationTimestamp")
                    .or_insert_with(|| "2026-01-01T00:00:00Z".into());
                metadata.insert("resourceVersion".into(), self.version.to_string().into());
            }
        }
        let new = Arc::new(object);
        let old = self.objects.insert(key.clone(), Arc::clone(&new));
        let version = self.version;
        self.history.push_back(Change { version, key: key.clone(), old, new: Some(new) });
        key
    }

    /// Takes an object out; false if there is none.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        let Some(old) = self.objects.remove(key) else { return false };
        self.version += 1;
        let (version, key) = (self.version, key.clone());
        self.history.push_back(Change { version, key, old: Some(old), new: None });
        true
    }

    /// All objects of a resource.
    pub(super) fn all(&self, resource: &str) -> Vec<Arc<Value>> {
        self.select(&Query { resource: resource.to_owned(), ..Query::default() })
    }

    pub(super) fn select(&self, query: &Query) -> Vec<Arc<Value>> {
        let all = self.objects.iter().filter(|(key, _)| query.covers(key));
        all.map(|(_, object)| object).filter(|object| query.selects(object)).cloned().collect()
    }

    /// The first page of a list.
    pub(super) fn list(&mut self, query: &Query, limit: Option<usize>) -> Page {
        self.page(self.version, self.select(query), limit)
    }

    /// The next page, or `None` if its token is no longer known.
    pub(super) fn go_on(&mut self, token: &str, limit: Option<usize>) -> Option<Page> {
        let (version, rest) = self.begun.remove(token)?;
        Some(self.page(version, rest, limit))
    }

    fn page(&mut self, version: u64, mut items: Vec<Arc<Value>>, limit: Option<usize>) -> Page {
        let rest = items.split_off(items.len().min(limit.unwrap_or(usize::MAX)));
        let rest = (!rest.is_empty()).then(|| {
            let count = rest.len();
            let token = format!("{version}-{}-{count}", self.begun.len());
            self.begun.insert(token.clone(), (version, rest));
            (token, count)
        });
        Page { version, items, rest }
    }

    /// Changes after a version, oldest first.
    pub(super) fn since(&self, version: u64) -> impl Iterator<Item = &Change> {
        let first = self.history.partition_point(|change| change.version <= version);
        self.history.range(first..)
    }

    /// Gives up older versions and lists under way. Streams that are open still hear what they
    /// have not yet heard.
    pub(super) fn compact(&mut self) {
        // A version of nobody's: a watch from the present, too, is then from before.
        self.version += 1;
        self.compacted = self.version;
        self.begun.clear();
    }
}

/// What a watcher with this query is told of a change: the kind of event and its object.
pub(super) fn told(query: &Query, change: &Change) -> Option<(&'static str, Value)> {
    if !query.covers(&change.key) {
        return None;
    }
    let selected = |object: &Option<Arc<Value>>| {
        object.as_ref().filter(|object| query.selects(object)).cloned()
    };
    let (event, object) = match (selected(&change.old), selected(&change.new)) {
        (None, None) => return None,
        (None, Some(new)) => ("ADDED", new),
        (Some(_), Some(new)) => ("MODIFIED", new),
        (Some(old), None) => ("DELETED", old),
    };
    let mut object = Value::clone(&object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".into(), json!(change.version.to_string()));
    }
    Some((event, object))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, label: Option<&str>) -> Value {
        let labels = label.map_or(json!({}), |label| json!({label: "x"}));
        json!({"metadata": {"namespace": "default", "name": name, "labels": labels}})
    }

    fn names(items: &[Arc<Value>]) -> Vec<&str> {
        items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
    }

    fn services(labels: &str) -> Query {
        let labels = Selector::parse(labels).expect("a selector");
        Query { resource: "services".into(), labels, ..Query::default() }
    }

    #[test]
    fn all_pages_of_a_list_show_one_moment() {
        let mut store = Store::default();
        for name in ["a", "b", "c"] {
            store.put("services", object(name, None));
        }
        let first = store.list(&services(""), Some(2));
        assert_eq!((names(&first.items), first.version), (vec!["a", "b"], 3));
        let (token, left) = first.rest.expect("a second page");
        assert_eq!(left, 1);
        store.remove(&Key::new("services", "default", "c"));
        let second = store.go_on(&token, Some(2)).expect("the second page");
        assert_eq!((names(&second.items), second.version), (vec!["c"], 3));
        assert!(second.rest.is_none());
    }

    #[test]
    fn a_list_cannot_go_on_after_compaction() {
        let mut store = Store::default();
        store.put("services", object("a", None));
        store.put("services", object("b", None));
        let (token, _) = store.list(&services(""), Some(1)).rest.expect("a second page");
        store.compact();
        assert!(store.go_on(&token, Some(1)).is_none());
    }

    #[test]
    fn a_watcher_hears_of_what_enters_and_leaves_its_selection() {
        let mut store = Store::default();
        store.put("services", object("a", None));
        store.put("services", object("a", Some("hidden")));
        store.put("services", object("a", None));
        store.put("endpointslices", object("other", None));
        store.remove(&Key::new("services", "default", "a"));
        let query = services("!hidden");
        let told: Vec<_> = store.since(0).filter_map(|change| told(&query, change)).collect();
        let events: Vec<_> = told
            .iter()
            .map(|(event, object)| (*event, object["metadata"]["resourceVersion"].as_str()))
            .collect();
        assert_eq!(
            events,
            [
                ("ADDED", Some("1")),
                ("DELETED", Some("2")),
                ("ADDED", Some("3")),
                ("DELETED", Some("5")),
            ]
        );
    }
}
