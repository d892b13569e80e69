//! The text of one manifest file to objects: the very files people hand to `kubectl apply`.
//!
//! Two kinds of mistake are told apart. Text that is not YAML or JSON makes the whole file
//! unusable, since nobody can say where its next object begins; the caller then keeps what the
//! file said before. An object of the wrong shape, a text where a number belongs, is rejected by
//! name and field, and the rest of the file counts.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Endpoints, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Resource,
    core::{GroupVersionKind, TypeMeta},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    convert::{self, Converted, object_name},
    document::{Format, Text, split_json, split_yaml},
    draft::{EndpointsDraft, PodDraft, ServiceDraft},
    shape,
};
use crate::model::{self, Rejection};

/// Nodes and events in a single document, far above any real one: a list of ten thousand Services
/// has some four hundred thousand.
const DOCUMENT_NODES: usize = 20_000_000;

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    documents: Vec<Document>,
}

/// An object that matters to a proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Object {
    /// A Service.
    Service(Arc<ServiceDraft>),
    /// An EndpointSlice.
    Slice(Arc<model::EndpointSlice>),
    /// An Endpoints object that would be mirrored if its Service has no selector.
    Endpoints(Arc<EndpointsDraft>),
    /// A Pod.
    Pod(Arc<PodDraft>),
}

/// The text of a file is neither YAML nor JSON.
#[derive(Debug, thiserror::Error)]
#[error("document {document}, line {line}: {reason}")]
pub struct ManifestError {
    /// Which document of the file, from 1.
    pub document: usize,
    /// The line in the file, from 1.
    pub line: usize,
    /// The parser's words.
    pub reason: String,
}

#[derive(Clone, Debug)]
struct Document {
    number: usize,
    line: usize,
    fingerprint: u64,
    content: Arc<Content>,
}

/// What one document says, without its place in the file: it is kept while the text is the same.
#[derive(Debug, Default)]
struct Content {
    objects: Vec<Object>,
    rejections: Vec<Rejection>,
    misshapen: Vec<Misshapen>,
    passed_over: Vec<String>,
}

/// An object that is not what its kind demands.
#[derive(Debug)]
struct Misshapen {
    rejection: Rejection,
    /// Line within the document, from 0.
    line: usize,
}

impl Manifest {
    /// Reads a file's text. Documents whose text stood in `before` already are taken from there.
    pub fn read(text: &str, format: Format, before: &Self) -> Result<Self, ManifestError> {
        let texts = match format {
            Format::Yaml => split_yaml(text),
            Format::Json => split_json(text).map_err(|error| ManifestError {
                document: 1 + serde_json::Deserializer::from_str(text)
                    .into_iter::<serde::de::IgnoredAny>()
                    .take_while(Result::is_ok)
                    .count(),
                line: error.line(),
                reason: error.to_string(),
            })?,
        };
        let known: HashMap<u64, &Arc<Content>> =
            before.documents.iter().map(|d| (d.fingerprint, &d.content)).collect();
        let documents = texts.iter().map(|text| {
            let fingerprint = text.fingerprint();
            let content = match known.get(&fingerprint) {
                Some(content) => Arc::clone(content),
                None => Arc::new(Content::read(text, format)?),
            };
            Ok(Document { number: text.number, line: text.line, fingerprint, content })
        });
        Ok(Self { documents: documents.collect::<Result<_, _>>()? })
    }

    /// Its objects, in the order they are written.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.documents.iter().flat_map(|document| &document.content.objects)
    }

    /// What was refused; `file` is named where an object has the wrong shape.
    pub fn rejections<'a>(&'a self, file: &'a str) -> impl Iterator<Item = Rejection> + 'a {
        self.documents.iter().flat_map(move |document| {
            let misshapen = document.content.misshapen.iter().map(move |misshapen| {
                let (number, line) = (document.number, document.line + misshapen.line);
                let Rejection { object, field, reason } = misshapen.rejection.clone();
                let reason = format!("{reason} ({file}, document {number}, line {line})");
                Rejection { object, field, reason }
            });
            document.content.rejections.iter().cloned().chain(misshapen)
        })
    }

    /// Kinds it has that are not a proxy's business, with how many of each.
    pub fn passed_over(&self) -> std::collections::BTreeMap<&str, usize> {
        let mut kinds = std::collections::BTreeMap::new();
        for kind in self.documents.iter().flat_map(|document| &document.content.passed_over) {
            *kinds.entry(kind.as_str()).or_default() += 1;
        }
        kinds
    }
}

