//! Clients from outside, and who answers them where.

use std::net::{IpAddr, SocketAddr};

use lb_testbed::{Families, Probe};

use crate::stage::{HTTP_PORT, MAIN, Stage, service_of, until_logged};

const EXTERNAL: [&str; 2] = ["192.0.2.10", "2001:db8:2::10"];
const BALANCER: [&str; 2] = ["198.51.100.10", "2001:db8:51::10"];
/// Requests of each kind.
const REQUESTS: u64 = 12;

/// Sends packets for an address to a node.
fn route(stage: &Stage, address: &str, node: &str) {
    let address: IpAddr = address.parse().unwrap();
    stage.cluster.route(address.into(), node).unwrap();
}

#[test]
fn every_kind_of_external_address_answers_on_a_node_without_pods() {
    let stage = Stage::of(Families::Both, 2).with("node2", "one").with("node2", "two");
    let spec = format!(
        "type: LoadBalancer, ipFamilyPolicy: RequireDualStack, externalIPs: ['{}', '{}'], ports: \
         [{{name: http, port: 80, nodePort: 30080}}, {{name: dns, port: 53, protocol: UDP, \
         nodePort: 30053}}]",
        EXTERNAL[0], EXTERNAL[1]
    );
    let status = format!(
        "loadBalancer: {{ingress: [{{ip: '{}'}}, {{ip: '{}'}}]}}",
        BALANCER[0], BALANCER[1]
    );
    let web = service_of("name: web", &spec, &status);
    stage.write(MAIN, &[web, stage.endpoints("web", &["one", "two"])]);
    EXTERNAL.iter().chain(&BALANCER).for_each(|address| route(&stage, address, "node1"));
    let _agent = stage.start("node1");

    for (family, is_v4) in [true, false].into_iter().enumerate() {
        let node = stage.address("node1", is_v4).unwrap();
        let address = |texts: [&str; 2]| texts[family].parse().unwrap();
        for (ip, http, dns) in
            [(node, 30080, 30053), (address(EXTERNAL), 80, 53), (address(BALANCER), 80, 53)]
        {
            check(&stage, Probe::tcp((ip, http).into()), node);
            check(&stage, Probe::udp((ip, dns).into()), node);
            check(&stage, Probe::udp_unconnected((ip, dns).into()), node);
        }
    }
}

/// Calls from the client: all calls are answered, by both pods, who see the node, and the client
/// sees the address it called.
#[track_caller]
fn check(stage: &Stage, probe: Probe, node: IpAddr) {
    let (to, how): (SocketAddr, _) = (probe.to, probe.transport);
    let report = stage.cluster.probe("client", &probe.requests(REQUESTS)).unwrap();
    assert_eq!(report.errors, Default::default(), "{to} {how:?}");
    assert_eq!(report.answered(), REQUESTS, "{to} {how:?}");
    for answer in &report.answers {
        assert_eq!((answer.from, answer.peer), (to, node), "{to} {how:?}");
        assert!(["one", "two"].contains(&&*answer.pod), "{to} {how:?}: {}", answer.pod);
    }
}

#[test]
fn of_two_services_at_one_address_the_older_answers_until_it_goes() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "two").with("node1", "caller");
    let of = |name: &str, created: &str, cluster_ip: &str, external: &str| {
        let spec = format!("clusterIP: {cluster_ip}, externalIPs: [{external}], {HTTP_PORT}");
        service_of(&format!("name: {name}, creationTimestamp: '{created}'"), &spec, "")
    };
    // By name it would be the other way round.
    let older = of("zeta", "2020-01-01T00:00:00Z", "10.96.0.10", "192.0.2.10");
    let younger = of("alpha", "2024-01-01T00:00:00Z", "10.96.0.11", "192.0.2.10, 192.0.2.11");
    let slices = [stage.endpoints("zeta", &["one"]), stage.endpoints("alpha", &["two"])];
    let (contested, own) = ("192.0.2.10:80", "192.0.2.11:80");
    ["192.0.2.10", "192.0.2.11"].iter().for_each(|address| route(&stage, address, "node1"));
    stage.write("slices.yaml", &slices);
    stage.write(MAIN, &[younger.clone(), older.clone()]);
    let agent = stage.start("node1");

    let refused = until_logged(&agent, &["rejected: Service default/alpha", "default/zeta"]);
    assert!(refused.contains(contested) && refused.contains("spec.externalIPs"), "{refused}");
    stage.assert_who("client", contested, Some(&["one"]));
    stage.assert_who("client", own, Some(&["two"]));
    stage.assert_who("caller", "10.96.0.11:80", Some(&["two"]));
    stage.assert_who("caller", contested, Some(&["one"]));

    stage.write(MAIN, std::slice::from_ref(&younger));
    stage.until_who("client", contested, Some(&["two"]));
    stage.assert_who("caller", contested, Some(&["two"]));
    until_logged(&agent, &["no longer rejected: Service default/alpha"]);
    stage.write(MAIN, &[younger, older]);
    stage.until_who("client", contested, Some(&["one"]));
    stage.assert_who("client", own, Some(&["two"]));
}
