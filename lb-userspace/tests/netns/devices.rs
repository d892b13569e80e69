//! Devices and addresses that come and go under a running agent.

use lb_testbed::Agent;

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
