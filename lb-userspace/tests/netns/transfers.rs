//! Ten megabytes up and ten down through a NodePort, every byte in its place, with a backend here and
//! one elsewhere, where all links are alike and where one in the middle takes less: then whoever
//! sends too much hears of it. Devices merge and cut segments as they do by default.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lb_testbed::{Agent, Families, Probe};

use crate::stage::{MAIN, Stage, inspect, service};

const NODE_PORT: u16 = 30_080;
const BYTES: usize = 10_000_000;
/// What a link in the middle takes. The second is less than the first: what was learnt of the first
/// is remembered.
const NARROW: u32 = 1_400;
const NARROWER: u32 = 1_380;
/// For each part of an exchange; debug builds take their time to look at every byte.
const PATIENCE: Duration = Duration::from_secs(20);

const CLIENT: &str = "client";
/// The pod, its node, and the node that a call to has to go on from.
const POD: &str = "web-1";
const NEAR: &str = "node1";
const FAR: &str = "node2";
const FAMILIES: [bool; 2] = [true, false];

struct Ways {
    stage: Stage,
    near: Agent,
    far: Agent,
}

fn ways(stage: Stage, arguments: &[&str]) -> Ways {
    let stage = stage.with(NEAR, POD);
    let spec = format!(
        "type: NodePort, ipFamilyPolicy: RequireDualStack, clusterIPs: ['10.96.0.10', \
         'fd00:96::10'], ports: [{{name: http, port: 80, nodePort: {NODE_PORT}}}]"
    );
    stage.write(MAIN, &[service("web", &spec), stage.endpoints("web", &[POD])]);
    let [near, far] = [NEAR, FAR].map(|node| stage.start_with(node, arguments));
    Ways { stage, near, far }
}

impl Ways {
    fn address(&self, place: &str, is_v4: bool) -> IpAddr {
        self.stage.address(place, is_v4).unwrap()
    }

    /// Up and down again, through a node's NodePort.
    #[track_caller]
    fn transfer(&self, node: &str, is_v4: bool) {
        let to: SocketAddr = (self.address(node, is_v4), NODE_PORT).into();
        let probe = Probe::tcp(to).upload_bytes(BYTES).download_bytes(BYTES).timeout(PATIENCE);
        let report = self.stage.cluster.probe(CLIENT, &probe).unwrap();
        assert_eq!((report.failed(), report.answered()), (0, 1), "{to}: {report:?}");
    }

    /// The same, and the client and the pod hear that they send too much.
    #[track_caller]
    fn transfer_through_a_narrow_link(&self, node: &str, is_v4: bool) {
        let heard = || [CLIENT, POD].map(|place| self.heard(place, is_v4));
        let before = heard();
        self.transfer(node, is_v4);
        for (place, (before, after)) in [CLIENT, POD].iter().zip(before.iter().zip(heard())) {
            assert!(after > *before, "{node}, IPv4 {is_v4}: {place} has heard nothing");
        }
    }

    /// How often a place has been told that a packet does not fit.
    fn heard(&self, place: &str, is_v4: bool) -> u64 {
        let file = if is_v4 { "snmp" } else { "snmp6" };
        let read = || Ok(fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap());
        let text = self.stage.cluster.netns(place).unwrap().enter(read).unwrap();
        if !is_v4 {
            let line = text.lines().find_map(|line| line.strip_prefix("Icmp6InPktTooBigs"));
            return line.unwrap().trim().parse().unwrap();
        }
        // Of two lines the first has the names.
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Icmp: "));
        let (names, numbers) = (lines.next().unwrap(), lines.next().unwrap());
        let mut all = names.split(' ').zip(numbers.split(' '));
        all.find(|(name, _)| *name == "InDestUnreachs").unwrap().1.parse().unwrap()
    }

    /// Makes the way from a place to an address take no more than this, by way of a neighbour.
    fn narrow(&self, place: &str, to: IpAddr, via: IpAddr, mtu: u32) {
        let netns = self.stage.cluster.netns(place).unwrap();
        netns.links(async |links| links.narrow_route(to.into(), via, mtu).await).unwrap();
    }
}

fn counted(agent: &Agent, counter: &str) -> u64 {
    let counters = inspect(agent, "status")["counters"].clone();
    let row = counters.as_array().unwrap().iter().find(|row| row["counter"] == counter).cloned();
    row.unwrap()["value"].as_u64().unwrap()
}

#[track_caller]
fn check(stage: Stage, arguments: &[&str]) {
    let ways = ways(stage, arguments);
    for is_v4 in FAMILIES {
        for node in [NEAR, FAR] {
            ways.transfer(node, is_v4);
        }
    }
    for is_v4 in FAMILIES {
        let [near, far, pod] = [NEAR, FAR, POD].map(|place| ways.address(place, is_v4));
        // Between the nodes: it is us who tell the client.
        let before = counted(&ways.far, "drop_too_big");
        ways.narrow(FAR, pod, near, NARROW);
        ways.narrow(NEAR, far, far, NARROW);
        ways.transfer_through_a_narrow_link(FAR, is_v4);
        assert!(counted(&ways.far, "drop_too_big") > before);
    }
    for is_v4 in FAMILIES {
        // Between the client and the nodes: what the router tells the pod goes through us.
        let client = ways.address(CLIENT, is_v4);
        ways.narrow("router", client, client, NARROWER);
        for (node, agent) in [(NEAR, &ways.near), (FAR, &ways.far)] {
            let (node_address, before) =
                (ways.address(node, is_v4), counted(agent, "icmp_translated"));
            ways.narrow("router", node_address, node_address, NARROWER);
            ways.transfer_through_a_narrow_link(node, is_v4);
            assert!(counted(agent, "icmp_translated") > before);
        }
    }
}

#[test]
fn ten_megabytes_arrive_whole_at_tc() {
    check(Stage::of(Families::Both, 2), &["--xdp", "off"]);
}

#[test]
fn ten_megabytes_arrive_whole_where_xdp_is_in_the_stack() {
    check(Stage::of(Families::Both, 2), &["--xdp", "generic"]);
}

#[test]
fn ten_megabytes_arrive_whole_where_xdp_is_in_the_driver() {
    check(Stage::like_hardware(Families::Both, 2), &["--xdp", "native"]);
}
