//! Devices and addresses that come and go under a running agent.

use lb_testbed::Agent;
use nix::net::if_::if_nametoindex;

use crate::stage::{MAIN, Stage, inspect, service, until, until_logged};

/// A second way out of the node.
const WAN: &str = "wan0";
const WAN_ADDRESS: &str = "172.16.9.2";

fn stage() -> Stage {
    let stage = Stage::new(1).with("node1", "one");
    let ports = "ports: [{name: http, port: 80, nodePort: 30080}]";
    let web = service("web", &format!("type: NodePort, clusterIP: 10.96.0.10, {ports}"));
    stage.write(MAIN, &[web, stage.endpoints("web", &["one"])]);
    stage
}

/// How many programs are attached to devices of the node.
fn on_devices(agent: &Agent) -> usize {
    let status = inspect(agent, "status");
    let programs = status["programs"].as_array().unwrap().iter();
    let names = programs.map(|row| row["program"].as_str().unwrap());
    names.filter(|name| name.starts_with("tc") || name.starts_with("xdp")).count()
}

#[test]
fn a_device_that_comes_later_is_served_and_one_that_goes_is_let_go() {
    let stage = stage();
    let eth0 = format!("{}:30080", stage.address("node1", true).unwrap());
    let wan = format!("{WAN_ADDRESS}:30080");
    let agent = stage.start("node1");
    stage.assert_who("client", &eth0, Some(&["one"]));
    let of_one = on_devices(&agent);
    assert!(of_one > 0);

    let (node, router) =
        (stage.cluster.netns("node1").unwrap(), stage.cluster.netns("router").unwrap());
    node.links(async |links| {
        links.veth(WAN, "to-wan", router).await?;
        links.address(WAN, format!("{WAN_ADDRESS}/24").parse().unwrap()).await
    })
    .unwrap();
    router
        .links(async |links| {
            links.up("to-wan").await?;
            links.address("to-wan", "172.16.9.1/24".parse().unwrap()).await
        })
        .unwrap();
    // By its routes a device is known to lead outside.
    let client = "203.0.113.0/24".parse().unwrap();
    let gateway = "172.16.9.1".parse().unwrap();
    node.links(async |links| links.route(client, gateway).await).unwrap();
    until_logged(&agent, &["programs attached", WAN]);
    stage.until_who("client", &wan, Some(&["one"]));
    assert_eq!(on_devices(&agent), 2 * of_one);

    node.links(async |links| links.delete(WAN).await).unwrap();
    until_logged(&agent, &["device left", WAN]);
    until(|| on_devices(&agent) == of_one).expect("its links are let go");
    stage.until_who("client", &eth0, Some(&["one"]));
    stage.assert_who("client", &wan, None);
}

#[test]
fn an_address_that_comes_later_answers_node_ports() {
    let stage = stage();
    let _agent = stage.start("node1");
    let later = "192.168.50.200:30080";
    stage.assert_who("client", later, None);
    let node = stage.cluster.netns("node1").unwrap();
    let address = "192.168.50.200/24".parse().unwrap();
    node.links(async |links| links.address("eth0", address).await).unwrap();
    let took = stage.until_who("client", later, Some(&["one"]));
    println!("a new address answers after {} ms", took.as_millis());
    stage.assert_who("node1", later, Some(&["one"]));
}

#[test]
fn a_driver_that_refuses_xdp_is_said_once_and_tc_does_all_of_it() {
    const REFUSED: &str = "no XDP in the driver, tc does all of it";
    let stage = stage();
    let node = stage.cluster.netns("node1").unwrap();
    let router = stage.cluster.netns("router").unwrap();
    // A bridge has no driver that could.
    let others = ["wan0", "wan1"];
    let come = |name: &'static str| node.links(async |links| links.bridge(name).await).unwrap();
    come(others[0]);
    let agent = stage.start_with("node1", &["--interfaces", "eth0,wan*"]);
    until_logged(&agent, &[REFUSED, others[0]]);
    // Whatever happens to the device and beside it.
    come(others[1]);
    until_logged(&agent, &[REFUSED, others[1]]);
    node.links(async |links| {
        links.veth("wan0-port", "to-wan0", router).await?;
        links.enslave("wan0-port", others[0]).await?;
        links.address(others[0], format!("{WAN_ADDRESS}/24").parse().unwrap()).await
    })
    .unwrap();
    until_logged(&agent, &["programs attached", "wan0-port"]);
    router
        .links(async |links| {
            links.up("to-wan0").await?;
            links.address("to-wan0", "172.16.9.1/24".parse().unwrap()).await
        })
        .unwrap();
    let client = "203.0.113.0/24".parse().unwrap();
    let gateway = "172.16.9.1".parse().unwrap();
    node.links(async |links| links.route(client, gateway).await).unwrap();
    stage.until_who("client", &format!("{WAN_ADDRESS}:30080"), Some(&["one"]));
    let log = agent.own_log().unwrap();
    for name in others {
        let said = log.lines().filter(|line| line.contains(REFUSED) && line.contains(name)).count();
        assert_eq!(said, 1, "{name}: {log}");
    }
    let index = node.enter(|| Ok(if_nametoindex(others[0]).unwrap())).unwrap();
    let status = inspect(&agent, "status");
    let programs = status["programs"].as_array().unwrap().iter();
    let mut there: Vec<_> = programs
        .filter(|row| {
            // By the names of the namespace that it is asked from.
            let target = row["target"].as_str().unwrap();
            target == format!("device {index}") || target.ends_with(&format!(" ({index})"))
        })
        .map(|row| (row["program"].as_str().unwrap(), row["mode"].as_str()))
        .collect();
    there.sort();
    assert_eq!(there, [("tc_egress", None), ("tc_ingress", None)]);
}
