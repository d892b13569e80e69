//! Kubernetes objects to model values. Pure; the only place besides the sources that names
//! `k8s_openapi` types.
//!
//! What cannot be used is rejected by the smallest part that leaves the rest with its meaning: a
//! port, an address, an endpoint; the whole object only where a part less would make it behave
//! differently from what was asked. Sources call one function per kind and hand the rejections on.

mod annotation;
mod endpoints;
mod node;
mod pod;
mod service;
mod slice;
mod value;

pub use endpoints::endpoints;
pub use node::node;
pub use pod::pod;
pub use service::service;
pub use slice::{endpoint_slice, trigger_time};

use std::{fmt::Display, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::model::{Rejection, ServiceName};

/// What became of an object: its value, if anything is left of it, and what was refused. No value
/// and no rejection: the object is well-formed and no business of a proxy.
pub type Converted<T> = (Option<T>, Vec<Rejection>);

/// Labels whose mere presence hides a Service or its slices from this proxy.
const HIDING_LABELS: [&str; 2] =
    ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];

/// Namespace of an object that names none, as clients fill it in.
const DEFAULT_NAMESPACE: &str = "default";

/// What an object without a name is called.
const NAMELESS: &str = "(without a name)";

/// Collects what is refused of one object.
struct Notes {
    object: String,
    rejections: Vec<Rejection>,
}

impl Notes {
    fn new(kind: &str, metadata: &ObjectMeta) -> Self {
        Self { object: object_name(kind, metadata), rejections: Vec::new() }
    }

    /// Of a kind that is in no namespace.
    fn of_cluster(kind: &str, metadata: &ObjectMeta) -> Self {
        Self { object: cluster_object_name(kind, metadata), rejections: Vec::new() }
    }

    fn refuse(&mut self, field: impl Into<String>, reason: impl Display) {
        self.rejections.push(Rejection {
            object: self.object.clone(),
            field: field.into(),
            reason: reason.to_string(),
        });
    }

    /// The value, or a note about the field.
    fn check<T>(
        &mut self,
        field: impl Into<String>,
        value: Result<T, value::BadValue>,
    ) -> Option<T> {
        value.map_err(|bad| self.refuse(field, bad)).ok()
    }

    /// Namespace and name, or a note.
    fn name(&mut self, metadata: &ObjectMeta) -> Option<ServiceName> {
        match metadata.name.as_deref() {
            None | Some("") => {
                self.refuse("metadata.name", "is missing");
                None
            }
            Some(name) => Some(ServiceName::new(namespace(metadata), name)),
        }
    }
}

/// An object as rejections name it: `Service default/web`.
pub(super) fn object_name(kind: &str, metadata: &ObjectMeta) -> String {
    let name = metadata.name.as_deref().unwrap_or(NAMELESS);
    format!("{kind} {}/{name}", namespace(metadata))
}

/// An object that is in no namespace, as rejections name it: `Node n1`.
pub(super) fn cluster_object_name(kind: &str, metadata: &ObjectMeta) -> String {
    format!("{kind} {}", metadata.name.as_deref().unwrap_or(NAMELESS))
}

fn namespace(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAMESPACE)
}

fn hidden(metadata: &ObjectMeta) -> bool {
    HIDING_LABELS.iter().any(|label| has_label(metadata, label))
}

fn has_label(metadata: &ObjectMeta, key: &str) -> bool {
    metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(key))
}

/// The elements of a list that may be absent.
fn each<T>(list: Option<&Vec<T>>) -> impl Iterator<Item = (usize, &T)> {
    list.into_iter().flatten().enumerate()
}

fn shared(text: Option<&str>) -> Arc<str> {
    text.unwrap_or_default().into()
}
