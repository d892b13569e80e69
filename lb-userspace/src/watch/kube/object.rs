//! One object's text to its value. An object of the wrong shape spoils only itself.
//!
//! The text is read straight into the type; only if that fails is it read a second time, as a
//! tree, to find out who it is and what is wrong with it. So good objects cost nothing extra.

use std::{sync::Arc, time::SystemTime};

use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Resource, core::ObjectMeta};
use serde::de::DeserializeOwned;
use serde_json::{Value as Tree, value::RawValue};

use crate::{
    model::{self, Rejection, ServiceName},
    watch::{
        convert::{self, Converted},
        news::NodeNews,
        shape::{self, Misshapen},
    },
};

/// What is watched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Kind {
    /// Services.
    Services,
    /// EndpointSlices.
    Slices,
    /// The own Node.
    Node,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Services, Self::Slices, Self::Node];

    /// The path of all objects of the kind, in all namespaces.
    pub(super) fn path(self) -> String {
        match self {
            Self::Services => Service::url_path(&(), None),
            Self::Slices => EndpointSlice::url_path(&(), None),
            Self::Node => Node::url_path(&(), None),
        }
    }

    /// Reads an object.
    pub(super) fn read(self, text: &RawValue) -> Object {
        match self {
            Self::Services => self.read_as(text, |object: &Service| {
                let (draft, rejections) = convert::service(object);
                (draft.map(|draft| Value::Service(draft.service)), rejections)
            }),
            Self::Slices => self.read_as(text, |object: &EndpointSlice| {
                let (slice, rejections) = convert::endpoint_slice(object);
                let trigger = convert::trigger_time(object);
                (slice.map(|slice| Value::Slice(Arc::new(slice), trigger)), rejections)
            }),
            Self::Node => self.read_as(text, |object: &Node| {
                let (node, rejections) = convert::node(object);
                (node.map(Value::Node), rejections)
            }),
        }
    }

    fn read_as<K: Resource<DynamicType = ()> + DeserializeOwned>(
        self,
        text: &RawValue,
        convert: impl Fn(&K) -> Converted<Value>,
    ) -> Object {
        let converted = |object: K| {
            let (value, rejections) = convert(&object);
            Object::new(object.meta(), value, rejections)
        };
        if let Ok(object) = serde_json::from_str(text.get()) {
            return converted(object);
        }
        let (identity, read) = match serde_json::from_str::<Tree>(text.get()) {
            Ok(tree) => (shape::identity(&tree), shape::read(tree)),
            // Nested too deeply to be looked into.
            Err(error) => (
                ObjectMeta::default(),
                Err(Misshapen { field: String::new(), reason: error.to_string() }),
            ),
        };
        match read {
            Ok(object) => converted(object),
            Err(Misshapen { field, reason }) => {
                let object = self.describe(&identity);
                Object::new(&identity, None, vec![Rejection { object, field, reason }])
            }
        }
    }

    fn describe(self, identity: &ObjectMeta) -> String {
        match self {
            Self::Services => convert::object_name("Service", identity),
            Self::Slices => convert::object_name("EndpointSlice", identity),
            Self::Node => convert::cluster_object_name("Node", identity),
        }
    }
}

/// What is kept of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Value {
    /// As the API server holds it: everything is allotted.
    Service(Arc<model::Service>),
    /// With the time at which its last change was set off.
    Slice(Arc<model::EndpointSlice>, Option<SystemTime>),
    /// The own Node.
    Node(NodeNews),
}

/// An object as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Object {
    /// Namespace and name, both possibly empty.
    pub name: ServiceName,
    /// Its version; empty if it has none.
    pub version: String,
    /// What it says, if anything is left of it.
    pub value: Option<Value>,
    /// What was refused of it.
    pub rejections: Vec<Rejection>,
}

impl Object {
    fn new(metadata: &ObjectMeta, value: Option<Value>, rejections: Vec<Rejection>) -> Self {
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().to_owned();
        let name = ServiceName::new(&text(&metadata.namespace), &text(&metadata.name));
        Self { name, version: text(&metadata.resource_version), value, rejections }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};

    use super::*;

    fn read(kind: Kind, object: &Tree) -> Object {
        kind.read(&to_raw_value(object).unwrap())
    }

    fn service(port: &Tree) -> Tree {
        json!({
            "metadata": {"namespace": "shop", "name": "web", "resourceVersion": "17"},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": port}]},
        })
    }

    #[track_caller]
    fn check_rejected(kind: Kind, object: &Tree, name: (&str, &str), expected: &str) {
        let found = read(kind, object);
        assert_eq!(found.name, ServiceName::new(name.0, name.1));
        assert_eq!((found.value, found.rejections.len()), (None, 1));
        assert_eq!(found.rejections[0].to_string(), expected);
    }

    #[test]
    fn a_good_object_is_its_value_and_its_version() {
        let found = read(Kind::Services, &service(&json!(80)));
        assert_eq!((&*found.version, found.rejections.len()), ("17", 0));
        let Some(Value::Service(service)) = found.value else { panic!("no service") };
        assert_eq!((service.ports[0].port, service.cluster_ips.len()), (80, 1));
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named_with_its_object() {
        check_rejected(
            Kind::Services,
            &service(&json!("eighty")),
            ("shop", "web"),
            "Service shop/web: spec.ports[0].port: invalid type: string \"eighty\", expected i32",
        );
        check_rejected(
            Kind::Slices,
            &json!({"metadata": {"namespace": "shop", "name": "web-1"}, "endpoints": 7}),
            ("shop", "web-1"),
            "EndpointSlice shop/web-1: endpoints: invalid type: integer `7`, expected a sequence",
        );
        check_rejected(
            Kind::Node,
            &json!({"metadata": {"name": "n1"}, "status": []}),
            ("", "n1"),
            "Node n1: status: invalid type: sequence, expected NodeStatus",
        );
    }

    #[test]
    fn even_an_object_without_metadata_is_only_one_object() {
        for object in [json!({"metadata": 3}), json!([]), json!(null), json!("text")] {
            let found = read(Kind::Services, &object);
            assert_eq!((found.value, found.rejections.len()), (None, 1), "{object}");
        }
    }

    #[test]
    fn a_field_said_twice_is_not_held_against_the_object() {
        let text = r#"{"metadata":{"name":"web"},"spec":{},"spec":{"clusterIP":"10.96.0.1"}}"#;
        let found = Kind::Services.read(&RawValue::from_string(text.to_owned()).unwrap());
        assert!(found.value.is_some() && found.rejections.is_empty(), "{found:?}");
    }

    #[test]
    fn the_version_of_a_spoiled_object_still_counts() {
        assert_eq!(read(Kind::Services, &service(&json!([]))).version, "17");
    }
}