impl Content {
    fn read(document: &Text<'_>, format: Format) -> Result<Self, ManifestError> {
        let value = match format {
            Format::Yaml => yaml(document.text).map_err(|error| {
                let line = error.location().map_or(1, |location| location.line());
                let offset = document.line - 1;
                let options = serde_saphyr::render_options! { line_offset: offset as u64 };
                ManifestError {
                    document: document.number,
                    line: offset + line as usize,
                    reason: error.render_with_options(options),
                }
            })?,
            Format::Json => serde_json::from_str(document.text).map_err(|error| ManifestError {
                document: document.number,
                line: document.line - 1 + error.line(),
                reason: error.to_string(),
            })?,
        };
        let mut content = Self::default();
        content.add(value, None, Some(document.text));
        content.objects.shrink_to_fit();
        Ok(content)
    }

    /// Adds an object, or the objects of a list. `implied` is the type of an element whose list
    /// says it; `text` is there for an object that is a document of its own.
    fn add(&mut self, value: Value, implied: Option<&TypeMeta>, text: Option<&str>) {
        if value.is_null() {
            return;
        }
        let given = TypeMeta::deserialize(&value).ok();
        let Some(types) = given.as_ref().or(implied) else {
            let name = object_name("Object", &shape::identity(&value));
            self.misshapen(name, "", "has no apiVersion or no kind", 0);
            return;
        };
        if let (Some(element), Some(Value::Array(items))) =
            (types.kind.strip_suffix("List"), value.get("items"))
        {
            let implied =
                TypeMeta { api_version: types.api_version.clone(), kind: element.to_owned() };
            let implied = (!element.is_empty()).then_some(&implied);
            for item in items {
                self.add(item.clone(), implied, None);
            }
            return;
        }
        let Ok(kind) = GroupVersionKind::try_from(types) else {
            self.passed_over.push(format!("{} {}", types.api_version, types.kind));
            return;
        };
        if is::<Service>(&kind) {
            self.take(value, text, convert::service, Object::Service);
        } else if is::<EndpointSlice>(&kind) {
            self.take(value, text, convert::endpoint_slice, Object::Slice);
        } else if is::<Endpoints>(&kind) {
            self.take(value, text, convert::endpoints, Object::Endpoints);
        } else if is::<Pod>(&kind) {
            self.take(value, text, convert::pod, Object::Pod);
        } else {
            self.passed_over.push(format!("{} {}", types.api_version, types.kind));
        }
    }

    fn take<K, T>(
        &mut self,
        value: Value,
        text: Option<&str>,
        convert: impl Fn(&K) -> Converted<T>,
        wrap: impl Fn(Arc<T>) -> Object,
    ) where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let identity = shape::identity(&value);
        match shape::read::<K>(value) {
            Ok(object) => {
                let (value, rejections) = convert(&object);
                self.objects.extend(value.map(|value| wrap(Arc::new(value))));
                self.rejections.extend(rejections);
            }
            Err(shape::Misshapen { field, reason }) => {
                // The tree the object was read from has no lines; the text has.
                let line = text.and_then(|text| yaml::<K>(text).err()).and_then(|error| {
                    error.location().map(|location| location.line() as usize - 1)
                });
                let name = object_name(&K::kind(&()), &identity);
                self.misshapen(name, &field, &reason, line.unwrap_or(0));
            }
        }
    }

    fn misshapen(&mut self, object: String, field: &str, reason: &str, line: usize) {
        let rejection = Rejection { object, field: field.to_owned(), reason: reason.to_owned() };
        self.misshapen.push(Misshapen { rejection, line });
    }
}

fn is<K: Resource<DynamicType = ()>>(kind: &GroupVersionKind) -> bool {
    kind.kind == K::kind(&()) && kind.group == K::group(&()) && kind.version == K::version(&())
}

fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_events: DOCUMENT_NODES,
            max_nodes: DOCUMENT_NODES,
        },
    };
    serde_saphyr::from_str_with_options(text, options)
}

#[cfg(test)]
mod tests;
