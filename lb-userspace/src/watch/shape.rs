//! Objects of the wrong shape: a text where a number belongs spoils its object, which can still be
//! named, together with the field. Shared by the sources; [`convert`](super::convert) looks at what
//! fields of the right shape say.

use kube::core::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An object that is not what its kind demands.
#[derive(Debug)]
pub(super) struct Misshapen {
    /// The first field that is wrong; empty if it is the object as a whole.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads an object, or tells what is wrong with it.
pub(super) fn read<K: DeserializeOwned>(value: Value) -> Result<K, Misshapen> {
    serde_path_to_error::deserialize::<_, K>(value).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { String::new() } else { path };
        Misshapen { field, reason: error.inner().to_string() }
    })
}

/// Name, namespace and version of an object, whatever else is wrong with it.
pub(super) fn identity(value: &Value) -> ObjectMeta {
    let text = |key| value.pointer(key).and_then(Value::as_str).map(str::to_owned);
    ObjectMeta {
        name: text("/metadata/name"),
        namespace: text("/metadata/namespace"),
        resource_version: text("/metadata/resourceVersion"),
        ..ObjectMeta::default()
    }
}
