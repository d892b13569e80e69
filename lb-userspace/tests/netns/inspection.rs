//! `sluice inspect` beside traffic that has just been.

use std::net::SocketAddr;

use lb_testbed::{Agent, Probe};
use serde_json::{Value, json};

use crate::stage::{MAIN, Stage, inspect, service, service_of, until};

const WEB: &str = "default/web:http";
const REQUESTS: u64 = 7;

/// Rows in which these fields have these values.
fn rows(table: &Value, wanted: &Value) -> Vec<Value> {
    let fits = |row: &&Value| wanted.as_object().unwrap().iter().all(|(key, one)| row[key] == *one);
    table.as_array().unwrap().iter().filter(fits).cloned().collect()
}

#[track_caller]
fn check(agent: &Agent, what: &str, wanted: &Value, count: usize) -> Vec<Value> {
    let table = inspect(agent, what);
    let found = rows(&table, wanted);
    assert_eq!(found.len(), count, "rows like {wanted} in {table:#}");
    found
}

/// A field of the status' row of that name.
fn status(agent: &Agent, list: &str, key: &str, name: &str, field: &str) -> u64 {
    let status = inspect(agent, "status");
    let row = rows(&status[list], &json!({ key: name }));
    row[0][field].as_u64().unwrap()
}

#[test]
fn services_and_backends_are_shown_as_the_manifests_have_them() {
    let stage = Stage::new(2).with("node1", "one").with("node2", "two");
    let spec = "type: NodePort, clusterIP: 10.96.0.10, externalIPs: [192.0.2.10], sessionAffinity: \
                ClientIP, externalTrafficPolicy: Local, ports: [{name: http, port: 80, nodePort: 30080}]";
    stage.write(MAIN, &[service("web", spec), stage.endpoints("web", &["one", "two"])]);
    let agent = stage.start("node1");
    let web = check(&agent, "services", &json!({"service": WEB}), 1).remove(0);
    let expected = json!([
        {"kind": "ClusterIP", "address": "10.96.0.10", "port": 80},
        {"kind": "NodePort", "address": null, "port": 30080},
        {"kind": "ExternalIP", "address": "192.0.2.10", "port": 80},
    ]);
    assert_eq!(web["frontends"], expected);
    assert_eq!((&web["protocol"], &web["family"]), (&json!("TCP"), &json!("IPv4")));
    assert_eq!(web["endpoints"], json!(["10.244.1.2:8080", "10.244.2.2:8080"]));
    assert_eq!(web["local_endpoints"], json!(["10.244.1.2:8080"]));
    assert_eq!(web["affinity_timeout_s"], json!(10800));
    for (backend, on_this_node) in [("10.244.1.2:8080", true), ("10.244.2.2:8080", false)] {
        let wanted = json!({"backend": backend, "service": WEB, "on_this_node": on_this_node,
                            "state": "serving"});
        check(&agent, "backends", &wanted, 1);
    }
    assert_eq!(status(&agent, "tables", "table", "SERVICES", "used"), 1);
    assert_eq!(status(&agent, "tables", "table", "BACKENDS", "used"), 2);
    assert_eq!(status(&agent, "tables", "table", "FRONTENDS_V4", "used"), 3);
}

