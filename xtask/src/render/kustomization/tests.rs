use super::build;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// A tree of files that goes with the value.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let root =
            std::env::temp_dir().join(format!("sluice-kustomize-{}-{name}", std::process::id()));
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(root)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

const BASE: &str = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
const COMPONENT: &str = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n";
const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: one}, spec: {containers: \
                   [{image: 'sluice:old'}, {image: other/sluice}]}}";

/// What becomes of a pod under a kustomization that ends in `rest`.
#[track_caller]
fn check(name: &str, rest: &str, expected: Result<Value, &str>) {
    let top = format!("{BASE}resources: [pod.yaml]\n{rest}");
    let component = format!(
        "{COMPONENT}patches: [{{target: {{kind: Pod, name: one}}, patch: '[{{op: add, path: \
         /spec/hostPID, value: true}}]'}}]"
    );
    let tree = Tree::new(
        name,
        &[
            ("kustomization.yaml", &top),
            ("pod.yaml", POD),
            ("base/kustomization.yaml", &format!("{BASE}resources: [../pod.yaml]")),
            ("extra/kustomization.yaml", &component),
        ],
    );
    match (build(&tree.0), expected) {
        (Ok(objects), Ok(expected)) => assert_eq!(objects[0]["spec"], expected),
        (Err(error), Err(part)) => {
            let complaint = format!("{error:#}");
            assert!(complaint.contains(part), "no `{part}` in: {complaint}");
        }
        (found, expected) => panic!("{found:?}, where {expected:?} was expected"),
    }
}

fn containers(first: &str) -> Value {
    json!([{"image": first}, {"image": "other/sluice"}])
}

#[test]
fn images_are_changed_by_their_name() {
    let spec = |first: &str| Ok(json!({"containers": containers(first)}));
    check("same", "", spec("sluice:old"));
    check("tag", "images: [{name: sluice, newTag: '1.0'}]", spec("sluice:1.0"));
    check("name", "images: [{name: sluice, newName: here/x}]", spec("here/x:old"));
    let digest = "images: [{name: sluice, newName: here/x, digest: 'sha256:ab'}]";
    check("digest", digest, spec("here/x@sha256:ab"));
}

#[test]
fn components_patch_what_is_there_before_them() {
    let with_pid = json!({"containers": containers("sluice:old"), "hostPID": true});
    check("component", "components: [extra]", Ok(with_pid));
    let after = "components: [extra]\npatches: [{target: {kind: Pod, name: one}, patch: '[{op: \
                 remove, path: /spec/hostPID}]'}]";
    check("after", after, Ok(json!({"containers": containers("sluice:old")})));
}

#[test]
fn what_is_not_understood_is_refused() {
    check("field", "namePrefix: x-", Err("namePrefix"));
    check("image-field", "images: [{name: sluice, tagSuffix: x}]", Err("tagSuffix"));
    check("no-image", "images: [{name: none, newTag: x}]", Err("no container has the image none"));
    let strategic = "patches: [{target: {kind: Pod, name: one}, patch: '{spec: {}}'}]";
    check("strategic", strategic, Err("no list of operations"));
    let nobody = "patches: [{target: {kind: Pod, name: two}, patch: '[]'}]";
    check("nobody", nobody, Err("Pod two, which is not there"));
    let options = "patches: [{target: {kind: Pod, name: one}, options: {}, patch: '[]'}]";
    check("options", options, Err("options"));
    let test = "patches: [{target: {kind: Pod, name: one}, patch: '[{op: test, path: /a}]'}]";
    check("test", test, Err("no list of operations"));
    check("not-a-component", "components: [base]", Err("not a Component"));
    check("missing", "components: [nowhere]", Err("nowhere"));
}

#[test]
fn an_object_cannot_be_there_twice() {
    let tree = Tree::new(
        "twice",
        &[
            ("kustomization.yaml", &format!("{BASE}resources: [pod.yaml, again]")),
            ("again/kustomization.yaml", &format!("{BASE}resources: [../pod.yaml]")),
            ("pod.yaml", POD),
        ],
    );
    let complaint = format!("{:#}", build(&tree.0).unwrap_err());
    assert!(complaint.contains("Pod one is there twice"), "{complaint}");
}
