//! The demo's own copy of deploy/examples, read for its pods and edited as a person would: one
//! document of `pods.yaml` at a time, the new file moved over the old.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// The file with the pods.
const PODS: &str = "pods.yaml";
/// What stands between two documents.
const BETWEEN: &str = "---\n";
/// The label by which Services find the web pods.
const WEB: &str = "web";

/// A folder of manifests.
#[derive(Debug)]
pub struct Manifests {
    folder: PathBuf,
}

/// A pod as far as the demo reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its node's.
    pub node: String,
    /// The last byte of its IPv4 address, which its other address ends in too.
    pub host: u8,
    /// Whether it is one of the web service's.
    pub web: bool,
    /// Whether it is ready.
    pub ready: bool,
}

impl Manifests {
    /// Copies every manifest of a folder.
    pub fn copy(from: &Path, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let entries =
            fs::read_dir(from).with_context(|| format!("no folder {}", from.display()))?;
        for entry in entries {
            let path = entry?.path();
            let Some(name) = path.file_name() else { continue };
            if path.extension().is_some_and(|extension| extension == "yaml") {
                fs::copy(&path, folder.join(name))?;
            }
        }
        Ok(Self { folder })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The pods there are.
    pub fn pods(&self) -> Result<Vec<Pod>> {
        let text = fs::read_to_string(self.folder.join(PODS)).context("cannot read the pods")?;
        text.split(BETWEEN).map(|document| pod(document).context(PODS)).collect()
    }

    /// Takes a pod out.
    pub fn delete(&self, name: &str) -> Result<()> {
        self.edit(|mut documents| {
            documents.retain(|document| !is(document, name));
            documents
        })
    }

    /// Puts in a pod that is like another but for its name and the end of its addresses.
    pub fn add_like(&self, model: &str, name: &str, host: u8) -> Result<()> {
        let Some(like) = self.pods()?.into_iter().find(|pod| pod.name == model) else {
            bail!("there is no pod {model}")
        };
        self.edit(|mut documents| {
            let found = documents.iter().find(|document| is(document, model)).cloned();
            documents.extend(found.map(|document| renamed(&document, &like, name, host)));
            documents
        })
    }

    /// Makes a pod ready or not.
    pub fn set_ready(&self, name: &str, ready: bool) -> Result<()> {
        let word = |ready: bool| if ready { "status: \"True\"" } else { "status: \"False\"" };
        self.edit(|documents| {
            let change = |document: String| match is(&document, name) {
                true => document.replace(word(!ready), word(ready)),
                false => document,
            };
            documents.into_iter().map(change).collect()
        })
    }

    fn edit(&self, change: impl FnOnce(Vec<String>) -> Vec<String>) -> Result<()> {
        let path = self.folder.join(PODS);
        let text = fs::read_to_string(&path).context("cannot read the pods")?;
        let documents = change(text.split(BETWEEN).map(str::to_owned).collect());
        self.replace(&path, &documents.join(BETWEEN)).context("cannot write the pods")
    }

    /// At once: nobody ever reads half of it.
    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        let new = self.folder.join(format!(".{PODS}.new"));
        fs::write(&new, text)?;
        fs::rename(new, path)
    }
}

fn is(document: &str, name: &str) -> bool {
    document.lines().any(|line| line.strip_prefix("  name: ") == Some(name))
}

fn renamed(document: &str, like: &Pod, name: &str, host: u8) -> String {
    let mut text = String::new();
    for line in document.lines() {
        let is_address = line.contains("odIP: ") || line.contains("- ip: ");
        if line.strip_prefix("  name: ") == Some(&like.name) {
            text.push_str(&format!("  name: {name}"));
        } else if let Some(start) = line.strip_suffix(&like.host.to_string()).filter(|_| is_address)
        {
            text.push_str(&format!("{start}{host}"));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// A pod's fields, by the names Kubernetes gives them.
#[derive(Deserialize)]
struct Document {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    labels: Labels,
}

#[derive(Deserialize)]
struct Labels {
    app: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: String,
}

#[derive(Deserialize)]
struct Status {
    conditions: Vec<Condition>,
    #[serde(rename = "podIP")]
    pod_ip: IpAddr,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

fn pod(document: &str) -> Result<Pod> {
    let Document { metadata, spec, status } = serde_saphyr::from_str(document)?;
    let IpAddr::V4(address) = status.pod_ip else { bail!("{}: podIP is not IPv4", metadata.name) };
    let [.., host] = address.octets();
    let ready = status.conditions.iter().any(|one| one.r#type == "Ready" && one.status == "True");
    Ok(Pod {
        name: metadata.name,
        node: spec.node_name,
        host,
        web: metadata.labels.app == WEB,
        ready,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    fn manifests(test: &str) -> Manifests {
        let folder = std::env::temp_dir().join(format!("xtask-{}-{test}", std::process::id()));
        Manifests::copy(&workspace::root().join("deploy/examples"), folder).unwrap()
    }

    impl Drop for Manifests {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    fn names(manifests: &Manifests, select: impl Fn(&Pod) -> bool) -> Vec<String> {
        let pods = manifests.pods().unwrap().into_iter();
        pods.filter(|pod| select(pod)).map(|pod| pod.name).collect()
    }

    #[test]
    fn the_examples_have_three_web_pods_on_each_of_two_nodes_and_none_on_the_third() {
        let manifests = manifests("nodes");
        for (node, expected) in [
            ("node1", vec!["web-1", "web-2", "web-3"]),
            ("node2", vec!["web-4", "web-5", "web-6"]),
            ("node3", vec![]),
        ] {
            assert_eq!(names(&manifests, |pod| pod.web && pod.ready && pod.node == node), expected);
        }
        assert_eq!(names(&manifests, |pod| !pod.web), ["shell"]);
    }

    #[test]
    fn a_pod_can_be_deleted_added_and_made_unready() {
        let manifests = manifests("edits");
        manifests.delete("web-2").unwrap();
        manifests.add_like("web-6", "web-7", 5).unwrap();
        manifests.set_ready("web-3", false).unwrap();
        let expected = ["web-1", "web-4", "web-5", "web-6", "web-7"];
        assert_eq!(names(&manifests, |pod| pod.web && pod.ready), expected);
        let added = manifests.pods().unwrap().pop().unwrap();
        assert_eq!((added.node.as_str(), added.host), ("node2", 5));
        let text = fs::read_to_string(manifests.folder.join(PODS)).unwrap();
        assert!(text.contains("fd00:244:2::5") && text.contains("podIP: 10.244.2.5"), "{text}");
        assert_eq!(text.matches("fd00:244:2::4").count(), 1, "web-6 keeps its own");
        manifests.set_ready("web-3", true).unwrap();
        assert!(names(&manifests, |pod| pod.ready).contains(&"web-3".to_owned()));
        assert!(manifests.add_like("web-2", "web-8", 6).is_err());
    }
}
