//! What a Service asks of clients outside: policy Local, source ranges, session affinity; and whom
//! its pods see. Over TCP and UDP, in both families.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lb_testbed::{Agent, CLIENT, Families, Probe, Report};

use crate::stage::{MAIN, Stage, inspect, service_of, until};

/// Two on node1, one on node2, none on node3.
const NEAR: [&str; 2] = ["near-1", "near-2"];
const FAR: [&str; 1] = ["far-1"];
const ALL: [&str; 3] = ["far-1", "near-1", "near-2"];
/// Enough that none of three pods is missed, but for one run in ten million.
const REQUESTS: u64 = 40;
/// How long nobody must answer until it counts as silence.
const SILENCE: Duration = Duration::from_millis(700);
const NODE_PORTS: [u16; 2] = [30_080, 30_053];
const BALANCER: [&str; 2] = ["198.51.100.10", "2001:db8:51::10"];
const CLUSTER_IPS: [&str; 2] = ["10.96.0.10", "fd00:96::10"];

fn stage() -> Stage {
    let stage = Stage::of(Families::Both, 3).with("node1", NEAR[0]).with("node1", NEAR[1]);
    stage.with("node2", FAR[0])
}

/// A Service of type LoadBalancer over both families, with this much more in its `spec`.
fn web(stage: &Stage, more: &str, pods: &[&str]) -> [String; 2] {
    let [v4, v6] = CLUSTER_IPS;
    let spec = format!(
        "type: LoadBalancer, ipFamilyPolicy: RequireDualStack, clusterIPs: ['{v4}', '{v6}'], \
         ports: [{{name: http, port: 80, nodePort: {}}}, {{name: dns, port: 53, protocol: UDP, \
         nodePort: {}}}], {more}",
        NODE_PORTS[0], NODE_PORTS[1]
    );
    let [v4, v6] = BALANCER;
    let status = format!("loadBalancer: {{ingress: [{{ip: '{v4}'}}, {{ip: '{v6}'}}]}}");
    [service_of("name: web", &spec, &status), stage.endpoints("web", pods)]
}

/// Over TCP and UDP, at the ports of an address.
fn both(ip: IpAddr, [http, dns]: [u16; 2]) -> [Probe; 2] {
    [Probe::tcp((ip, http).into()), Probe::udp((ip, dns).into())]
}

fn send_to(stage: &Stage, texts: [&str; 2], node: &str) -> [IpAddr; 2] {
    texts.map(|text| {
        let address: IpAddr = text.parse().unwrap();
        stage.cluster.route(address.into(), node).unwrap();
        address
    })
}

/// Insists that exactly these pods answer, and that the caller sees whom it called.
#[track_caller]
fn answered(stage: &Stage, place: &str, probe: &Probe, pods: &[&str]) -> Report {
    let report = stage.cluster.probe(place, &probe.clone().requests(REQUESTS)).unwrap();
    let to: SocketAddr = probe.to;
    assert_eq!(report.errors, Default::default(), "{to} from {place}");
    let found: BTreeSet<&str> = report.by_pod().into_keys().collect();
    assert_eq!(found, pods.iter().copied().collect(), "{to} from {place}");
    assert!(report.answers.iter().all(|answer| answer.from == to), "{report:?}");
    report
}

/// Insists that nobody answers.
#[track_caller]
fn silent(stage: &Stage, probe: &Probe) {
    let probe = probe.clone().requests(2).concurrency(2).timeout(SILENCE);
    let report = stage.cluster.probe(CLIENT, &probe).unwrap();
    assert_eq!(report.errors, [("ETIMEDOUT".to_owned(), 2)].into(), "{}", probe.to);
}

#[test]
fn pods_of_the_node_a_call_comes_to_see_the_client_and_others_see_the_node() {
    let stage = stage();
    stage.write(MAIN, &web(&stage, "", &ALL));
    let nodes = [("node1", &NEAR[..]), ("node2", &FAR[..]), ("node3", &[])];
    let _agents = nodes.map(|(node, _)| stage.start(node));
    for (node, own) in nodes {
        for is_v4 in [true, false] {
            let (at, client) = (stage.address(node, is_v4), stage.address(CLIENT, is_v4));
            for probe in both(at.unwrap(), NODE_PORTS) {
                for answer in answered(&stage, CLIENT, &probe, &ALL).answers {
                    let seen = if own.contains(&answer.pod.as_str()) { client } else { at };
                    assert_eq!(Some(answer.peer), seen, "{} through {node}", answer.pod);
                }
            }
        }
    }
    // A ClusterIP is not for those outside, even if the network brings them here.
    for vip in send_to(&stage, CLUSTER_IPS, "node1") {
        both(vip, [80, 53]).iter().for_each(|probe| silent(&stage, probe));
    }
    assert_eq!(stage.cluster.firewall_tables().unwrap(), [], "no packet filter is in use");
}

