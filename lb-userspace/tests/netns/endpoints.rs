//! Which endpoints of a Service count: whole agents, slices as controllers write them.

use std::{fmt::Write as _, fs, time::Duration};

use lb_testbed::{CLIENT, Probe};

use crate::stage::{HTTP, MAIN, Stage, service, until_endpoints};

const WEB: &str = "10.96.0.10:80";

fn web(more: &str) -> String {
    let ports = "ports: [{name: http, port: 80, nodePort: 30080}]";
    service("web", &format!("type: NodePort, clusterIP: 10.96.0.10, {ports}, {more}"))
}

fn node_port(stage: &Stage, node: &str) -> String {
    format!("{}:30080", stage.address(node, true).unwrap())
}

/// A slice with a port `http` of this number; endpoints are address and what else is said of them.
fn slice(name: &str, port: u16, endpoints: &[(String, &str)]) -> String {
    let mut list = String::new();
    for (address, more) in endpoints {
        write!(list, "{{addresses: ['{address}'], {more}}}, ").unwrap();
    }
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: {name}, labels: \
         {{kubernetes.io/service-name: web}}}}, addressType: IPv4, ports: [{{name: http, port: \
         {port}}}], endpoints: [{list}]}}"
    )
}

fn at(stage: &Stage, place: &str) -> String {
    stage.address(place, true).unwrap().to_string()
}

#[test]
fn a_pod_on_the_hosts_network_is_an_endpoint_like_any_other() {
    let stage = Stage::new(2).with("node1", "near").with("node2", "distant");
    let _server = stage.cluster.serve("node1", &[9090], &[]).unwrap();
    let endpoint = (at(&stage, "node1"), "nodeName: node1");
    stage.write(MAIN, &[web(""), slice("web-1", 9090, &[endpoint])]);
    let _agents = ["node1", "node2"].map(|node| stage.start(node));
    for place in ["near", "distant", "node1", "node2"] {
        stage.assert_who(place, WEB, Some(&["node1"]));
    }
    for place in ["near", "node1", "node2", CLIENT] {
        for node in ["node1", "node2"] {
            stage.assert_who(place, &node_port(&stage, node), Some(&["node1"]));
        }
    }
}

#[test]
fn slices_are_merged_by_port_name_each_with_its_own_number() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "two").with("node1", "caller");
    let _second = stage.cluster.serve("two", &[9090], &[]).unwrap();
    let (one, two) = (at(&stage, "one"), at(&stage, "two"));
    let slices = [
        slice("web-1", HTTP, &[(one.clone(), "")]),
        slice("web-2", 9090, &[(two.clone(), "")]),
        // The same again, and one that is not ready under the address of one that is.
        slice("web-3", HTTP, &[(one.clone(), "")]),
        slice("web-4", 9090, &[(two.clone(), "conditions: {ready: false, terminating: true}")]),
    ];
    stage.write(MAIN, &[&[web("")], &slices[..]].concat());
    let agent = stage.start("node1");
    stage.assert_who("caller", WEB, Some(&["one", "two"]));
    until_endpoints(&agent, "default/web:http", &[format!("{one}:{HTTP}"), format!("{two}:9090")]);
    stage.write(MAIN, &[web(""), slices[0].clone()]);
    stage.until_who("caller", WEB, Some(&["one"]));
}

#[test]
fn terminating_endpoints_are_the_last_resort_of_each_list() {
    let mut stage = Stage::new(2).with("node1", "near").with("node2", "far");
    stage.add_pod("node1", "caller");
    let going = "conditions: {ready: false, serving: true, terminating: true}";
    let gone = "conditions: {ready: false, serving: false, terminating: true}";
    let write = |more: &str, near: &str, far: &str| {
        let (near, far) = (format!("nodeName: node1, {near}"), format!("nodeName: node2, {far}"));
        let endpoints = [(at(&stage, "near"), &*near), (at(&stage, "far"), &*far)];
        stage.write(MAIN, &[web(more), slice("web-1", HTTP, &endpoints)]);
    };
    write("", "", "");
    let _agent = stage.start("node1");
    let local = "internalTrafficPolicy: Local, externalTrafficPolicy: Local";
    let node_port = node_port(&stage, "node1");
    let (near, far) = (Some(&["near"][..]), Some(&["far"][..]));
    for (policy, one, other, expected) in [
        ("", going, "", far),
        ("", going, gone, near),
        ("", gone, gone, None),
        (local, "", going, near),
        (local, going, "", near),
        (local, gone, "", None),
    ] {
        write(policy, one, other);
        println!("{policy}: near {one}, far {other}");
        stage.until_who("caller", WEB, expected);
        stage.until_who(CLIENT, &node_port, expected);
    }
}

