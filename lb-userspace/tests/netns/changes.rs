//! What a Service is may change while it runs: its labels, its type, its policies, its ports.

use std::time::Duration;

use lb_testbed::{CLIENT, Probe};

use crate::stage::{HTTP_PORT, MAIN, Stage, service, service_of, until, until_endpoints};

const WEB: &str = "10.96.0.10:80";
const BALANCER: &str = "198.51.100.10:80";
const PORTS: &str = "ports: [{name: http, port: 80, nodePort: 30080}]";

/// A node with two pods that serve and one that calls.
fn stage() -> Stage {
    Stage::new(1).with("node1", "one").with("node1", "two").with("node1", "caller")
}

fn node_port(stage: &Stage) -> String {
    format!("{}:30080", stage.address("node1", true).unwrap())
}

#[test]
fn a_label_that_hides_a_service_or_a_slice_takes_it_away_and_back_while_it_runs() {
    let stage = stage();
    let slices = stage.endpoints("web", &["one"]);
    let labelled = |labels: &str| {
        let metadata = format!("name: web, labels: {{{labels}}}");
        service_of(&metadata, &format!("clusterIP: 10.96.0.10, {HTTP_PORT}"), "")
    };
    stage.write(MAIN, &[labelled(""), slices.clone()]);
    let _agent = stage.start("node1");
    for hiding in ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"] {
        stage.assert_who("caller", WEB, Some(&["one"]));
        stage.write(MAIN, &[labelled(&format!("{hiding}: ''")), slices.clone()]);
        stage.until_who("caller", WEB, None);
        stage.write(MAIN, &[labelled("other: label"), slices.clone()]);
        stage.until_who("caller", WEB, Some(&["one"]));
        let hidden = slices.replace("labels: {", &format!("labels: {{{hiding}: x, "));
        assert_ne!(hidden, slices);
        stage.write(MAIN, &[labelled(""), hidden]);
        stage.until_who("caller", WEB, None);
        stage.write(MAIN, &[labelled(""), slices.clone()]);
        stage.until_who("caller", WEB, Some(&["one"]));
    }
}

#[test]
fn a_service_goes_through_every_type_and_back() {
    let stage = stage();
    stage.cluster.route("198.51.100.10/32".parse().unwrap(), "node1").unwrap();
    let slices = stage.endpoints("web", &["one", "two"]);
    let pods = Some(&["one", "two"][..]);
    let node_port = node_port(&stage);
    let vip = "loadBalancer: {ingress: [{ip: 198.51.100.10}]}";
    // Type, status, and who answers at ClusterIP, NodePort and VIP.
    let steps = [
        ("ExternalName, externalName: web.example", "", [false, false, false]),
        ("ClusterIP", "", [true, false, false]),
        ("NodePort", "", [true, true, false]),
        ("LoadBalancer", vip, [true, true, true]),
        ("NodePort", "", [true, true, false]),
        ("ClusterIP", "", [true, false, false]),
        ("ExternalName, externalName: web.example", "", [false, false, false]),
        ("LoadBalancer", vip, [true, true, true]),
        ("ExternalName, externalName: web.example", "", [false, false, false]),
    ];
    let mut agent = None;
    for (kind, status, [cluster_ip, node, balancer]) in steps {
        let ports = if node { PORTS } else { HTTP_PORT };
        let spec = format!("type: {kind}, clusterIP: 10.96.0.10, {ports}");
        stage.write(MAIN, &[service_of("name: web", &spec, status), slices.clone()]);
        agent.get_or_insert_with(|| stage.start("node1"));
        println!("{kind}");
        stage.until_who("caller", WEB, pods.filter(|_| cluster_ip));
        stage.until_who("caller", &node_port, pods.filter(|_| node));
        stage.until_who(CLIENT, &node_port, pods.filter(|_| node));
        stage.until_who(CLIENT, BALANCER, pods.filter(|_| balancer));
    }
}

#[test]
fn a_vip_is_ours_only_in_mode_vip_and_needs_no_node_port() {
    let stage = stage();
    stage.cluster.route("198.51.100.10/32".parse().unwrap(), "node1").unwrap();
    let web = |mode: &str| {
        let spec = format!(
            "type: LoadBalancer, allocateLoadBalancerNodePorts: false, clusterIP: 10.96.0.10, \
             {HTTP_PORT}"
        );
        let status = format!("loadBalancer: {{ingress: [{{ip: 198.51.100.10{mode}}}]}}");
        [service_of("name: web", &spec, &status), stage.endpoints("web", &["one"])]
    };
    let everyone = |expected: Option<&[&str]>| {
        for place in ["caller", "node1", CLIENT] {
            stage.until_who(place, BALANCER, expected);
        }
        stage.assert_who("caller", WEB, Some(&["one"]));
    };
    stage.write(MAIN, &web(""));
    let agent = stage.start("node1");
    everyone(Some(&["one"]));
    let rows = agent.inspect(&["services", "--json"]).unwrap();
    assert!(!rows.contains("NodePort"), "{rows}");
    stage.write(MAIN, &web(", ipMode: Proxy"));
    everyone(None);
    stage.write(MAIN, &web(", ipMode: VIP"));
    everyone(Some(&["one"]));
}