#[test]
fn algorithm_and_weights_are_followed_as_annotations_change() {
    let stage = Stage::new(2).with("node1", "one").with("node2", "two");
    let spec = "type: NodePort, clusterIP: 10.96.0.10, ports: [{name: http, port: 80, nodePort: \
                30080}]";
    let write = |annotations: &str, weights: &str| {
        let metadata = format!("name: web, annotations: {{{annotations}}}");
        let slices = stage.endpoints("web", &["one", "two"]).replace(
            "labels:",
            &format!("annotations: {{sluice.dev/weights: '{weights}'}}, labels:"),
        );
        stage.write(MAIN, &[service_of(&metadata, spec, ""), slices]);
    };
    write("", "1");
    let agent = stage.start("node1");
    let shown = |algorithm: &str, slots: u32, weights: [u16; 2]| {
        let wanted = json!({"service": WEB, "algorithm": algorithm, "hash_table_slots": slots,
                            "weights": weights});
        let so = || rows(&inspect(&agent, "services"), &wanted).len() == 1;
        assert!(until(so).is_some(), "{wanted} in {:#}", inspect(&agent, "services"));
    };
    shown("maglev", 809, [1, 1]);
    write("sluice.dev/algorithm: random", "1");
    shown("random", 0, [1, 1]);
    write("sluice.dev/algorithm: maglev", r#"{"10.244.2.2": 3}"#);
    shown("maglev", 809, [1, 3]);
    check(&agent, "backends", &json!({"backend": "10.244.2.2:8080", "weight": 3}), 1);
    // What cannot be read is as if it were not there.
    write("sluice.dev/algorithm: fastest", "many");
    shown("maglev", 809, [1, 1]);
}

#[test]
fn flows_and_affinity_show_who_has_just_called_and_who_answered() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "two").with("node1", "caller");
    let spec = "type: NodePort, clusterIP: 10.96.0.10, sessionAffinity: ClientIP, ports: [{name: \
                http, port: 80, nodePort: 30080}]";
    stage.write(MAIN, &[service("web", spec), stage.endpoints("web", &["one", "two"])]);
    let agent = stage.start("node1");
    check(&agent, "flows", &json!({}), 0);
    check(&agent, "affinity", &json!({}), 0);

    let node: SocketAddr = (stage.address("node1", true).unwrap(), 30080).into();
    let report = stage.call("client", &node.to_string(), REQUESTS);
    let [answer] = &report.answers[..] else { panic!("{:?}", report.answers) };
    let backend = answer.local.to_string();
    let count = REQUESTS as usize;
    let to_local = json!({"kind": "to-local", "hook": "ingress", "service": WEB, "to":
                          node.to_string(), "becomes_to": backend, "backend": backend});
    for flow in check(&agent, "flows", &to_local, count) {
        assert!(flow["from"].as_str().unwrap().starts_with("203.0.113.10:"), "{flow}");
        assert_eq!(flow["from"], flow["becomes_from"], "the client's address stays");
    }
    let from_local = json!({"kind": "from-local", "hook": "egress", "service": WEB, "from": backend,
                            "becomes_from": node.to_string(), "protocol": "TCP"});
    check(&agent, "flows", &from_local, count);
    let client = json!({"client": "203.0.113.10", "service": WEB, "backend": backend});
    check(&agent, "affinity", &client, 1);
    assert_eq!(status(&agent, "tables", "table", "FLOWS_V4", "used"), 2 * REQUESTS);

    // A pod's process is known by its network namespace, and leaves no flow.
    let report = stage.call("caller", "10.96.0.10:80", REQUESTS);
    let [answer] = &report.answers[..] else { panic!("{:?}", report.answers) };
    let affinity = inspect(&agent, "affinity");
    assert_eq!(affinity.as_array().unwrap().len(), 2);
    let pods: Vec<_> = rows(&affinity, &json!({"backend": answer.local.to_string()}));
    let is_pod = |row: &Value| row["client"].as_str().unwrap().starts_with("network namespace");
    assert!(pods.iter().any(is_pod), "{affinity:#}");
    assert_eq!(inspect(&agent, "flows").as_array().unwrap().len(), 2 * count);

    // Whom a backend leaves behind.
    let left = if backend.starts_with("10.244.1.2:") { "two" } else { "one" };
    stage.write(MAIN, &[service("web", spec), stage.endpoints("web", &[left])]);
    stage.until_who("client", &node.to_string(), Some(&[left]));
    // Its row is cleared when no program can be reading it any more.
    let gone = json!({"kind": "to-local", "becomes_to": backend, "backend": null});
    until(|| rows(&inspect(&agent, "flows"), &gone).len() == count).expect("rows are cleared");
    check(&agent, "backends", &json!({"backend": backend}), 0);
    let moved = stage.address(left, true).unwrap();
    let moved = json!({"client": "203.0.113.10", "backend": format!("{moved}:8080")});
    check(&agent, "affinity", &moved, 1);
}

#[test]
fn counters_count_what_was_done() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "caller");
    let spec = "type: NodePort, clusterIP: 10.96.0.10, externalIPs: [192.0.2.10], ports: [{name: \
                http, port: 80, nodePort: 30080}]";
    for address in ["192.0.2.10/32", "10.96.0.10/32"] {
        stage.cluster.route(address.parse().unwrap(), "node1").unwrap();
    }
    stage.write(MAIN, &[service("web", spec), stage.endpoints("web", &["one"])]);
    let agent = stage.start("node1");
    let node: SocketAddr = (stage.address("node1", true).unwrap(), 30080).into();
    stage.cluster.probe("client", &Probe::tcp(node).requests(REQUESTS)).unwrap();
    stage.call("caller", "10.96.0.10:80", REQUESTS);
    let counter = |name| status(&agent, "counters", "counter", name, "value");
    let counted = ["socket_translated", "flow_new", "socket_no_endpoint"].map(counter);
    assert_eq!(counted, [REQUESTS, REQUESTS, 0]);
    assert!(counter("flow_hit") > REQUESTS);

    stage.write(MAIN, &[service("web", spec)]);
    stage.until_who("caller", "10.96.0.10:80", None);
    assert!(counter("socket_no_endpoint") > 0);
    for (number, to) in [node.to_string(), "192.0.2.10:80".to_owned()].iter().enumerate() {
        let refused = stage.call("client", to, 1).errors;
        assert_eq!(refused.keys().collect::<Vec<_>>(), ["ECONNREFUSED"]);
        assert_eq!(counter("reject_no_endpoint"), 1 + number as u64);
    }
    stage.assert_who("client", "10.96.0.10:80", None);
    assert!(counter("drop_cluster_ip_from_outside") > 0);
    assert_eq!(counter("table_inconsistent"), 0);
}

#[test]
fn a_device_is_named_where_it_is_and_numbered_elsewhere() {
    let stage = Stage::new(1);
    let agent = stage.start("node1");
    let targets = |text: &str| {
        let status: Value = serde_json::from_str(text).unwrap();
        let of_tc = rows(&status["programs"], &json!({"program": "tc_ingress"}));
        of_tc[0]["target"].as_str().unwrap().to_owned()
    };
    let pins = agent.pins().to_str().unwrap();
    let arguments = ["inspect", "status", "--json", "--pin-path", pins];
    let inside = stage.sluice("node1", &arguments);
    let inside = targets(&String::from_utf8_lossy(&inside.stdout));
    assert!(inside.starts_with("eth0 ("), "{inside}");
    // Another namespace may have a device of that number, and then its name is shown.
    let outside = stage.sluice("client", &arguments);
    let outside = targets(&String::from_utf8_lossy(&outside.stdout));
    assert!(outside.starts_with("device ") || outside.starts_with("eth0 ("), "{outside}");
}
