//! What the demo shows, as data: who calls what, and what is to come of it.

use lb_testbed::Transport::{self, Tcp, UdpConnected, UdpUnconnected};

/// One call and what is expected of it.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The file in deploy/examples that has the Service.
    pub example: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// Who calls.
    pub caller: Caller,
    /// The service port as `sluice inspect` names it, without the namespace.
    pub service: &'static str,
    /// Which of its addresses.
    pub target: Target,
    /// How.
    pub transport: Transport,
    /// In which of the demo's families.
    pub families: In,
    /// What is to come of it.
    pub expected: Expected,
}

/// Who calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// The pod `shell`, on node1.
    Pod,
    /// A process of a node.
    Node(&'static str),
    /// The client outside.
    Client,
    /// The client outside, from its second address, which is in no source range.
    Stranger,
}

/// Which of a Service's addresses is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// Its own.
    ClusterIp,
    /// Its node port, at this node.
    NodePort(&'static str),
    /// Its node port, at the caller's own loopback address.
    Localhost,
    /// The first of its external addresses.
    ExternalIp,
    /// Its load balancer's.
    LoadBalancer,
    /// None: this pod's port 8080.
    Pod(&'static str),
}

/// In which families a Service has addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum In {
    /// Each that the cluster has.
    Each,
    /// The cluster's first only.
    First,
    /// Both, and only if the cluster has both.
    Pair,
}

/// What is to come of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// These pods answer, evenly.
    Even(Pods, Seen),
    /// One pod, any, answers everything.
    One(Seen),
    /// Nobody answers; the caller is told this at once, or nothing until it gives up.
    Error(&'static str),
}

/// Pods of the web service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pods {
    /// All that are ready.
    Ready,
    /// Those on this node.
    On(&'static str),
    /// These.
    These(&'static [&'static str]),
}

/// Which address pods see the caller by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Its own.
    Own,
    /// Its own by pods of this node, to which the packets came first, and the node's by others.
    OwnOnlyAt(&'static str),
}

/// Port of the pods that most scenarios end at.
pub const HTTP: u16 = 8080;
/// Port of the pods' metrics.
pub const METRICS: u16 = 9090;
/// UDP port of the pods.
pub const DNS: u16 = 5353;

impl Scenario {
    /// The pods' port that the service port stands for.
    pub fn pod_port(&self) -> u16 {
        match self.service {
            "web-two-ports:metrics" => METRICS,
            "dns:dns" => DNS,
            _ => HTTP,
        }
    }
}

const ALL: Expected = Expected::Even(Pods::Ready, Seen::Own);
const REFUSED: Expected = Expected::Error("ECONNREFUSED");
const UNREACHABLE: Expected = Expected::Error("EHOSTUNREACH");
const SILENCE: Expected = Expected::Error("ETIMEDOUT");

const fn on(node: &'static str) -> Expected {
    Expected::Even(Pods::On(node), Seen::Own)
}

const fn all_through(node: &'static str) -> Expected {
    Expected::Even(Pods::Ready, Seen::OwnOnlyAt(node))
}

/// A scenario over TCP in each family.
const fn case(
    example: &'static str,
    title: &'static str,
    caller: Caller,
    service: &'static str,
    target: Target,
    expected: Expected,
) -> Scenario {
    let (transport, families) = (Tcp, In::Each);
    Scenario { example, title, caller, service, target, transport, families, expected }
}

