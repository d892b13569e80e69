//! Calls that nobody takes, from a client outside, and pings of an address that is no machine's.

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};
use lb_testbed::{CLIENT, Families, Place, Probe};
use socket2::{Domain, Protocol, Socket, Type};

use crate::stage::{MAIN, Stage, service_of};

const BALANCER: [&str; 2] = ["198.51.100.10", "2001:db8:51::10"];
const CLUSTER_IP: [&str; 2] = ["10.96.0.10", "fd00:96::10"];
/// Long before a client would try again.
const AT_ONCE: Duration = Duration::from_millis(500);
/// Each of so many calls is refused, and not one of them because it tried again: what delays one on
/// a busy machine does not delay all.
const CALLS: u64 = 5;
const SILENCE: Duration = Duration::from_millis(700);
/// How long what is to be answered may take, on a busy machine.
const ANSWER: Duration = Duration::from_secs(5);

/// One node, and a Service whose VIPs lead there; its endpoints are these pods.
fn stage(pods: &[&str]) -> Stage {
    let stage = Stage::of(Families::Both, 1).with("node1", "web-1");
    let [v4, v6] = BALANCER;
    let [c4, c6] = CLUSTER_IP;
    let spec = format!(
        "type: LoadBalancer, ipFamilyPolicy: RequireDualStack, clusterIPs: ['{c4}', '{c6}'], \
         ports: [{{name: http, port: 80, nodePort: 30080}}, {{name: dns, port: 53, protocol: UDP, \
         nodePort: 30053}}]"
    );
    let status = format!("loadBalancer: {{ingress: [{{ip: '{v4}'}}, {{ip: '{v6}'}}]}}");
    stage.write(MAIN, &[service_of("name: web", &spec, &status), stage.endpoints("web", pods)]);
    for vip in vips() {
        stage.cluster.route(vip.into(), "node1").unwrap();
    }
    stage
}

fn cluster_ips() -> [IpAddr; 2] {
    CLUSTER_IP.map(|text| text.parse().unwrap())
}

fn vips() -> [IpAddr; 2] {
    BALANCER.map(|text| text.parse().unwrap())
}

/// Insists that who calls from there is refused at once.
#[track_caller]
fn refused(stage: &Stage, from: &Place, probe: Probe) {
    let (to, how) = (probe.to, probe.transport);
    let probe = probe.requests(CALLS).timeout(ANSWER).recording();
    let report = stage.cluster.launcher().probe(from, &probe).unwrap();
    assert_eq!(report.errors, [("ECONNREFUSED".into(), CALLS)].into(), "{to} {how:?}");
    let took = report.exchanges.iter().map(|one| Duration::from_nanos(one.end_ns - one.start_ns));
    let quickest = took.min().unwrap();
    assert!(quickest < AT_ONCE, "{to} {how:?} took {quickest:?}");
}

#[test]
fn a_service_without_endpoints_refuses_at_once() {
    let stage = stage(&[]);
    let _agent = stage.start("node1");
    for is_v4 in [true, false] {
        let node = stage.address("node1", is_v4).unwrap();
        refused_at_ports(&stage, node, [30_080, 30_053]);
    }
    vips().into_iter().for_each(|vip| refused_at_ports(&stage, vip, [80, 53]));
}

#[track_caller]
fn refused_at_ports(stage: &Stage, ip: IpAddr, [tcp, udp]: [u16; 2]) {
    let client = stage.cluster.place(CLIENT).unwrap();
    for probe in [Probe::tcp((ip, tcp).into()), Probe::udp((ip, udp).into())] {
        refused(stage, &client, probe);
    }
}

#[test]
fn a_port_of_a_vip_that_nobody_uses_is_refused_at_once_and_goes_in_circles_where_it_is_not() {
    let stage = stage(&["web-1"]);
    let agent = stage.start("node1");
    for vip in vips() {
        stage.assert_who("client", &SocketAddr::new(vip, 80).to_string(), Some(&["web-1"]));
        refused_at_ports(&stage, vip, [4_711, 4_711]);
    }
    drop(agent);
    let _agent = stage.start_with("node1", &["--reject-unused-ports=false"]);
    for vip in vips() {
        let probe = Probe::tcp((vip, 4_711).into()).timeout(SILENCE);
        let report = stage.cluster.probe(CLIENT, &probe).unwrap();
        assert!(!report.errors.contains_key("ECONNREFUSED"), "{vip}");
        assert_eq!(report.failed(), 1, "{vip}");
    }
}

#[test]
fn a_vip_answers_pings_unless_told_not_to() {
    let stage = stage(&["web-1"]);
    let agent = stage.start("node1");
    for vip in vips() {
        check_ping(&stage, CLIENT, vip, true);
        // By its own stack.
        check_ping(&stage, CLIENT, stage.address("node1", vip.is_ipv4()).unwrap(), true);
    }
    drop(agent);
    let _agent = stage.start_with("node1", &["--vip-ping=false"]);
    for vip in vips() {
        check_ping(&stage, CLIENT, vip, false);
    }
}

#[test]
fn a_cluster_ip_answers_pings_from_within_and_not_from_outside() {
    let stage = stage(&["web-1"]);
    let _agent = stage.start("node1");
    for cluster_ip in cluster_ips() {
        for place in ["web-1", "node1"] {
            check_ping(&stage, place, cluster_ip, true);
        }
        stage.cluster.route(cluster_ip.into(), "node1").unwrap();
        check_ping(&stage, CLIENT, cluster_ip, false);
    }
}

#[test]
fn a_process_that_no_hook_sees_is_refused_at_an_unused_port_of_a_cluster_ip() {
    let stage = stage(&["web-1"]);
    let _agent = stage.start("node1");
    let unseen = stage.unseen("web-1");
    for cluster_ip in cluster_ips() {
        refused(&stage, &unseen, Probe::tcp((cluster_ip, 4_711).into()));
        refused(&stage, &unseen, Probe::udp((cluster_ip, 4_711).into()));
    }
}

/// Insists that a ping is answered, or that it is not.
#[track_caller]
pub fn check_ping(stage: &Stage, from: &str, to: IpAddr, answered: bool) {
    let patience = if answered { ANSWER } else { SILENCE };
    let place = stage.cluster.netns(from).unwrap();
    let outcome = place.enter(|| Ok(ping(to, patience))).unwrap();
    assert_eq!(outcome.is_ok(), answered, "{to} from {from}: {outcome:?}");
}

fn ping(to: IpAddr, patience: Duration) -> io::Result<()> {
    let payload = b"is anybody there?";
    let header = IcmpEchoHeader { id: std::process::id() as u16, seq: 1 };
    let (domain, protocol, request, reply) = if to.is_ipv4() {
        let header = Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(header), payload);
        (Domain::IPV4, Protocol::ICMPV4, header.to_bytes().to_vec(), 0)
    } else {
        // The kernel computes the checksum, as it knows the source.
        let header = Icmpv6Header::new(Icmpv6Type::EchoRequest(header));
        (Domain::IPV6, Protocol::ICMPV6, header.to_bytes().to_vec(), 129)
    };
    let mut socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    socket.set_read_timeout(Some(patience))?;
    socket.send(&[&request, &payload[..]].concat())?;
    let (begun, mut buffer) = (Instant::now(), [0; 256]);
    while begun.elapsed() < patience {
        let length = socket.read(&mut buffer)?;
        // An IPv4 raw socket gives the network header, too.
        let message = &buffer[if to.is_ipv4() { 20 } else { 0 }..length];
        if message[0] == reply && message[4..6] == request[4..6] && message.ends_with(payload) {
            return Ok(());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
