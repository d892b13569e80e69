//! The own Node object: its zone, its addresses, its end.

use std::net::IpAddr;

use ipnet::IpNet;
use lb_testbed::{CLIENT, Probe};
use serde_json::json;

use crate::{
    picture::until_exact,
    stage::{
        CALLER, NODES, PATIENCE, SERVICES, SLICES, Stage, WEB, assert_unharmed, service, sorted,
        until, until_logged,
    },
};

const ZONE: &str = "topology.kubernetes.io/zone";
const NODE_PORT: u16 = 30_080;

#[test]
fn a_change_of_the_nodes_zone_moves_traffic_without_a_restart() {
    let stage = Stage::new(1);
    let zone = |zone: &str| stage.api.put(NODES, stage.node("node1", json!({ZONE: zone})));
    zone("a");
    stage.api.put(SERVICES, service("web", WEB));
    let mut slice = stage.slice("web", &["one", "two"]);
    for (index, zone) in ["a", "b"].into_iter().enumerate() {
        slice["endpoints"][index]["hints"] = json!({"forZones": [{"name": zone}]});
    }
    stage.api.put(SLICES, slice);
    let _agent = stage.start("node1");
    let who = |expected: &[&str]| {
        let found = until(|| stage.who(WEB) == Some(sorted(expected)));
        assert!(found, "{:?} and not {expected:?}", stage.who(WEB));
    };
    who(&["one"]);
    let traffic = stage.traffic(CALLER);
    zone("b");
    who(&["two"]);
    stage.api.put(NODES, stage.node("node1", json!({})));
    who(&["one", "two"]);
    zone("a");
    who(&["one"]);
    assert_unharmed(traffic);
}

#[test]
fn a_node_that_is_deleted_goes_on_and_may_come_back() {
    let stage = Stage::new(1);
    stage.put_web(&["one", "two"]);
    let agent = stage.start("node1");
    let traffic = stage.traffic(CALLER);
    stage.api.remove(NODES, "", "node1");
    until_logged(&agent, &["no Node node1"]);
    stage.put_endpoints("web", &["two", "three"]);
    until_exact(&agent, &stage.api, PATIENCE);
    stage.assert_who(WEB, Some(&["two", "three"]));
    stage.api.put(NODES, stage.node("node1", json!({})));
    stage.put_endpoints("web", &["one"]);
    until_exact(&agent, &stage.api, PATIENCE);
    assert_unharmed(traffic);
}

#[test]
fn node_ports_follow_the_nodes_address() {
    let stage = Stage::new(1);
    let mut web = service("web", WEB);
    web["spec"]["type"] = json!("NodePort");
    web["spec"]["ports"][0]["nodePort"] = json!(NODE_PORT);
    stage.api.put(SERVICES, web);
    stage.put_endpoints("web", &["one"]);
    let other: IpNet = "192.168.50.77/24".parse().unwrap();
    let links = stage.cluster.netns("node1").unwrap();
    links.links(async |links| links.address("eth0", other).await).unwrap();
    let options = stage.options().argument("--nodeport-addresses=primary");
    let _agent = stage.cluster.start_agent("node1", &options).unwrap();
    let answers = |address: IpAddr| {
        let probe = Probe::tcp((address, NODE_PORT).into());
        let probe = probe.timeout(std::time::Duration::from_millis(500));
        stage.cluster.probe(CLIENT, &probe).unwrap().answered() == 1
    };
    let first: IpAddr = stage.address("node1").parse().unwrap();
    let moved = |from: IpAddr, to: IpAddr| until(|| answers(to) && !answers(from));
    assert!(moved(other.addr(), first), "not at the node's address alone");
    let mut node = stage.node("node1", json!({}));
    node["status"]["addresses"][0]["address"] = json!(other.addr());
    stage.api.put(NODES, node);
    assert!(moved(first, other.addr()), "the node's new address is not followed");
}
