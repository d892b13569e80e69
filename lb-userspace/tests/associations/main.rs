//! Real SCTP sockets through a whole agent: from a pod past the socket hooks, and from outside to an
//! endpoint on another node.
//!
//! Needs what the tests of whole agents need, and a kernel with SCTP sockets, which few have loaded:
//! `cargo xtask test kernels` brings one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use lb_testbed::{Agent, AgentOptions, Cluster, Families, Launcher, Netns};
use socket2::{Domain, Protocol, Socket, Type};

const SCTP: i32 = 132;
const NODE_PORT: u16 = 30_132;
const SERVICE_PORT: u16 = 3_868;
const TARGET_PORT: u16 = 8_080;
/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long an agent may take until it is ready: these tests run in emulated machines too.
const READY: Duration = Duration::from_secs(180);
/// What is said: every remainder modulo four, more than a packet takes, more than buffers take.
const LENGTHS: [usize; 9] = [1, 2, 3, 4, 100, 1_400, 1_401, 9_001, 1_000_000];
/// Most that is said in one message.
const MESSAGE: usize = 16_000;

struct Stage {
    _agent: Agent,
    cluster: Cluster,
}

fn cluster_ip(is_v4: bool) -> IpAddr {
    if is_v4 { "10.96.0.132" } else { "fd00:96::132" }.parse().unwrap()
}

/// What packets are like on the way.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Packets {
    /// Whole, with their checksums, as from network cards: XDP works on them.
    Whole,
    /// Many in one and without checksums, as among veth devices: tc works on them.
    Unfinished,
}

/// Two nodes, a caller on the first and an endpoint where it is asked for.
fn stage(node: &str, packets: Packets) -> Stage {
    let builder = Cluster::builder(Launcher::beside_tests().unwrap());
    let builder = builder.families(Families::Both).nodes(2);
    let (builder, xdp) = match packets {
        // Not native: veth wakes no far end for what XDP sends back that has but GRO (6.1).
        Packets::Whole => (builder.like_hardware(), "generic"),
        Packets::Unfinished => (builder, "off"),
    };
    let mut cluster = builder.build().unwrap();
    cluster.add_pod("node1", "caller").unwrap();
    cluster.add_pod(node, "server").unwrap();
    let mut documents = vec![format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: diameter}}, spec: {{type: NodePort, \
         ipFamilyPolicy: RequireDualStack, clusterIPs: ['{}', '{}'], ports: [{{name: d, protocol: \
         SCTP, port: {SERVICE_PORT}, nodePort: {NODE_PORT}}}]}}}}",
        cluster_ip(true),
        cluster_ip(false)
    )];
    for address in cluster.addresses("server").unwrap() {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        documents.push(format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: \
             diameter-{}, labels: {{kubernetes.io/service-name: diameter}}}}, addressType: \
             {family}, ports: [{{name: d, protocol: SCTP, port: {TARGET_PORT}}}], endpoints: \
             [{{addresses: ['{address}'], nodeName: {node}}}]}}",
            family.to_lowercase()
        ));
    }
    let manifests = cluster.folder().join("manifests");
    fs::create_dir(&manifests).unwrap();
    fs::write(manifests.join("main.yaml"), documents.join("\n---\n")).unwrap();
    let mut options = AgentOptions::new(env!("CARGO_BIN_EXE_sluice"), &manifests);
    options.ready_within = Some(READY);
    options.arguments.extend(["--pod-interfaces", "pod*", "--xdp", xdp].map(Into::into));
    let agent = cluster.start_agent("node1", &options).unwrap();
    Stage { _agent: agent, cluster }
}

fn socket(like: IpAddr) -> Socket {
    let domain = if like.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::from(SCTP))).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn say(socket: &mut Socket, bytes: &[u8]) {
    for message in bytes.chunks(MESSAGE) {
        socket.write_all(message).unwrap();
    }
}

fn inside<T: Send>(netns: &Netns, work: impl FnOnce() -> T + Send) -> T {
    netns.enter(|| Ok(work())).unwrap()
}