#[test]
fn policy_local_stays_on_the_node_and_shows_the_client() {
    let stage = stage();
    stage.write(MAIN, &web(&stage, "externalTrafficPolicy: Local", &ALL));
    let _agents = ["node1", "node2", "node3"].map(|node| stage.start(node));
    for is_v4 in [true, false] {
        for (node, pods) in [("node1", &NEAR[..]), ("node2", &FAR[..])] {
            for probe in both(stage.address(node, is_v4).unwrap(), NODE_PORTS) {
                let report = answered(&stage, CLIENT, &probe, pods);
                let peers: Vec<_> = report.by_peer().into_keys().collect();
                assert_eq!(peers, [stage.address(CLIENT, is_v4).unwrap()], "through {node}");
            }
        }
        for probe in both(stage.address("node3", is_v4).unwrap(), NODE_PORTS) {
            silent(&stage, &probe);
            // A process of the node is as good as outside and back in elsewhere.
            answered(&stage, "node3", &probe, &ALL);
        }
    }
}

#[test]
fn source_ranges_let_in_whom_they_name_at_the_balancer_and_everybody_at_the_node_port() {
    let stage = stage();
    let clients = |is_v4: bool| {
        let all = stage.cluster.addresses(CLIENT).unwrap().iter().copied();
        all.filter(|ip| ip.is_ipv4() == is_v4).collect::<Vec<_>>()
    };
    let ranges = format!("['{}/32', '{}/128']", clients(true)[0], clients(false)[0]);
    stage.write(MAIN, &web(&stage, &format!("loadBalancerSourceRanges: {ranges}"), &ALL));
    let _agent = stage.start("node1");
    for vip in send_to(&stage, BALANCER, "node1") {
        let [named, stranger] = clients(vip.is_ipv4())[..] else { panic!("two a family") };
        for probe in both(vip, [80, 53]) {
            answered(&stage, CLIENT, &probe.clone().from(named), &ALL);
            silent(&stage, &probe.from(stranger));
        }
        for probe in both(stage.address("node1", vip.is_ipv4()).unwrap(), NODE_PORTS) {
            answered(&stage, CLIENT, &probe.from(stranger), &ALL);
        }
    }
}

#[test]
fn affinity_keeps_a_client_at_its_pod_until_that_leaves() {
    let stage = stage();
    let write = |pods: &[&str]| stage.write(MAIN, &web(&stage, "sessionAffinity: ClientIP", pods));
    write(&ALL);
    let agent = stage.start("node1");
    for is_v4 in [true, false] {
        let probes = both(stage.address("node1", is_v4).unwrap(), NODE_PORTS);
        let first = probes.clone().map(|probe| own_pod(&stage, probe));
        assert_eq!(probes.clone().map(|probe| own_pod(&stage, probe)), first);
        let others: Vec<&str> =
            ALL.into_iter().filter(|pod| first.iter().all(|own| own != pod)).collect();
        write(&others);
        followed(&agent, others.len());
        let second = probes.clone().map(|probe| own_pod(&stage, probe));
        assert!(second.iter().all(|pod| others.contains(&pod.as_str())), "{second:?}");
        write(&ALL);
        followed(&agent, ALL.len());
        assert_eq!(probes.map(|probe| own_pod(&stage, probe)), second, "who returns gets no one");
    }
}

/// The one pod that answers the client.
#[track_caller]
fn own_pod(stage: &Stage, probe: Probe) -> String {
    let report = stage.cluster.probe(CLIENT, &probe.requests(REQUESTS)).unwrap();
    assert_eq!((report.failed(), report.by_pod().len()), (0, 1), "{report:?}");
    report.answers[0].pod.clone()
}

/// Waits until every row of the Service has so many endpoints.
#[track_caller]
fn followed(agent: &Agent, endpoints: usize) {
    let all = || {
        let services = inspect(agent, "services");
        let mut rows = services.as_array().unwrap().iter();
        rows.all(|row| row["endpoints"].as_array().unwrap().len() == endpoints)
    };
    until(all).expect("the tables follow the manifests");
}