#[test]
fn affinity_is_switched_on_and_off_without_a_new_service() {
    let stage = stage();
    let web = |more: &str| {
        let spec = format!("type: NodePort, clusterIP: 10.96.0.10, {PORTS}, {more}");
        [service("web", &spec), stage.endpoints("web", &["one", "two"])]
    };
    stage.write(MAIN, &web(""));
    let _agent = stage.start("node1");
    let node_port = node_port(&stage);
    for (place, to) in [("caller", WEB), (CLIENT, &node_port)] {
        let distinct = || stage.who(place, to).map_or(0, |pods| pods.len());
        stage.assert_who(place, to, Some(&["one", "two"]));
        stage.write(MAIN, &web("sessionAffinity: ClientIP"));
        until(|| distinct() == 1).expect("everybody keeps one pod");
        stage.write(MAIN, &web("sessionAffinity: None"));
        until(|| distinct() == 2).expect("nobody is remembered");
    }
}

#[test]
fn policies_are_switched_while_it_runs() {
    let stage = Stage::new(2).with("node1", "near").with("node2", "far").with("node1", "caller");
    let web = |more: &str| {
        let spec = format!("type: NodePort, clusterIP: 10.96.0.10, {PORTS}, {more}");
        [service("web", &spec), stage.endpoints("web", &["near", "far"])]
    };
    stage.write(MAIN, &web(""));
    let _agent = stage.start("node1");
    let node_port = node_port(&stage);
    let (both, near) = (Some(&["far", "near"][..]), Some(&["near"][..]));
    for (more, inside, outside) in [
        ("", both, both),
        ("internalTrafficPolicy: Local", near, both),
        ("externalTrafficPolicy: Local", both, near),
        ("internalTrafficPolicy: Local, externalTrafficPolicy: Local", near, near),
        ("internalTrafficPolicy: Cluster", both, both),
    ] {
        stage.write(MAIN, &web(more));
        stage.until_who("caller", WEB, inside);
        stage.until_who(CLIENT, &node_port, outside);
        // A process of the node is as good as outside and back in elsewhere.
        stage.until_who("caller", &node_port, both);
    }
}

#[test]
fn one_port_number_in_two_protocols_is_two_ports_that_come_and_go_alone() {
    let stage = stage();
    let dns = |ports: &[&str]| {
        let ports = ports.join(", ");
        let spec = format!("type: NodePort, clusterIP: 10.96.0.10, ports: [{ports}]");
        [service("dns", &spec), stage.endpoints("dns", &["one"])]
    };
    let tcp = "{name: http, port: 53, nodePort: 30053}";
    let udp = "{name: dns, port: 53, nodePort: 30053, protocol: UDP}";
    stage.write(MAIN, &dns(&[tcp, udp]));
    let agent = stage.start("node1");
    let node = stage.address("node1", true).unwrap();
    let places = [("10.96.0.10:53", "caller"), (&format!("{node}:30053"), CLIENT)];
    let answered = |expected: [bool; 2]| {
        for (to, place) in &places {
            let to = to.parse().unwrap();
            for (probe, expected) in [Probe::tcp(to), Probe::udp(to)].into_iter().zip(expected) {
                // Who is there may take its time on a busy machine.
                let timeout = Duration::from_millis(if expected { 5_000 } else { 700 });
                let probe = probe.timeout(timeout);
                let report = stage.cluster.probe(place, &probe).unwrap();
                assert_eq!(report.answered() == 1, expected, "{to} from {place}: {report:?}");
            }
        }
    };
    answered([true, true]);
    for (ports, expected) in [([tcp], [true, false]), ([udp], [false, true])] {
        stage.write(MAIN, &dns(&ports));
        let gone = if expected[0] { "default/dns:dns" } else { "default/dns:http" };
        until_endpoints(&agent, gone, &[] as &[&str]);
        answered(expected);
    }
    stage.write(MAIN, &dns(&[tcp, udp]));
    until_endpoints(&agent, "default/dns:http", &["10.244.1.2:8080"]);
    answered([true, true]);
}
