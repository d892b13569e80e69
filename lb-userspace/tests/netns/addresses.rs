//! At which addresses a Service answers: `--nodeport-addresses`, and who goes first.

use std::fs;

use lb_testbed::{CLIENT, Families};

use crate::stage::{HTTP_PORT, MAIN, Stage, service, service_of};

fn stage() -> Stage {
    let stage = Stage::of(Families::Both, 1);
    stage.with("node1", "one").with("node1", "two").with("node1", "caller")
}

fn nodes(stage: &Stage, port: u16) -> [String; 2] {
    [format!("{}:{port}", stage.address("node1", true).unwrap()), {
        format!("[{}]:{port}", stage.address("node1", false).unwrap())
    }]
}

const DUAL: &str = "type: NodePort, ipFamilyPolicy: RequireDualStack, \
                    clusterIPs: [10.96.0.10, 'fd00:96::10']";

fn web() -> String {
    service("web", &format!("{DUAL}, ports: [{{name: http, port: 80, nodePort: 30080}}]"))
}

#[test]
fn node_ports_answer_where_they_are_let_and_networks_of_one_family_leave_the_other_open() {
    let stage = stage();
    stage.write(MAIN, &[web(), stage.endpoints("web", &["one"])]);
    let [v4, v6] = nodes(&stage, 30080);
    let (loopback_v4, loopback_v6) = ("127.0.0.1:30080", "[::1]:30080");
    for (flags, at_v4, at_v6, at_loopback_v4, at_loopback_v6) in [
        (&["--nodeport-addresses=127.0.0.0/8"][..], false, true, true, true),
        (&["--nodeport-addresses=127.0.0.0/8,::1/128"], false, false, true, true),
        (&["--nodeport-addresses=localhost"], false, false, true, true),
        (&["--nodeport-addresses=primary"], true, true, false, false),
        (&["--nodeport-addresses=2001:db8::/128,primary"], true, true, false, false),
        (&["--nodeport-addresses=all"], true, true, true, true),
    ] {
        let agent = stage.start_with("node1", flags);
        println!("{flags:?}");
        let one = |open: bool| Some(&["one"][..]).filter(|_| open);
        for place in ["node1", CLIENT] {
            stage.assert_who(place, &v4, one(at_v4));
            stage.assert_who(place, &v6, one(at_v6));
        }
        stage.assert_who("node1", loopback_v4, one(at_loopback_v4));
        stage.assert_who("node1", loopback_v6, one(at_loopback_v6));
        agent.stop().unwrap();
    }
}

#[test]
fn kube_proxys_own_configuration_says_where_node_ports_answer() {
    let stage = stage();
    stage.write(MAIN, &[web(), stage.endpoints("web", &["one"])]);
    let file = stage.cluster.folder().join("config.conf");
    fs::write(
        &file,
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n\
         iptables: {localhostNodePorts: false}\nclusterCIDR: 10.244.0.0/16\n",
    )
    .unwrap();
    let agent = stage.start_with("node1", &["--config", file.to_str().unwrap()]);
    stage.assert_who("node1", &nodes(&stage, 30080)[0], Some(&["one"]));
    stage.assert_who("node1", "127.0.0.1:30080", None);
    let log = agent.own_log().unwrap();
    assert_eq!(log.matches("clusterCIDR").count(), 1, "{log}");
}

#[test]
fn an_address_and_port_of_a_service_go_before_the_node_ports_of_others() {
    let stage = stage();
    let node = stage.address("node1", true).unwrap();
    let exact = service_of(
        "name: exact",
        &format!(
            "clusterIP: 10.96.0.11, externalIPs: ['{node}'], ports: [{{name: http, port: 30080}}]"
        ),
        "",
    );
    let ends = [stage.endpoints("web", &["one"]), stage.endpoints("exact", &["two"])];
    stage.write(MAIN, &[&[web(), exact][..], &ends].concat());
    let _agent = stage.start("node1");
    let [v4, v6] = nodes(&stage, 30080);
    for place in ["caller", "node1", CLIENT] {
        stage.assert_who(place, &v4, Some(&["two"]));
        stage.assert_who(place, &v6, Some(&["one"]));
    }
    stage.write(MAIN, &[web(), ends[0].clone()]);
    stage.until_who(CLIENT, &v4, Some(&["one"]));
}

#[test]
fn a_node_port_is_no_socket_of_the_node() {
    let stage = stage();
    stage.write(MAIN, &[web(), stage.endpoints("web", &["one"])]);
    let _agent = stage.start("node1");
    let [v4, _] = nodes(&stage, 30080);
    stage.assert_who(CLIENT, &v4, Some(&["one"]));
    let netns = stage.cluster.netns("node1").unwrap();
    let mut tables = String::new();
    netns
        .enter(|| {
            for table in ["tcp", "tcp6", "udp", "udp6"] {
                tables += &fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap();
            }
            Ok(())
        })
        .unwrap();
    let port = format!(":{:04X} ", 30080);
    let listeners: Vec<_> = tables
        .lines()
        .filter(|line| line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(port.trim())))
        .collect();
    assert_eq!(listeners, [""; 0]);
}

#[test]
fn ranges_of_one_family_leave_the_vips_of_the_other_open() {
    let stage = stage();
    let vips = ["198.51.100.10", "2001:db8:51::10"];
    for vip in vips {
        let vip: std::net::IpAddr = vip.parse().unwrap();
        stage.cluster.route(vip.into(), "node1").unwrap();
    }
    let balanced = |ranges: &str| {
        let spec = format!(
            "type: LoadBalancer, ipFamilyPolicy: RequireDualStack, clusterIPs: [10.96.0.10, \
             'fd00:96::10'], {HTTP_PORT}, loadBalancerSourceRanges: [{ranges}]"
        );
        let status =
            format!("loadBalancer: {{ingress: [{{ip: {}}}, {{ip: '{}'}}]}}", vips[0], vips[1]);
        [service_of("name: web", &spec, &status), stage.endpoints("web", &["one"])]
    };
    stage.write(MAIN, &balanced(""));
    let _agent = stage.start("node1");
    let (v4, v6) = ("198.51.100.10:80", "[2001:db8:51::10]:80");
    let one = Some(&["one"][..]);
    for (ranges, at_v4, at_v6) in [
        ("", one, one),
        ("' 100.64.0.0/10 '", None, one),
        ("'2001:db8:ffff::/48'", one, None),
        ("100.64.0.0/10, '2001:db8:ffff::/48'", None, None),
        ("'0.0.0.0/0'", one, one),
    ] {
        stage.write(MAIN, &balanced(ranges));
        println!("{ranges}");
        stage.until_who(CLIENT, v4, at_v4);
        stage.until_who(CLIENT, v6, at_v6);
        // Ranges are for the VIPs alone.
        stage.assert_who("caller", "10.96.0.10:80", one);
    }
}
