//! Calls that nobody takes, from a client outside, and pings of an address that is no machine's.

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};
use lb_testbed::{Families, Probe};
use socket2::{Domain, Protocol, Socket, Type};

use crate::stage::{MAIN, Stage, service_of};

const BALANCER: [&str; 2] = ["198.51.100.10", "2001:db8:51::10"];
const CLUSTER_IP: [&str; 2] = ["10.96.0.10", "fd00:96::10"];
/// Long before a client would try again.
const AT_ONCE: Duration = Duration::from_millis(500);
const SILENCE: Duration = Duration::from_millis(700);

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

/// What became of a call, and how long it took.
fn outcome(stage: &Stage, probe: Probe) -> (Vec<String>, Duration) {
    let report = stage.cluster.probe("client", &probe.timeout(SILENCE)).unwrap();
    (report.errors.into_keys().collect(), report.elapsed)
}

#[track_caller]
fn refused(stage: &Stage, to: impl Into<SocketAddr>) {
    let to = to.into();
    for probe in [Probe::tcp(to), Probe::udp(to)] {
        let how = probe.transport;
        let (errors, took) = outcome(stage, probe);
        assert_eq!(errors, ["ECONNREFUSED"], "{to} {how:?}");
        assert!(took < AT_ONCE, "{to} {how:?} took {took:?}");
    }
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
    for probe in [Probe::tcp((ip, tcp).into()), Probe::udp((ip, udp).into())] {
        let (to, how) = (probe.to, probe.transport);
        let (errors, took) = outcome(stage, probe);
        assert_eq!(errors, ["ECONNREFUSED"], "{to} {how:?}");
        assert!(took < AT_ONCE, "{to} {how:?} took {took:?}");
    }
}

#[test]
fn a_port_of_a_vip_that_nobody_uses_is_refused_at_once_and_goes_in_circles_where_it_is_not() {
    let stage = stage(&["web-1"]);
    let agent = stage.start("node1");
    for vip in vips() {
        stage.assert_who("client", &SocketAddr::new(vip, 80).to_string(), Some(&["web-1"]));
        refused(&stage, (vip, 4_711));
    }
    drop(agent);
    let _agent = stage.start_with("node1", &["--reject-unused-ports=false"]);
    for vip in vips() {
        let (errors, _) = outcome(&stage, Probe::tcp((vip, 4_711).into()));
        assert_ne!(errors, ["ECONNREFUSED"], "{vip}");
        assert_ne!(errors, Vec::<String>::new(), "{vip}");
    }
}

#[test]
fn a_vip_answers_pings_unless_told_not_to() {
    let stage = stage(&["web-1"]);
    let agent = stage.start("node1");
    for vip in vips() {
        assert!(ping(&stage, "client", vip).is_ok(), "{vip}");
        let node = stage.address("node1", vip.is_ipv4()).unwrap();
        assert!(ping(&stage, "client", node).is_ok(), "{node}, by its own stack");
    }
    drop(agent);
    let _agent = stage.start_with("node1", &["--vip-ping=false"]);
    for vip in vips() {
        assert!(ping(&stage, "client", vip).is_err(), "{vip}");
    }
}

#[test]
fn a_cluster_ip_answers_pings_from_within_and_not_from_outside() {
    let stage = stage(&["web-1"]);
    let _agent = stage.start("node1");
    for cluster_ip in cluster_ips() {
        for place in ["web-1", "node1"] {
            assert!(ping(&stage, place, cluster_ip).is_ok(), "{cluster_ip} from {place}");
        }
        stage.cluster.route(cluster_ip.into(), "node1").unwrap();
        assert!(ping(&stage, "client", cluster_ip).is_err(), "{cluster_ip} from outside");
    }
}

#[test]
fn a_process_that_no_hook_sees_is_refused_at_an_unused_port_of_a_cluster_ip() {
    let stage = stage(&["web-1"]);
    let _agent = stage.start("node1");
    let unseen = stage.unseen("web-1");
    for cluster_ip in cluster_ips() {
        for probe in
            [Probe::tcp((cluster_ip, 4_711).into()), Probe::udp((cluster_ip, 4_711).into())]
        {
            let how = probe.transport;
            let report = stage.cluster.launcher().probe(&unseen, &probe.timeout(SILENCE)).unwrap();
            assert_eq!(report.errors, [("ECONNREFUSED".into(), 1)].into(), "{cluster_ip} {how:?}");
            assert!(report.elapsed < AT_ONCE, "{cluster_ip} {how:?} took {:?}", report.elapsed);
        }
    }
}

/// One ping, and its answer.
pub fn ping(stage: &Stage, from: &str, to: IpAddr) -> io::Result<()> {
    let place = stage.cluster.netns(from).unwrap();
    place.enter(|| Ok(exchange(to))).unwrap()
}

fn exchange(to: IpAddr) -> io::Result<()> {
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
    socket.set_read_timeout(Some(SILENCE))?;
    socket.send(&[&request, &payload[..]].concat())?;
    let (begun, mut buffer) = (Instant::now(), [0; 256]);
    while begun.elapsed() < SILENCE {
        let length = socket.read(&mut buffer)?;
        // An IPv4 raw socket gives the network header, too.
        let message = &buffer[if to.is_ipv4() { 20 } else { 0 }..length];
        if message[0] == reply && message[4..6] == request[4..6] && message.ends_with(payload) {
            return Ok(());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