impl Scenario {
    const fn over(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    const fn within(self, families: In) -> Self {
        Self { families, ..self }
    }
}

use Caller::{Client, Node, Pod, Stranger};
use Target::{ClusterIp, ExternalIp, LoadBalancer, Localhost, NodePort};

/// Everything shown while the cluster stays as it is.
#[rustfmt::skip]
pub const SCENARIOS: &[Scenario] = &[
    case("clusterip", "ClusterIP from a pod", Pod, "web", ClusterIp, ALL).within(In::First),
    case("clusterip", "ClusterIP from a node", Node("node1"), "web", ClusterIp, ALL).within(In::First),
    case("clusterip", "ClusterIP from a node without pods", Node("node3"), "web", ClusterIp, ALL).within(In::First),
    case("clusterip", "ClusterIP from outside, routed to a node", Client, "web", ClusterIp, SILENCE).within(In::First),

    case("nodeport", "NodePort from outside, at a node with pods", Client, "web-nodeport", NodePort("node1"), all_through("node1")),
    case("nodeport", "NodePort from outside, at another node with pods", Client, "web-nodeport", NodePort("node2"), all_through("node2")),
    case("nodeport", "NodePort from outside, at the node without pods", Client, "web-nodeport", NodePort("node3"), all_through("node3")),
    case("nodeport", "localhost:30000 on a node", Node("node1"), "web-nodeport", Localhost, ALL),
    case("nodeport", "localhost:30000 on the node without pods", Node("node3"), "web-nodeport", Localhost, ALL),
    case("nodeport", "NodePort of its own node from a pod", Pod, "web-nodeport", NodePort("node1"), ALL),

    case("externalip", "ExternalIP from outside", Client, "web-externalip", ExternalIp, all_through("node2")),
    case("externalip", "ExternalIP from a pod", Pod, "web-externalip", ExternalIp, ALL),

    case("loadbalancer", "load balancer from outside, in the source ranges", Client, "web-loadbalancer", LoadBalancer, all_through("node3")),
    case("loadbalancer", "load balancer from outside, not in the source ranges", Stranger, "web-loadbalancer", LoadBalancer, SILENCE),
    case("loadbalancer", "load balancer from a pod, not in the source ranges", Pod, "web-loadbalancer", LoadBalancer, UNREACHABLE),
    case("loadbalancer", "its NodePort, which has no source ranges", Stranger, "web-loadbalancer", NodePort("node1"), all_through("node1")),
    case("loadbalancer", "its ClusterIP, which has none either", Pod, "web-loadbalancer", ClusterIp, ALL),

    case("local", "policy Local, NodePort at node1", Client, "web-local", NodePort("node1"), on("node1")),
    case("local", "policy Local, NodePort at node2", Client, "web-local", NodePort("node2"), on("node2")),
    case("local", "policy Local, NodePort at the node without pods", Client, "web-local", NodePort("node3"), SILENCE),
    case("local", "policy Local, load balancer", Client, "web-local", LoadBalancer, on("node1")),
    case("local", "policy Local, load balancer from a pod: all of the cluster", Pod, "web-local", LoadBalancer, ALL),
    case("local", "policy Local, ClusterIP: all of the cluster", Pod, "web-local", ClusterIp, ALL),
    case("local", "internal policy Local from a pod", Pod, "web-internal-local", ClusterIp, on("node1")),
    case("local", "internal policy Local from the other node", Node("node2"), "web-internal-local", ClusterIp, on("node2")),
    case("local", "internal policy Local on the node without pods", Node("node3"), "web-internal-local", ClusterIp, UNREACHABLE),

    case("affinity", "session affinity from a pod", Pod, "web-affinity", ClusterIp, Expected::One(Seen::Own)),
    case("affinity", "session affinity from a node", Node("node3"), "web-affinity", ClusterIp, Expected::One(Seen::Own)),
    case("affinity", "session affinity from outside", Client, "web-affinity", NodePort("node1"), Expected::One(Seen::OwnOnlyAt("node1"))),
    case("affinity", "session affinity from outside, another client", Stranger, "web-affinity", NodePort("node1"), Expected::One(Seen::OwnOnlyAt("node1"))),

    case("headless", "a pod's own address, as DNS would give it", Pod, "web-headless", Target::Pod("web-5"), Expected::Even(Pods::These(&["web-5"]), Seen::Own)),

    case("selectorless", "endpoints written by hand, one of three not ready", Pod, "by-hand:http", ClusterIp, Expected::Even(Pods::These(&["web-1", "web-4"]), Seen::Own)),
    case("endpoints", "an Endpoints object, one address not ready", Pod, "mirrored", ClusterIp, Expected::Even(Pods::These(&["web-3", "web-6"]), Seen::Own)),

    case("two-ports", "first port, to the pods' port by name", Pod, "web-two-ports:http", ClusterIp, ALL),
    case("two-ports", "second port, to the pods' port by number", Pod, "web-two-ports:metrics", ClusterIp, ALL),

    case("udp", "UDP from a pod, connected sockets", Pod, "dns:dns", ClusterIp, ALL).over(UdpConnected),
    case("udp", "UDP from a pod, unconnected sockets", Pod, "dns:dns", ClusterIp, ALL).over(UdpUnconnected),
    case("udp", "UDP on localhost of the node without pods", Node("node3"), "dns:dns", Localhost, ALL).over(UdpConnected),
    case("udp", "UDP from outside", Client, "dns:dns", NodePort("node2"), all_through("node2")).over(UdpConnected),
    case("udp", "UDP from outside, at the node without pods", Client, "dns:dns", NodePort("node3"), all_through("node3")).over(UdpUnconnected),

    case("dual-stack", "one Service, both families", Pod, "web-dual-stack", ClusterIp, ALL).within(In::Pair),

    case("no-endpoints", "no endpoints, from a pod", Pod, "nobody", ClusterIp, REFUSED),
    case("no-endpoints", "no endpoints, from a node", Node("node2"), "nobody", ClusterIp, REFUSED),
    case("no-endpoints", "no endpoints, on localhost", Node("node3"), "nobody", Localhost, REFUSED),
    case("no-endpoints", "no endpoints, NodePort from outside", Client, "nobody", NodePort("node1"), REFUSED),
];

/// Services that a proxy has nothing to do with: they must not be in the tables.
pub const NOT_PROXIED: [(&str, &str); 2] =
    [("headless", "web-headless"), ("externalname", "elsewhere")];

/// The same two calls again after the cluster has changed, the one from outside at this node.
///
/// A port that a client used a moment ago goes back to the pod it went to. So it is a client that
/// has not called there before, and for each change another node.
#[rustfmt::skip]
pub const fn after_a_change(node: &'static str) -> [Scenario; 2] {
    [
        case("clusterip", "ClusterIP from a pod", Pod, "web", ClusterIp, ALL).within(In::First),
        case("nodeport", "NodePort from outside", Stranger, "web-nodeport", NodePort(node), all_through(node)),
    ]
}

/// What clients call without pause while the cluster changes.
pub const WHILE_IT_CHANGES: &[Scenario] = &[
    case("clusterip", "ClusterIP from a pod", Pod, "web", ClusterIp, ALL).within(In::First),
    case(
        "nodeport",
        "NodePort from outside",
        Client,
        "web-nodeport",
        NodePort("node2"),
        all_through("node2"),
    ),
];
