use serde_json::{Value, json};

use super::*;

fn object(mut fields: Value) -> Value {
    let metadata = json!({"name": "web-1", "namespace": "shop", "labels": {SERVICE_LABEL: "web"}});
    for (key, value) in [("metadata", metadata), ("addressType", json!("IPv4"))] {
        let fields = fields.as_object_mut().unwrap();
        fields.entry(key).or_insert(value);
    }
    fields
}

#[track_caller]
fn check_notes(fields: Value, expected: &[&str]) -> Option<EndpointSlice> {
    let (slice, rejections) = endpoint_slice(&serde_json::from_value(object(fields)).unwrap());
    let rejections: Vec<_> = rejections.iter().map(ToString::to_string).collect();
    let expected: Vec<_> =
        expected.iter().map(|text| format!("EndpointSlice shop/web-1: {text}")).collect();
    assert_eq!(rejections, expected);
    slice
}

fn endpoint(address: &str, conditions: Conditions) -> Endpoint {
    let address = address.parse().unwrap();
    Endpoint { address, conditions, node: None, hints: Hints::default(), weight: 1 }
}

const READY: Conditions = Conditions { ready: true, serving: true, terminating: false };

#[test]
fn conditions_have_their_defaults() {
    #[track_caller]
    fn check(conditions: Value, (ready, serving, terminating): (bool, bool, bool)) {
        let endpoints = json!([{"addresses": ["10.0.0.1"], "conditions": conditions}]);
        let slice = check_notes(json!({"endpoints": endpoints}), &[]).unwrap();
        let expected = Conditions { ready, serving, terminating };
        assert_eq!(slice.endpoints, [endpoint("10.0.0.1", expected)]);
    }
    check(Value::Null, (true, true, false));
    check(json!({}), (true, true, false));
    check(json!({"ready": null}), (true, true, false));
    check(json!({"ready": false}), (false, true, false));
    check(json!({"ready": false, "serving": false, "terminating": true}), (false, false, true));
}

#[test]
fn ports_without_a_number_are_ignored_and_bad_ones_refused() {
    let ports = json!([
        {"name": "a", "port": 8080},
        {"name": "b"},
        {"name": "c", "port": 0},
        {"port": 53, "protocol": "UDP"},
        {"name": "d", "port": 65536},
        {"name": "e", "port": 1, "protocol": "ICMP"},
    ]);
    let slice = check_notes(
        json!({"endpoints": [], "ports": ports}),
        &[
            "ports[4].port: 65536 is not a port number (1 to 65535)",
            "ports[5].protocol: `ICMP` is not a protocol (TCP, UDP or SCTP)",
        ],
    );
    let ports: Vec<_> = slice
        .unwrap()
        .ports
        .iter()
        .map(|p| (p.name.to_string(), p.protocol.number(), p.port))
        .collect();
    assert_eq!(ports, [("a".to_owned(), 6, 8080), (String::new(), 17, 53)]);
}

#[test]
fn an_endpoint_is_its_first_address() {
    let endpoints = json!([
        {"addresses": ["10.0.0.1", "10.0.0.2"]},
        {"addresses": []},
        {"addresses": ["fd00::1"]},
        {"addresses": ["10.0.0.300"]},
        {"addresses": ["127.0.0.1"]},
        {"addresses": ["10.000.0.005"]},
    ]);
    let slice = check_notes(
        json!({"endpoints": endpoints}),
        &[
            "endpoints[1].addresses: is empty",
            "endpoints[2].addresses[0]: fd00::1 is not of the addressType",
            "endpoints[3].addresses[0]: `10.0.0.300` is not an IP address",
            "endpoints[4].addresses[0]: 127.0.0.1 is a loopback address, \
             which can be neither a frontend nor an endpoint",
        ],
    );
    let expected = [endpoint("10.0.0.1", READY), endpoint("10.0.0.5", READY)];
    assert_eq!(slice.unwrap().endpoints, expected);
}

#[test]
fn node_and_hints_are_read() {
    let endpoints = json!([{
        "addresses": ["10.0.0.1"],
        "nodeName": "node-1",
        "hints": {"forZones": [{"name": "a"}, {"name": "b"}], "forNodes": [{"name": "node-1"}]},
    }]);
    let slice = check_notes(json!({"endpoints": endpoints}), &[]).unwrap();
    let hints = Hints { zones: vec!["a".into(), "b".into()], nodes: vec!["node-1".into()] };
    let expected = Endpoint { node: Some("node-1".into()), hints, ..endpoint("10.0.0.1", READY) };
    assert_eq!(slice.endpoints, [expected]);
    assert_eq!((&*slice.name, slice.service), ("web-1", ServiceName::new("shop", "web")));
}

#[test]
fn slices_that_are_no_business_of_ours_give_nothing() {
    for label in ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"] {
        let labels = json!({SERVICE_LABEL: "web", label: "false"});
        let metadata = json!({"name": "web-1", "labels": labels});
        assert_eq!(check_notes(json!({"metadata": metadata, "endpoints": []}), &[]), None);
    }
    assert_eq!(check_notes(json!({"addressType": "FQDN", "endpoints": []}), &[]), None);
}

#[test]
fn slices_that_cannot_be_used_are_rejected() {
    let metadata = json!({"name": "web-1", "namespace": "shop"});
    let expected = "metadata.labels: kubernetes.io/service-name is missing";
    assert_eq!(check_notes(json!({"metadata": metadata, "endpoints": []}), &[expected]), None);
    let expected = "addressType: `IP` is not known here (IPv4, IPv6, FQDN)";
    assert_eq!(check_notes(json!({"addressType": "IP", "endpoints": []}), &[expected]), None);
    let expected = "addressType: is missing";
    assert_eq!(check_notes(json!({"addressType": "", "endpoints": []}), &[expected]), None);
}
