//! Objects of the Kubernetes API as values: reading them from files, telling them apart, and the
//! images in them.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::{fs, path::Path};

/// The objects in a file.
pub fn read(path: &Path) -> Result<Vec<Value>> {
    let wrong = || path.display().to_string();
    let text = fs::read_to_string(path).with_context(wrong)?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).with_context(wrong)?;
    for object in &objects {
        id(object).with_context(wrong)?;
    }
    Ok(objects)
}

/// Adds objects, none of which may be there already.
pub fn add(objects: &mut Vec<Value>, more: Vec<Value>) -> Result<()> {
    for object in more {
        let new = id(&object)?;
        for known in objects.iter() {
            if id(known)? == new {
                bail!("{} {} is there twice", new[1], new[3]);
            }
        }
        objects.push(object);
    }
    Ok(())
}

/// By what the API tells objects apart: version, kind, namespace and name.
fn id(object: &Value) -> Result<[&str; 4]> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    match (text("/apiVersion"), text("/kind"), text("/metadata/name")) {
        (Some(version), Some(kind), Some(name)) => {
            Ok([version, kind, text("/metadata/namespace").unwrap_or_default(), name])
        }
        _ => bail!("an object without apiVersion, kind or name"),
    }
}

/// Shows every container's image, wherever in the object there are containers.
pub fn each_image(value: &mut Value, show: &mut impl FnMut(&mut String)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if ["containers", "initContainers"].contains(&key.as_str()) {
                    for container in value.as_array_mut().into_iter().flatten() {
                        if let Some(Value::String(image)) = container.get_mut("image") {
                            show(image);
                        }
                    }
                } else {
                    each_image(value, show);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| each_image(value, show)),
        _ => (),
    }
}