#[test]
fn what_slices_call_ready_is_used_whatever_becomes_of_the_pod() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "caller");
    // As the controller writes it under publishNotReadyAddresses.
    let published = "conditions: {ready: true, serving: false, terminating: true}";
    let slice = slice("web-1", HTTP, &[(at(&stage, "one"), published)]);
    stage.write(MAIN, &[web("publishNotReadyAddresses: true"), slice]);
    let _agent = stage.start("node1");
    stage.assert_who("caller", WEB, Some(&["one"]));
}

#[test]
fn hints_for_this_node_narrow_cluster_traffic_until_one_endpoint_has_none() {
    let stage = Stage::new(2).with("node1", "near").with("node2", "far").with("node1", "caller");
    let write = |more: &str, near: &str, far: &str| {
        let near = format!("nodeName: node1, hints: {{{near}}}");
        let far = format!("nodeName: node2, hints: {{{far}}}");
        let endpoints = [(at(&stage, "near"), &*near), (at(&stage, "far"), &*far)];
        stage.write(MAIN, &[web(more), slice("web-1", HTTP, &endpoints)]);
    };
    let [node1, node2, node3] =
        ["node1", "node2", "node3"].map(|node| format!("forNodes: [{{name: {node}}}]"));
    let zone = "forZones: [{name: a}]";
    write("", &node1, &node2);
    let _agent = stage.start("node1");
    let node_port = node_port(&stage, "node1");
    let (both, near, far) = (Some(&["far", "near"][..]), Some(&["near"][..]), Some(&["far"][..]));
    for (near_hints, far_hints, expected) in [
        (&*node1, &*node2, near),
        (&node2, &node1, far),
        // One without a hint, none for this node, one of another kind only: no topology.
        (&node1, "", both),
        (&node3, &node2, both),
        (zone, &node2, both),
    ] {
        write("", near_hints, far_hints);
        println!("{near_hints}; {far_hints}");
        stage.until_who("caller", WEB, expected);
        stage.until_who(CLIENT, &node_port, expected);
    }
    // A Local policy has no use for hints.
    write("internalTrafficPolicy: Local", &node2, &node1);
    stage.until_who("caller", WEB, near);
    stage.until_who(CLIENT, &node_port, far);
}

#[test]
fn an_endpoint_without_node_is_on_no_node_as_far_as_policies_go() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "caller");
    let write = |more: &str, of: &str| {
        stage.write(MAIN, &[web(more), slice("web-1", HTTP, &[(at(&stage, "one"), of)])]);
    };
    write("", "");
    let _agent = stage.start("node1");
    stage.assert_who("caller", WEB, Some(&["one"]));
    write("internalTrafficPolicy: Local, externalTrafficPolicy: Local", "");
    stage.until_who("caller", WEB, None);
    stage.until_who(CLIENT, &node_port(&stage, "node1"), None);
    write("internalTrafficPolicy: Local, externalTrafficPolicy: Local", "nodeName: node1");
    stage.until_who("caller", WEB, Some(&["one"]));
    stage.until_who(CLIENT, &node_port(&stage, "node1"), Some(&["one"]));
}

#[test]
fn a_client_that_came_before_the_first_endpoint_is_served_when_there_is_one() {
    let stage = Stage::new(1).with("node1", "one");
    let web = |pods: &[&str]| {
        let ports = "ports: [{name: dns, port: 53, nodePort: 30053, protocol: UDP}]";
        let spec = format!("type: NodePort, clusterIP: 10.96.0.10, {ports}");
        stage.write(MAIN, &[service("web", &spec), stage.endpoints("web", pods)]);
    };
    web(&[]);
    let agent = stage.start("node1");
    let to = format!("{}:30053", stage.address("node1", true).unwrap()).parse().unwrap();
    // One socket, so one client port: what became of its first datagrams must not stick to it.
    let probe = Probe::udp_unconnected(to).reusing().timeout(Duration::from_millis(300));
    let mut client = stage.cluster.start_probe(CLIENT, &probe.until_stopped()).unwrap();
    client.go_on(2).unwrap();
    web(&["one"]);
    until_endpoints(&agent, "default/web:dns", &[format!("{}:5353", at(&stage, "one"))]);
    client.go_on(20).unwrap();
    let report = client.stop().unwrap();
    assert!(report.failed() > 0 && report.answered() > 0, "{:?}", report.errors);
}

#[test]
fn a_port_of_sctp_harms_nobody_and_loads_nothing() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "caller");
    let protocols = || fs::read_to_string("/proc/net/protocols").unwrap().contains("SCTP");
    let before = protocols();
    let ports = "ports: [{name: http, port: 80}, {name: sctp, port: 80, protocol: SCTP}]";
    let web = service("web", &format!("clusterIP: 10.96.0.10, {ports}"));
    stage.write(MAIN, &[web, stage.endpoints("web", &["one"])]);
    let agent = stage.start("node1");
    stage.assert_who("caller", WEB, Some(&["one"]));
    assert!(agent.inspect(&["services"]).unwrap().contains("SCTP"));
    assert_eq!(protocols(), before);
}
