//! A node of the test cluster with programs loaded and tables filled, and packets put through them.

mod around;
mod run;
mod state;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use aya::{
    TestRun, TestRunOptions,
    maps::{PerCpuArray, PerCpuValues},
    programs::{TestRunAttrs, XdpMode},
};
use lb_common::{
    Address, Family, V4, V6, counter::Counter, device::Device, frontend::node_address, limits,
    names, settings::flags,
};
use lb_testbed::{CLIENT, Cluster, Families, Launcher, Netns, Probe, Worker};
use lb_userspace::{
    kernel::{OBJECT, Pins, Programs, Settings, Sizes, sys::Access},
    maps::{KernelTables, Reader, Tables},
    model::{ServiceName, ServicePort},
    plan::{Capacities, Op, Plan, Planner},
};

pub use self::run::*;

/// The node. One pod is on it, another on the node beside it.
pub struct Rig {
    programs: Programs,
    tables: KernelTables,
    planner: Planner,
    maps: PathBuf,
    ifindex: u32,
    pod: u32,
    _servers: Vec<Worker>,
    cluster: Cluster,
}

const NODE: &str = "node1";
const OTHER: &str = "node2";
const NEAR: &str = "near";
const FAR: &str = "far";

impl Rig {
    /// A rig with default settings.
    pub fn new() -> Self {
        Self::with_flags(0)
    }

    /// A rig with flags of [`lb_common::settings::flags`].
    pub fn with_flags(more: u32) -> Self {
        Self::with(more, Sizes { flows: 1 << 10, ..Sizes::default() })
    }

    /// The same, with tables of these sizes.
    pub fn with(more: u32, sizes: Sizes) -> Self {
        Self::with_ports(more, sizes, (limits::SNAT_PORT_FIRST, limits::SNAT_PORT_LAST))
    }

    /// The same, with these for source ports of ours.
    pub fn with_ports(more: u32, sizes: Sizes, snat_ports: (u16, u16)) -> Self {
        lb_testbed::require_rights().unwrap();
        let launcher = Launcher::beside_tests().unwrap();
        let mut cluster =
            Cluster::builder(launcher).families(Families::Both).nodes(2).build().unwrap();
        cluster.add_pod(NODE, NEAR).unwrap();
        cluster.add_pod(OTHER, FAR).unwrap();
        let servers = meet_neighbours(&cluster);

        let pins = Pins::new(&cluster.pins(NODE).unwrap());
        pins.prepare().unwrap();
        let settings = Settings {
            sizes,
            flags: flags::SET_RETVAL | flags::XDP_FRAGS | flags::XDP_TX | more,
            node_ports: (limits::NODE_PORT_FIRST, limits::NODE_PORT_LAST),
            snat_ports,
        };
        let mut programs = Programs::load(OBJECT, &settings, &pins).unwrap();
        let tables = KernelTables::open(&pins.maps(), Access::Write, true).unwrap();
        let pods_device = device_of_pod(&cluster, NEAR);
        let [ifindex, pod] = inside(cluster.netns(NODE).unwrap(), || {
            // XDP knows a device's receive queues only once a program sits there.
            xdp(&mut programs).attach("eth0", XdpMode::Driver).unwrap();
            ["eth0", &pods_device].map(|name| nix::net::if_::if_nametoindex(name).unwrap())
        });
        let planner = Planner::new(Capacities::default());
        let maps = pins.maps();
        let mut rig =
            Self { programs, tables, planner, maps, ifindex, pod, _servers: servers, cluster };
        rig.describe_node(0);
        rig
    }

    /// From now on the pods' bridge is one that takes XDP frames.
    pub fn let_pods_take_frames(&mut self) {
        self.describe_node(lb_common::device::flags::XDP);
    }