impl Stage {
    fn address(&self, place: &str, is_v4: bool) -> IpAddr {
        let mut addresses = self.cluster.addresses(place).unwrap().iter();
        *addresses.find(|address| address.is_ipv4() == is_v4).unwrap()
    }

    /// Says something of every length from a place to a frontend, which the server says back; the
    /// server must see this address, and the caller the frontend.
    #[track_caller]
    fn check(&self, from: &str, to: SocketAddr, seen: IpAddr) {
        let server = (self.address("server", to.is_ipv4()), TARGET_PORT).into();
        let listener = inside(self.cluster.netns("server").unwrap(), || {
            let listener = socket(to.ip());
            listener.bind(&SocketAddr::into(server)).unwrap();
            listener.listen(1).unwrap();
            listener
        });
        let echo = thread::spawn(move || {
            let (mut peer, address) = listener.accept().unwrap();
            let mut bytes = vec![0; LENGTHS[LENGTHS.len() - 1]];
            for length in LENGTHS {
                peer.read_exact(&mut bytes[..length]).unwrap();
                say(&mut peer, &bytes[..length]);
            }
            address.as_socket().unwrap()
        });
        let mut caller = inside(self.cluster.netns(from).unwrap(), || {
            let caller = socket(to.ip());
            // An unbound socket tells the other end of all its machine's addresses.
            let own = SocketAddr::from((self.address(from, to.is_ipv4()), 0));
            caller.bind(&own.into()).unwrap();
            caller
        });
        let begun = Instant::now();
        caller.connect_timeout(&to.into(), PATIENCE).unwrap();
        assert_eq!(caller.peer_addr().unwrap().as_socket(), Some(to));
        for length in LENGTHS {
            let said: Vec<u8> = (0..length).map(|at| (at * 31 + length) as u8).collect();
            let mut heard = vec![0; length];
            say(&mut caller, &said);
            caller.read_exact(&mut heard).unwrap();
            assert_eq!(heard, said, "{length} bytes from {from} to {to}");
        }
        let peer = echo.join().unwrap();
        println!("{from} -> {to} -> {server}: seen as {peer}, {:?}", begun.elapsed());
        assert_eq!(peer.ip(), seen, "{from} to {to}");
    }
}

const FAMILIES: [bool; 2] = [true, false];

/// From a pod to a ClusterIP and its own node's NodePort.
#[track_caller]
fn check_pod(packets: Packets) {
    for node in ["node1", "node2"] {
        let stage = stage(node, packets);
        for is_v4 in FAMILIES {
            let caller = stage.address("caller", is_v4);
            stage.check("caller", (cluster_ip(is_v4), SERVICE_PORT).into(), caller);
            stage.check("caller", (stage.address("node1", is_v4), NODE_PORT).into(), caller);
        }
    }
}

/// From outside to a NodePort, whose endpoint is here or elsewhere.
#[track_caller]
fn check_outside(packets: Packets) {
    for node in ["node1", "node2"] {
        let stage = stage(node, packets);
        for is_v4 in FAMILIES {
            let at = stage.address("node1", is_v4);
            let seen = if node == "node1" { stage.address("client", is_v4) } else { at };
            stage.check("client", (at, NODE_PORT).into(), seen);
        }
    }
}

#[test]
fn a_pods_association_goes_by_its_device() {
    check_pod(Packets::Whole);
}

#[test]
fn so_it_does_where_packets_are_left_to_devices() {
    check_pod(Packets::Unfinished);
}

#[test]
fn an_association_from_outside_is_served_here_as_itself_and_elsewhere_as_the_node() {
    check_outside(Packets::Whole);
}

#[test]
fn so_it_is_where_packets_are_left_to_devices() {
    check_outside(Packets::Unfinished);
}

#[test]
fn a_port_without_a_service_refuses_at_once() {
    let stage = stage("node2", Packets::Whole);
    for is_v4 in FAMILIES {
        let to = SocketAddr::from((cluster_ip(is_v4), SERVICE_PORT + 1));
        let caller = inside(stage.cluster.netns("caller").unwrap(), || socket(to.ip()));
        let error = caller.connect_timeout(&to.into(), PATIENCE).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{to}");
    }
}
