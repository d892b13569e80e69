//! What load balancers, probes and scrapers are told, over sockets as they use them: from the
//! client outside, and from the node itself.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use lb_testbed::{CLIENT, Families};
use serde_json::{Value, json};

use crate::{
    exposition::{Samples, parse},
    stage::{MAIN, Stage, service_of, until},
};

const HEALTH_CHECK: u16 = 31_000;
const OTHER_PORT: u16 = 31_001;
const NODE_PORT: u16 = 30_080;
const LOCALHOST: &str = "127.0.0.1";
const TERMINATING: &str = "ready: false, serving: true, terminating: true";

/// An answer.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Asks from a place.
fn get(stage: &Stage, place: &str, to: SocketAddr, path: &str) -> Result<Reply, ErrorKind> {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {to}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = stage.cluster.netns(place).unwrap().enter(|| Ok(ask())).unwrap();
    answer.map(|text| reply(&text)).map_err(|error| error.kind())
}

fn reply(text: &str) -> Reply {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    };
    Reply { status, headers: lines.map(header).collect(), body: body.to_owned() }
}

/// Asks on the node itself.
fn ask(stage: &Stage, node: &str, port: u16, path: &str) -> Reply {
    ask_early(stage, node, port, path).unwrap()
}

/// The same while an agent that has programmed the kernel may not have opened its ports yet.
fn ask_early(stage: &Stage, node: &str, port: u16, path: &str) -> Result<Reply, ErrorKind> {
    get(stage, node, (LOCALHOST.parse::<IpAddr>().unwrap(), port).into(), path)
}

/// Waits until a node says that it is ready.
#[track_caller]
fn until_ready(stage: &Stage, node: &str) {
    let ready = || ask_early(stage, node, 10256, "/readyz");
    let took = until(|| ready().is_ok_and(|reply| reply.status == 200));
    assert!(took.is_some(), "{:?}", ready());
}

fn scrape(stage: &Stage, node: &str) -> Samples {
    let reply = ask(stage, node, 10249, "/metrics");
    assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    parse(&reply.body)
}

/// The Service that load balancers ask about.
fn balanced(health_check: u16) -> String {
    let spec = format!(
        "type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: {health_check}, \
         ipFamilyPolicy: RequireDualStack, clusterIPs: ['10.96.0.10', 'fd00:96::10'], \
         ports: [{{name: http, port: 80, nodePort: {NODE_PORT}}}, \
         {{name: dns, port: 53, protocol: UDP, nodePort: 30053}}]"
    );
    service_of("name: web", &spec, "loadBalancer: {ingress: [{ip: 198.51.100.10}]}")
}

/// Waits for a status from the client, in the family of the address, and returns the answer.
#[track_caller]
fn until_status(stage: &Stage, to: SocketAddr, status: u16) -> Reply {
    let mut last = None;
    until(|| {
        last = Some(get(stage, CLIENT, to, "/healthz"));
        matches!(&last, Some(Ok(reply)) if reply.status == status)
    });
    match last {
        Some(Ok(reply)) if reply.status == status => reply,
        other => panic!("{to}: {other:?} instead of {status}"),
    }
}

#[track_caller]
fn until_refused(stage: &Stage, to: SocketAddr) {
    let refused = || get(stage, CLIENT, to, "/healthz").err() == Some(ErrorKind::ConnectionRefused);
    assert!(until(refused).is_some(), "{to} is still answered");
}