    fn describe_node(&mut self, of_pods: u32) {
        let addresses = self.node_addresses();
        let flags = node_address::NODE_PORTS;
        let addresses: BTreeMap<_, _> =
            addresses.iter().map(|ip| (Address::from(*ip), flags)).collect();
        let of = |v6: bool| self.node_addresses().into_iter().find(|ip| ip.is_ipv6() == v6);
        let device = Device {
            source_v4: V4::narrow(of(false).unwrap().into()),
            source_v6: V6::narrow(of(true).unwrap().into()),
            flags: lb_common::device::flags::XDP,
        };
        // The bridge that the pods are on, for whom packets are handed to.
        let bridge = self.bridge();
        let flags = lb_common::device::flags::DIRECT | of_pods;
        let direct = Device { flags, ..Device::default() };
        let of_pod = Device { flags: lb_common::device::flags::PODS, ..device };
        let devices =
            BTreeMap::from([(self.ifindex, device), (bridge, direct), (self.pod, of_pod)]);
        let plan = self.planner.plan_node(&addresses, &devices);
        self.perform(plan);
    }

    fn bridge(&self) -> u32 {
        let node = self.cluster.netns(NODE).unwrap();
        inside(node, || nix::net::if_::if_nametoindex("cni0").unwrap())
    }

    fn perform(&mut self, plan: Plan) {
        assert_eq!(plan.rejections, []);
        self.tables.apply(&plan.ops).unwrap();
        // Nothing runs but what a test runs, so every grace period is over.
        self.planner.release(plan.retired);
    }

    /// Replaces what is programmed of the named Services.
    pub fn program(&mut self, ports: impl IntoIterator<Item = ServicePort>) {
        let mut services: BTreeMap<ServiceName, Vec<ServicePort>> = BTreeMap::new();
        for port in ports {
            services.entry(port.id.service.clone()).or_default().push(port);
        }
        let plan = self.planner.plan(services);
        self.perform(plan);
    }

    /// Writes what no plan would.
    pub fn spoil(&mut self, op: Op) {
        self.tables.apply(&[op]).unwrap();
    }

    /// Puts a packet through a program, as if it were at the node's external device, or at the one
    /// that the near pod is behind.
    pub fn run(&mut self, at: At, packet: &[u8]) -> Outcome {
        let (pod, bridge) = (self.pod, self.bridge());
        self.on_node(|programs, ifindex| match at {
            At::Xdp => run_xdp(xdp(programs), ifindex, packet),
            At::TcIngress => run_tc(classifier(programs, names::TC_INGRESS), ifindex, packet),
            At::TcEgress => run_tc(classifier(programs, names::TC_EGRESS), ifindex, packet),
            At::FromPod => run_tc(classifier(programs, names::TC_INGRESS), pod, packet),
            At::ToPod => run_tc(classifier(programs, names::TC_EGRESS), pod, packet),
            At::Reply => run_tc(classifier(programs, names::TC_REPLY), bridge, packet),
        })
    }

    /// Lets the node receive a packet at its external device, through XDP and what comes after it.
    pub fn receive(&mut self, packet: &[u8]) {
        self.on_node(|programs, ifindex| {
            let context = xdp_context(ifindex, packet);
            let options = TestRunOptions {
                data_in: Some(packet),
                ctx_in: Some(&context),
                attrs: TestRunAttrs::new().xdp_live_frames(1),
                ..Default::default()
            };
            xdp(programs).test_run(options).unwrap();
        });
    }

    /// Does something with the programs in the node's namespace, and the external device's ifindex.
    pub fn on_node<T: Send>(&mut self, work: impl FnOnce(&mut Programs, u32) -> T + Send) -> T {
        let ifindex = self.ifindex;
        let programs = &mut self.programs;
        inside(self.cluster.netns(NODE).unwrap(), || work(programs, ifindex))
    }

