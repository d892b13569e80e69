//! The part of kustomize that deploy/kustomize uses, so that rendering it needs nothing but this
//! program: resources, components, JSON patches and images. A field that is not known here is
//! refused, never passed over.

use super::{object, patch::Operation};
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use std::{fs, path::Path};

/// The file that makes a folder one of kustomize's.
const FILE: &str = "kustomization.yaml";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kustomization {
    api_version: String,
    kind: Kind,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    components: Vec<String>,
    #[serde(default)]
    patches: Vec<Patch>,
    #[serde(default)]
    images: Vec<Image>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Kustomization,
    Component,
}

impl Kind {
    /// Its only version that is understood.
    fn api_version(self) -> &'static str {
        match self {
            Self::Kustomization => "kustomize.config.k8s.io/v1beta1",
            Self::Component => "kustomize.config.k8s.io/v1alpha1",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    target: Target,
    /// A list of operations, as YAML.
    patch: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    kind: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Image {
    name: String,
    new_name: Option<String>,
    new_tag: Option<String>,
    digest: Option<String>,
}

/// The objects that a folder with a kustomization stands for, in the order in which it names them.
pub fn build(folder: &Path) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    apply(folder, Kind::Kustomization, &mut objects)?;
    Ok(objects)
}

/// Adds a folder's resources to the objects, then makes its changes to all of them.
fn apply(folder: &Path, kind: Kind, objects: &mut Vec<Value>) -> Result<()> {
    let path = folder.join(FILE);
    let wrong = || path.display().to_string();
    let text = fs::read_to_string(&path).with_context(wrong)?;
    let here: Kustomization = serde_saphyr::from_str(&text).with_context(wrong)?;
    if here.kind != kind || here.api_version != kind.api_version() {
        bail!("{}: not a {kind:?} of {}", path.display(), kind.api_version());
    }
    for resource in &here.resources {
        let place = folder.join(resource);
        let mut found = Vec::new();
        if place.is_dir() {
            apply(&place, Kind::Kustomization, &mut found)?;
        } else {
            found = object::read(&place)?;
        }
        object::add(objects, found).with_context(wrong)?;
    }
    for component in &here.components {
        apply(&folder.join(component), Kind::Component, objects)?;
    }
    here.patches.iter().try_for_each(|patch| patch.apply(objects)).with_context(wrong)?;
    here.images.iter().try_for_each(|image| image.apply(objects)).with_context(wrong)
}

impl Patch {
    fn apply(&self, objects: &mut [Value]) -> Result<()> {
        let Target { kind, name } = &self.target;
        let is_meant = |value: &&mut Value| {
            value["kind"] == kind.as_str() && value["metadata"]["name"] == name.as_str()
        };
        let Some(target) = objects.iter_mut().find(is_meant) else {
            bail!("a patch of {kind} {name}, which is not there");
        };
        let operations: Vec<Operation> = serde_saphyr::from_str(&self.patch)
            .with_context(|| format!("a patch of {kind} {name} is no list of operations"))?;
        operations
            .iter()
            .try_for_each(|operation| operation.apply(target))
            .with_context(|| format!("patching {kind} {name}"))
    }
}

impl Image {
    fn apply(&self, objects: &mut [Value]) -> Result<()> {
        let mut changed = 0;
        for object in objects {
            object::each_image(object, &mut |image| {
                if let Some(new) = self.instead_of(image) {
                    *image = new;
                    changed += 1;
                }
            });
        }
        if changed == 0 {
            bail!("no container has the image {}", self.name);
        }
        Ok(())
    }

    /// What stands in the place of an image, if this is about it.
    fn instead_of(&self, image: &str) -> Option<String> {
        let rest = image.strip_prefix(&self.name)?;
        if !(rest.is_empty() || rest.starts_with([':', '@'])) {
            return None;
        }
        let name = self.new_name.as_deref().unwrap_or(&self.name);
        Some(match (&self.new_tag, &self.digest) {
            (Some(tag), Some(digest)) => format!("{name}:{tag}@{digest}"),
            (Some(tag), None) => format!("{name}:{tag}"),
            (None, Some(digest)) => format!("{name}@{digest}"),
            (None, None) => format!("{name}{rest}"),
        })
    }
}

#[cfg(test)]
mod tests;
