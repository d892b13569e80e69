//! `--config`: a `KubeProxyConfiguration`, as clusters keep it in the ConfigMap `kube-proxy`.
//!
//! One table, [`fields`], says of each field what it must look like, what kube-proxy takes it for
//! when it is not set, and what becomes of it here: so nothing that somebody wrote down is passed
//! over in silence. What is typed on the command line wins over this file; [`check`](super::check)
//! puts the two together.

mod fields;
mod value;

use std::{fs, path::Path};

use serde_json::Value;

pub use fields::{FIELDS, Fate, Field};
pub use value::Shape;

const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
const KIND: &str = "KubeProxyConfiguration";

/// A configuration, every field of which has the shape that it should have.
#[derive(Debug, Default)]
pub(super) struct KubeProxy {
    content: Value,
    /// What is set to something and has no effect.
    pub(super) ignored: Vec<Ignored>,
}

/// A field that is set and has no effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ignored {
    field: String,
    value: String,
    reason: &'static str,
}

impl std::fmt::Display for Ignored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {}: {}", self.field, self.value, self.reason)
    }
}

/// Fields of a file that are not what they should be, each with the reason. No field: the file as
/// a whole.
pub(super) type Faults = Vec<(Option<String>, String)>;

impl KubeProxy {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, Faults> {
        let whole = |reason: String| vec![(None, reason)];
        let text =
            fs::read_to_string(path).map_err(|error| whole(format!("cannot be read: {error}")))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, Faults> {
        let options = serde_saphyr::options! { with_snippet: false };
        let content: Value = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| vec![(None, format!("is not YAML: {error}"))])?;
        if !content.is_object() {
            return Err(vec![(None, format!("holds no {KIND}"))]);
        }
        let mut faults = Faults::new();
        for (field, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            let found = content.get(field).and_then(Value::as_str);
            if found != Some(expected) {
                let found = found.unwrap_or_default();
                faults.push((Some(field.to_owned()), format!("is `{found}`, not {expected}")));
            }
        }
        if !faults.is_empty() {
            // Of another kind of object no other field means anything.
            return Err(faults);
        }
        let mut ignored = Vec::new();
        walk(&content, "", &mut ignored, &mut faults);
        if faults.is_empty() { Ok(Self { content, ignored }) } else { Err(faults) }
    }

    fn get(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.content, |value, name| value.get(name))
    }

    /// A text that is not empty.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// A switch, if it is set either way.
    pub(super) fn switch(&self, path: &str) -> Option<bool> {
        self.get(path)?.as_bool()
    }

    /// A number; not set is 0.
    pub(super) fn number(&self, path: &str) -> i64 {
        self.get(path).and_then(Value::as_i64).unwrap_or_default()
    }

    /// A list; not set is empty.
    pub(super) fn list(&self, path: &str) -> Vec<&str> {
        let list = self.get(path).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::trim).collect()
    }
}

/// Looks at everything below `section`.
fn walk(content: &Value, section: &str, ignored: &mut Vec<Ignored>, faults: &mut Faults) {
    for (name, value) in content.as_object().into_iter().flatten() {
        let path = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        let below = format!("{path}.");
        if let Some(field) = FIELDS.iter().find(|field| field.path == path) {
            if let Err(expected) = field.shape.check(value) {
                faults.push((Some(path), format!("is {}, not {expected}", value::shown(value))));
            } else if let Fate::Ignored(reason) = field.fate
                && field.shape.asks(value, field.default)
            {
                ignored.push(Ignored { field: path, value: value::shown(value), reason });
            }
        } else if FIELDS.iter().any(|field| field.path.starts_with(&below)) {
            match value {
                Value::Object(_) => walk(value, &path, ignored, faults),
                Value::Null => (),
                other => {
                    faults.push((Some(path), format!("is {}, not a section", value::shown(other))));
                }
            }
        } else if !value.is_null() {
            let reason = "no field of kube-proxy's configuration that is known here";
            ignored.push(Ignored { field: path, value: value::shown(value), reason });
        }
    }
}

#[cfg(test)]
mod tests;