    /// Puts a packet through XDP and tc, in both orders, and insists that they agree from the
    /// network header on. (The Ethernet header is XDP's to write and, behind tc, the kernel's.)
    pub fn ingress(&mut self, packet: &[u8]) -> Outcome {
        let xdp = self.run(At::Xdp, packet);
        let tc = self.run(At::TcIngress, packet);
        let again = self.run(At::Xdp, packet);
        assert_eq!(xdp.fate, tc.fate, "XDP and tc");
        assert_eq!(xdp.bytes[14..], tc.bytes[14..], "XDP and tc");
        assert_eq!(xdp, again, "new and known");
        xdp
    }

    /// Puts a packet through tc again and again.
    pub fn repeat(&mut self, packet: &[u8], times: usize) {
        self.on_node(|programs, ifindex| {
            let program = classifier(programs, names::TC_INGRESS);
            for _ in 0..times {
                run_tc(program, ifindex, packet);
            }
        });
    }

    /// Lets the programs make ICMP errors as if they had made none yet.
    pub fn allow_errors(&mut self) {
        let map = self.programs.object().map_mut("ICMP_CLOCK").unwrap();
        let mut clock = PerCpuArray::<_, u64>::try_from(map).unwrap();
        let never = vec![0; aya::util::nr_cpus().unwrap()];
        clock.set(0, PerCpuValues::try_from(never).unwrap(), 0).unwrap();
    }

    /// How often something was counted.
    pub fn count(&self, counter: Counter) -> u64 {
        let counters = Reader::new(&self.maps).counters().unwrap();
        counters.into_iter().find(|(each, _)| *each == counter).unwrap().1
    }

    /// Ends a Service.
    pub fn withdraw(&mut self, name: ServiceName) {
        let plan = self.planner.plan([(name, Vec::new())]);
        self.perform(plan);
    }

    fn node_addresses(&self) -> Vec<IpAddr> {
        self.cluster.addresses(NODE).unwrap().to_vec()
    }

    /// Addresses of both families, with the packets' parties filled in.
    pub fn families(&self) -> [Parties; 2] {
        [false, true].map(|v6| {
            let of = |name| {
                let mut all = self.cluster.addresses(name).unwrap().iter();
                *all.find(|ip| ip.is_ipv6() == v6).unwrap()
            };
            Parties { client: of(CLIENT), node: of(NODE), near: of(NEAR), far: of(FAR) }
        })
    }
}

/// Who is who, in one family.
#[derive(Clone, Copy, Debug)]
pub struct Parties {
    /// Outside, beyond a router.
    pub client: IpAddr,
    /// The node the programs run on.
    pub node: IpAddr,
    /// A pod on it.
    pub near: IpAddr,
    /// A pod on the other node.
    pub far: IpAddr,
}

/// An address and port as text and as value are the same thing in these tests.
pub fn at(ip: IpAddr, port: u16) -> SocketAddr {
    (ip, port).into()
}

/// Makes the node know its neighbours' Ethernet addresses, by talking to them: the router, which
/// the client is behind, and the other node, which the far pod is behind.
fn meet_neighbours(cluster: &Cluster) -> Vec<Worker> {
    let servers = vec![
        cluster.serve(NODE, &[8080], &[]).unwrap(),
        cluster.serve(FAR, &[8080], &[]).unwrap(),
        cluster.serve(NEAR, &[8080], &[]).unwrap(),
    ];
    for (from, to) in [(CLIENT, NODE), (NODE, FAR), (NODE, NEAR)] {
        for address in cluster.addresses(to).unwrap() {
            let report = cluster.probe(from, &Probe::tcp(at(*address, 8080)).requests(1)).unwrap();
            assert_eq!(report.failed(), 0, "{from} cannot reach {to} at {address}");
        }
    }
    servers
}

/// The node's end of a pod's cable.
fn device_of_pod(cluster: &Cluster, pod: &str) -> String {
    match cluster.addresses(pod).unwrap() {
        [IpAddr::V4(address), ..] => format!("pod{}", address.octets()[3]),
        other => panic!("{other:?}"),
    }
}

fn inside<T: Send>(netns: &Netns, work: impl FnOnce() -> T + Send) -> T {
    netns.enter(|| Ok(work())).unwrap()
}
