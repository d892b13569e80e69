use serde_json::{Value, json};

use super::*;

fn convert_pod(spec: Value, status: Value) -> PodDraft {
    let metadata = json!({"name": "web-0", "namespace": "shop", "labels": {"app": "web"}});
    let object = json!({"metadata": metadata, "spec": spec, "status": status});
    let (draft, rejections) = pod(&serde_json::from_value(object).unwrap());
    assert_eq!(rejections, []);
    draft.unwrap()
}

#[test]
fn the_first_address_of_each_family_counts() {
    #[track_caller]
    fn check(host_network: bool, status: Value, expected: &[&str]) {
        let spec = json!({"containers": [], "hostNetwork": host_network});
        let expected: Vec<IpAddr> = expected.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(convert_pod(spec, status).addresses, expected);
    }
    check(false, json!({"podIP": "10.0.0.1"}), &["10.0.0.1"]);
    let ips = json!([{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}, {"ip": "fd00::1"}]);
    check(false, json!({"podIP": "10.0.0.1", "podIPs": ips}), &["10.0.0.1", "fd00::1"]);
    check(false, json!({"podIP": "", "hostIP": "192.0.2.1"}), &[]);
    check(false, json!({}), &[]);
    check(true, json!({"podIP": "192.0.2.2", "hostIP": "192.0.2.1"}), &["192.0.2.2"]);
    check(true, json!({"hostIP": "192.0.2.1"}), &["192.0.2.1"]);
    let ips = json!([{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}]);
    check(true, json!({"hostIP": "192.0.2.1", "hostIPs": ips}), &["192.0.2.1", "2001:db8::1"]);
}

#[test]
fn readiness_follows_the_condition_where_there_is_one() {
    #[track_caller]
    fn check(conditions: Value, expected: bool) {
        let status = json!({"podIP": "10.0.0.1", "conditions": conditions});
        assert_eq!(convert_pod(json!({"containers": []}), status).ready, expected);
    }
    check(Value::Null, true);
    check(json!([]), true);
    check(json!([{"type": "Ready", "status": "True"}]), true);
    check(json!([{"type": "Ready", "status": "False"}]), false);
    check(json!([{"type": "Ready", "status": "Unknown"}]), false);
    check(json!([{"type": "PodScheduled", "status": "True"}]), false);
}

#[test]
fn named_ports_of_containers_and_sidecars_are_known() {
    let spec = json!({
        "nodeName": "node-1",
        "containers": [{"name": "a", "ports": [
            {"name": "http", "containerPort": 8080},
            {"containerPort": 9090},
        ]}],
        "initContainers": [
            {"name": "b", "ports": [{"name": "early", "containerPort": 1}]},
            {"name": "c", "restartPolicy": "Always",
             "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
        ],
    });
    let draft = convert_pod(spec, json!({"phase": "Failed"}));
    let ports: Vec<_> =
        draft.ports.iter().map(|p| (&*p.name, p.protocol.number(), p.port)).collect();
    assert_eq!(ports, [("http", 6, 8080), ("dns", 17, 53)]);
    assert_eq!(draft.node.as_deref(), Some("node-1"));
    assert!(draft.finished && !draft.terminating);
}