#[test]
fn load_balancers_are_told_where_ready_endpoints_are() {
    let stage = Stage::of(Families::Both, 2).with("node1", "web-1").with("node1", "web-2");
    stage.write(MAIN, &[balanced(HEALTH_CHECK), stage.endpoints("web", &["web-1"])]);
    let _agents = ["node1", "node2"].map(|node| stage.start(node));
    let at = |node: &str, is_v4, port| SocketAddr::new(stage.address(node, is_v4).unwrap(), port);

    // Distinct addresses over both ports: one pod, with an address of each family.
    let reply = until_status(&stage, at("node1", true, HEALTH_CHECK), 200);
    assert_eq!(
        reply.json(),
        json!({
            "service": {"namespace": "default", "name": "web"},
            "localEndpoints": 2,
            "serviceProxyHealthy": true,
        })
    );
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    assert_eq!(reply.headers["x-load-balancing-endpoint-weight"], "2");
    until_status(&stage, at("node1", false, HEALTH_CHECK), 200);
    let elsewhere = until_status(&stage, at("node2", true, HEALTH_CHECK), 503);
    assert_eq!(elsewhere.json()["localEndpoints"], 0);
    until_status(&stage, at("node2", false, HEALTH_CHECK), 503);

    // Another pod.
    stage.write(MAIN, &[balanced(HEALTH_CHECK), stage.endpoints("web", &["web-1", "web-2"])]);
    let counted = || {
        let reply = get(&stage, CLIENT, at("node1", true, HEALTH_CHECK), "/").unwrap();
        reply.headers["x-load-balancing-endpoint-weight"] == "4"
    };
    assert!(until(counted).is_some());

    // All terminating: load balancers turn away, what still comes is served.
    let ending = [("web-1", TERMINATING), ("web-2", TERMINATING)];
    stage.write(MAIN, &[balanced(HEALTH_CHECK), stage.conditions("web", &ending)]);
    until_status(&stage, at("node1", true, HEALTH_CHECK), 503);
    let node_port = at("node1", true, NODE_PORT).to_string();
    stage.assert_who(CLIENT, &node_port, Some(&["web-1", "web-2"]));

    // The port changes, then the Service goes.
    stage.write(MAIN, &[balanced(OTHER_PORT), stage.endpoints("web", &["web-1"])]);
    until_status(&stage, at("node1", true, OTHER_PORT), 200);
    until_refused(&stage, at("node1", true, HEALTH_CHECK));
    stage.write(MAIN, &[]);
    until_refused(&stage, at("node1", true, OTHER_PORT));
    until_refused(&stage, at("node1", false, OTHER_PORT));
}

#[test]
fn health_checks_answer_only_where_node_ports_do() {
    let stage = Stage::new(1).with("node1", "web-1");
    stage.write(MAIN, &[balanced_v4(), stage.endpoints("web", &["web-1"])]);
    let _agent = stage.start_with("node1", &["--nodeport-addresses", "primary"]);
    let primary = SocketAddr::new(stage.address("node1", true).unwrap(), HEALTH_CHECK);
    until_status(&stage, primary, 200);
    let local = SocketAddr::new(LOCALHOST.parse().unwrap(), HEALTH_CHECK);
    let refused = get(&stage, "node1", local, "/").err();
    assert_eq!(refused, Some(ErrorKind::ConnectionRefused));
}

fn balanced_v4() -> String {
    let spec = format!(
        "type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: {HEALTH_CHECK}, \
         clusterIP: 10.96.0.10, ports: [{{name: http, port: 80, nodePort: {NODE_PORT}}}]"
    );
    service_of("name: web", &spec, "loadBalancer: {ingress: [{ip: 198.51.100.10}]}")
}

#[test]
fn probes_tell_that_the_node_is_programmed_and_well() {
    let stage = Stage::new(1).with("node1", "web-1");
    stage.write(MAIN, &[balanced_v4(), stage.endpoints("web", &["web-1"])]);
    let _agent = stage.start("node1");
    until_ready(&stage, "node1");
    let ready = ask(&stage, "node1", 10256, "/readyz");
    assert_eq!(ready.json(), json!({"ready": true, "waitingFor": []}));

    // From outside too, as load balancers ask.
    let node = SocketAddr::new(stage.address("node1", true).unwrap(), 10256);
    let health = get(&stage, CLIENT, node, "/healthz").unwrap();
    assert_eq!(health.status, 200);
    assert_eq!(health.headers["content-type"], "application/json");
    assert_eq!(health.headers["x-content-type-options"], "nosniff");
    let health = health.json();
    assert_eq!(health["nodeEligible"], true);
    assert_eq!(health["lastUpdated"], health["currentTime"]);
    let time = health["currentTime"].as_str().unwrap();
    assert!(time.ends_with(" +0000 UTC") && time.chars().nth(10) == Some(' '), "{time}");
    let live = ask(&stage, "node1", 10256, "/livez");
    let keys: Vec<_> = live.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!((live.status, keys), (200, vec!["currentTime".into(), "lastUpdated".into()]));

    assert_eq!(ask(&stage, "node1", 10249, "/proxyMode").body, "sluice");
    assert_eq!(ask(&stage, "node1", 10249, "/healthz").body, "ok");
    let settings = ask(&stage, "node1", 10249, "/configz").json();
    assert_eq!(settings["sluice"]["nodeName"], "node1");
    // Metrics are not for those outside.
    let metrics = SocketAddr::new(node.ip(), 10249);
    let refused = get(&stage, CLIENT, metrics, "/metrics").err();
    assert_eq!(refused, Some(ErrorKind::ConnectionRefused));
}

