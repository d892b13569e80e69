//! Agents in the container that deploy/kustomize describes: its capabilities, its volumes, a root
//! that cannot be written. What is tried here is read from the manifests, so that they cannot say
//! one thing and the program need another.

use std::{fs, path::Path, process::Output};

use lb_testbed::{Agent, AgentOptions, Container, Error, Probe, Volume};
use serde_json::Value;

use crate::stage::{MAIN, SLUICE, Stage, complaint, service, until_logged};

const KUSTOMIZE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kustomize");
const TEMPLATE: &str = "/spec/template/spec";
const WEB: &str = "10.96.0.10:80";

fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(Path::new(KUSTOMIZE).join(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The container of a manifest's pod that is at this place in it.
fn container(manifest: &str, pointer: &str) -> Container {
    let manifest = yaml(manifest);
    let pod = manifest.pointer(TEMPLATE).unwrap();
    let container = pod.pointer(pointer).unwrap();
    let security = &container["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(texts(&security["capabilities"]["drop"]), ["ALL"]);
    let host = |name: &Value| {
        let mut volumes = pod["volumes"].as_array().unwrap().iter();
        let volume = volumes.find(|volume| volume["name"] == *name).unwrap();
        volume["hostPath"]["path"].as_str().unwrap().to_owned()
    };
    let mounts = container["volumeMounts"].as_array().unwrap().iter();
    let volumes = mounts.map(|mount| Volume {
        host: host(&mount["name"]).into(),
        inside: mount["mountPath"].as_str().unwrap().into(),
        read_only: mount["readOnly"] == true,
    });
    Container { capabilities: texts(&security["capabilities"]["add"]), volumes: volumes.collect() }
}

fn agents() -> Container {
    container("base/daemonset.yaml", "/containers/0")
}

/// Capabilities that a component adds.
fn added(component: &str) -> Vec<String> {
    let component = yaml(&format!("components/{component}/kustomization.yaml"));
    let operations = component["patches"][0]["patch"].as_str().unwrap();
    let operations: Vec<Value> = serde_saphyr::from_str(operations).unwrap();
    let path = format!("{TEMPLATE}/containers/0/securityContext/capabilities/add/-");
    let added = operations.iter().filter(|operation| operation["path"] == path.as_str());
    added.map(|operation| operation["value"].as_str().unwrap().to_owned()).collect()
}

/// Two pods that serve and one that calls, with a Service of the first.
fn stage() -> Stage {
    let stage = Stage::new(1).with("node1", "one").with("node1", "two").with("node1", "caller");
    serve(&stage, "one");
    stage
}

fn serve(stage: &Stage, pod: &str) {
    let ports = "ports: [{name: http, port: 80, nodePort: 30080}, \
                 {name: dns, port: 53, protocol: UDP}]";
    let web = service("web", &format!("type: NodePort, clusterIP: 10.96.0.10, {ports}"));
    stage.write(MAIN, &[web, stage.endpoints("web", &[pod])]);
}

fn options(stage: &Stage, mut container: Container) -> AgentOptions {
    // The manifests stand for the API server.
    let (host, inside) = (stage.manifests().into(), stage.manifests().into());
    container.volumes.push(Volume { host, inside, read_only: true });
    let mut options = AgentOptions::new(SLUICE, stage.manifests());
    options.container = Some(container);
    options
}

fn start(stage: &Stage, container: Container) -> Result<Agent, Error> {
    stage.cluster.start_agent("node1", &options(stage, container))
}

fn without(mut container: Container, capability: &str) -> Container {
    container.capabilities.retain(|kept| kept != capability);
    container
}

#[test]
fn what_the_daemonset_grants_is_enough_to_start_to_follow_on_and_to_clean_up() {
    let stage = stage();
    let node_port = format!("{}:30080", stage.address("node1", true).unwrap());
    let served = || {
        stage.assert_who("caller", WEB, Some(&["one"]));
        stage.assert_who("client", &node_port, Some(&["one"]));
    };
    let first = start(&stage, agents()).unwrap();
    served();
    first.kill().unwrap();
    served();
    let second = start(&stage, agents()).unwrap();
    until_logged(&second, &["socket programs attached", "replaced=8"]);
    served();
    let pins = second.pins().to_owned();
    second.stop().unwrap();

    let cleaner = container("overlays/cleanup/daemonset.yaml", "/initContainers/0");
    let inside = cleaner
        .volumes
        .iter()
        .find_map(|volume| Some(volume.inside.join(pins.strip_prefix(&volume.host).ok()?)));
    let flag = format!("--pin-path={}", inside.unwrap().display());
    let done = run(&stage, &cleaner, &["cleanup", &flag]);
    assert!(done.status.success(), "{done:?}");
    assert!(!pins.exists());
    stage.assert_who("caller", WEB, None);
}

fn run(stage: &Stage, container: &Container, arguments: &[&str]) -> Output {
    let place = stage.cluster.place("node1").unwrap();
    let arguments = arguments.iter().map(Into::into).collect();
    let launcher = stage.cluster.launcher();
    launcher.contained(&place, container, SLUICE, arguments).unwrap().output().unwrap()
}

#[test]
fn without_any_one_capability_of_the_daemonset_the_start_says_which() {
    let stage = stage();
    let granted = agents().capabilities;
    assert_eq!(granted, ["BPF", "NET_ADMIN", "PERFMON"]);
    for capability in granted {
        let failed = start(&stage, without(agents(), &capability)).unwrap_err().to_string();
        assert!(failed.contains("exit status: 1"), "{failed}");
        assert!(failed.contains(&format!("missing CAP_{capability}")), "{failed}");
        assert!(!stage.cluster.pins("node1").unwrap().exists(), "{capability}");
    }
    let nothing = Container { capabilities: Vec::new(), ..agents() };
    let (code, said) = complaint(&run(&stage, &nothing, &["cleanup"]));
    assert_eq!(code, Some(1), "{said}");
    for capability in ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"] {
        assert!(said.contains(capability), "{said}");
    }
}

#[test]
fn sockets_in_pods_are_closed_with_what_their_component_adds_and_nothing_less() {
    let stage = stage();
    let wanted = added("pod-sockets");
    assert_eq!(wanted, ["SYS_ADMIN", "SYS_PTRACE"]);
    let mut whole = agents();
    whole.capabilities.extend(wanted.iter().cloned());
    let stays = "UDP sockets in pods stay connected";
    for capability in &wanted {
        let agent = start(&stage, without(whole.clone(), capability)).unwrap();
        until_logged(&agent, &["WARN", stays, &format!("CAP_{capability}")]);
        agent.stop().unwrap();
    }
    let agent = start(&stage, whole).unwrap();
    assert!(!agent.own_log().unwrap().contains(stays));
    let dns = "10.96.0.10:53".parse().unwrap();
    let held = Probe::udp(dns).until_stopped().reusing();
    let held = stage.cluster.start_probe("caller", &held).unwrap();
    stage.until_who("caller", WEB, Some(&["one"]));
    serve(&stage, "two");
    until_logged(&agent, &["UDP sockets closed", "closed=1"]);
    held.stop().unwrap();
}
