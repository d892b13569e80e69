use serde_json::{Value, json};

use super::*;
use crate::watch::convert;

fn pod(name: &str, fields: Value) -> PodDraft {
    let mut object = json!({
        "metadata": {"name": name, "labels": {"app": "web", "tier": "front"}},
        "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": "10.0.0.1"},
    });
    for (path, value) in fields.as_object().unwrap() {
        let (parent, key) = path.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    convert::pod(&serde_json::from_value(object).unwrap()).0.unwrap()
}

/// The slices of a Service, one line each: family, ports, then each endpoint with its conditions.
fn slices(spec: Value, pods: &[PodDraft]) -> (Vec<String>, Vec<String>) {
    let mut spec = spec;
    let fields = spec.as_object_mut().unwrap();
    fields.entry("selector").or_insert(json!({"app": "web"}));
    fields.entry("ports").or_insert(json!([{"port": 80}]));
    let object = json!({"metadata": {"name": "web"}, "spec": spec});
    let draft = convert::service(&serde_json::from_value(object).unwrap()).0.unwrap();
    let mut rejections = Vec::new();
    let slices = Pods::new(pods.iter()).slices(&draft, &mut rejections);
    let line = |slice: &EndpointSlice| {
        let ports: Vec<_> = slice.ports.iter().map(|p| format!("{}:{}", p.name, p.port)).collect();
        let endpoints = slice.endpoints.iter().map(|endpoint| {
            let Conditions { ready, serving, terminating } = endpoint.conditions;
            let flag = |on, letter| if on { letter } else { '-' };
            let flags = [flag(ready, 'r'), flag(serving, 's'), flag(terminating, 't')];
            format!(" {}={}", endpoint.address, String::from_iter(flags))
        });
        format!("{:?} [{}]{}", slice.family, ports.join(","), endpoints.collect::<String>())
    };
    let rejections = rejections.iter().map(ToString::to_string).collect();
    (slices.iter().map(line).collect(), rejections)
}

#[track_caller]
fn check(spec: Value, pods: &[PodDraft], expected: &[&str]) {
    let expected = expected.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(slices(spec, pods), (expected, vec![]));
}

#[test]
fn every_label_of_the_selector_must_match_in_the_same_namespace() {
    let pods = [
        pod("a", json!({})),
        pod("b", json!({"/metadata/namespace": "other"})),
        pod("c", json!({"/metadata/labels": {"app": "web"}})),
        pod("d", json!({"/metadata/labels": {"app": "db", "tier": "front"}})),
    ];
    check(json!({"selector": {"app": "web", "tier": "front"}}), &pods, &["V4 [:80] 10.0.0.1=rs-"]);
    check(json!({"selector": {"app": "none"}}), &pods, &[]);
}

#[test]
fn conditions_are_the_endpoint_slice_controllers() {
    let unready = json!({"/status/conditions": [{"type": "Ready", "status": "False"}]});
    let leaving = json!({"/metadata/deletionTimestamp": "2026-01-01T00:00:00Z"});
    let failed = json!({"/status/phase": "Failed"});
    check(json!({}), &[pod("a", json!({}))], &["V4 [:80] 10.0.0.1=rs-"]);
    check(json!({}), &[pod("a", unready.clone())], &["V4 [:80] 10.0.0.1=---"]);
    check(json!({}), &[pod("a", leaving.clone())], &["V4 [:80] 10.0.0.1=-st"]);
    check(json!({}), &[pod("a", failed)], &[]);
    let publish = || json!({"publishNotReadyAddresses": true});
    check(publish(), &[pod("a", unready)], &["V4 [:80] 10.0.0.1=r--"]);
    check(publish(), &[pod("a", leaving)], &["V4 [:80] 10.0.0.1=rst"]);
}

#[test]
fn families_and_named_ports_make_their_own_slices() {
    let dual = json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]);
    let other = json!([{"name": "c", "ports": [{"name": "http", "containerPort": 9090}]}]);
    let pods = [
        pod("a", json!({"/status/podIPs": dual})),
        pod("b", json!({"/status/podIP": "10.0.0.2", "/spec/containers": other})),
        pod("c", json!({"/status/podIP": "10.0.0.3"})),
    ];
    let ports = json!([{"name": "p", "port": 80, "targetPort": "http"}]);
    check(
        json!({"ports": ports}),
        &pods,
        &[
            "V4 [p:8080] 10.0.0.1=rs- 10.0.0.3=rs-",
            "V6 [p:8080] fd00::1=rs-",
            "V4 [p:9090] 10.0.0.2=rs-",
        ],
    );
    let ports = json!([{"name": "p", "port": 80, "targetPort": 8000}]);
    let expected =
        ["V4 [p:8000] 10.0.0.1=rs- 10.0.0.2=rs- 10.0.0.3=rs-", "V6 [p:8000] fd00::1=rs-"];
    check(json!({"ports": ports}), &pods, &expected);
}

#[test]
fn pods_that_cannot_serve_are_passed_over_and_named() {
    let pods = [pod("a", json!({"/status": {}})), pod("b", json!({}))];
    let (lines, rejections) =
        slices(json!({"ports": [{"name": "p", "port": 80, "targetPort": "dns"}]}), &pods);
    assert_eq!(lines, ["V4 [] 10.0.0.1=rs-"]);
    assert_eq!(
        rejections,
        [
            "Pod default/a: status.podIPs: has no address",
            "Pod default/b: spec.containers: no TCP port is named `dns`, which Service default/web asks for",
        ]
    );
}

#[test]
fn the_node_is_the_pods() {
    let pods = [pod("a", json!({"/spec/nodeName": "node-1"}))];
    let object = json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}}});
    let draft = convert::service(&serde_json::from_value(object).unwrap()).0.unwrap();
    let slices = Pods::new(pods.iter()).slices(&draft, &mut Vec::new());
    assert_eq!(slices[0].endpoints[0].node.as_deref(), Some("node-1"));
}