#[test]
fn a_folder_that_was_never_read_whole_keeps_the_node_from_being_ready() {
    let stage = Stage::new(1).with("node1", "web-1");
    stage.write(MAIN, &[balanced_v4(), stage.endpoints("web", &["web-1"])]);
    stage.write("broken.yaml", &["kind: [".to_owned()]);
    let _agent = stage.start("node1");
    let attached = || {
        let waiting = json!({"ready": false, "waitingFor": ["picture"]});
        let ready = ask_early(&stage, "node1", 10256, "/readyz");
        ready.is_ok_and(|reply| reply.status == 503 && reply.json() == waiting)
    };
    assert!(until(attached).is_some());
    stage.write("broken.yaml", &[]);
    until_ready(&stage, "node1");
}

#[test]
fn metrics_follow_what_is_written_and_what_is_sent() {
    const HIT: &str = r#"sluice_datapath_events_total{event="flow_new"}"#;
    let stage = Stage::new(2).with("node1", "web-1");
    stage.write(MAIN, &[balanced_v4(), stage.endpoints("web", &["web-1"])]);
    let _agents = ["node1", "node2"].map(|node| stage.start(node));
    until_ready(&stage, "node1");
    let before = scrape(&stage, "node1");
    let node_port = format!("{}:{NODE_PORT}", stage.address("node1", true).unwrap());
    stage.until_who(CLIENT, &node_port, Some(&["web-1"]));
    stage.call(CLIENT, &node_port, 20);
    let after = scrape(&stage, "node1");
    assert!(after[HIT] >= before[HIT] + 20.0, "{} {}", before[HIT], after[HIT]);

    let expected = [
        ("sluice_services", 1.0),
        (r#"sluice_table_entries{table="SERVICES"}"#, 1.0),
        (r#"sluice_attached_devices{xdp="off"}"#, 1.0),
        ("sluice_health_check_listeners", 1.0),
        (r#"sluice_rejections{kind="Service"}"#, 0.0),
        ("kubeproxy_sync_proxy_rules_service_changes_total", 1.0),
        ("kubeproxy_sync_proxy_rules_endpoint_changes_total", 1.0),
        ("kubeproxy_sync_proxy_rules_service_changes_pending", 0.0),
        (r#"kubeproxy_proxy_livez_total{code="200"}"#, 0.0),
    ];
    for (series, value) in expected {
        assert_eq!(after.get(series), Some(&value), "{series}");
    }
    let lacking = "kubeproxy_sync_proxy_rules_no_local_endpoints_total\
                   {ip_family=\"IPv4\",traffic_policy=\"external\"}";
    assert_eq!(scrape(&stage, "node2")[lacking], 1.0);
    assert_eq!(after[lacking], 0.0);
    assert!(after["process_resident_memory_bytes"] > 1e6);

    // A second Service wants the port of the first.
    let other = balanced_v4().replace("name: web", "name: zoo").replace("0.10", "0.11");
    let other = other.replace(&NODE_PORT.to_string(), "30081");
    stage.write("other.yaml", &[other]);
    let rejected = || scrape(&stage, "node1")[r#"sluice_rejections{kind="Service"}"#] == 1.0;
    assert!(until(rejected).is_some());
    let live = ask(&stage, "node1", 10256, "/livez").status;
    let answered = scrape(&stage, "node1")[r#"kubeproxy_proxy_livez_total{code="200"}"#];
    assert_eq!((live, answered), (200, 1.0));
}
