//! One node with a few pods, the socket programs on its cgroup, and tables that a test fills.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use lb_common::{Address, counter::Counter, frontend::node_address, limits, settings::flags};
use lb_testbed::{Cluster, Families, Launcher, Place, Probe, Report, Worker};
use lb_userspace::{
    kernel::{Dataplane, Features, OBJECT, Pins, Programs, Settings, Sizes, XdpMode, sys::Access},
    maps::{KernelTables, Reader, Tables},
    model::{ServiceName, ServicePort},
    plan::{Capacities, Plan, Planner},
};

/// The node.
pub const NODE: &str = "node1";
/// A pod that only calls.
pub const CALLER: &str = "caller";
/// Pods that answer, TCP and UDP, at [`PORT`].
pub const SERVERS: [&str; 3] = ["web-1", "web-2", "web-3"];
/// Where they answer.
pub const PORT: u16 = 8080;

/// See the module.
pub struct Stage {
    _dataplane: Dataplane,
    tables: KernelTables,
    planner: Planner,
    maps: PathBuf,
    _servers: Vec<Worker>,
    cluster: Cluster,
}

impl Stage {
    /// Everything in place, and no Service yet.
    pub fn new() -> Self {
        lb_testbed::require_rights().unwrap();
        let launcher = Launcher::beside_tests().unwrap();
        let mut cluster =
            Cluster::builder(launcher).families(Families::Both).nodes(1).build().unwrap();
        cluster.add_pod(NODE, CALLER).unwrap();
        let servers = SERVERS
            .map(|name| {
                cluster.add_pod(NODE, name).unwrap();
                cluster.serve(name, &[PORT], &[PORT]).unwrap()
            })
            .into();

        let pins = Pins::new(&cluster.pins(NODE).unwrap());
        pins.prepare().unwrap();
        let settings = Settings {
            sizes: Sizes { flows: 1 << 10, ..Sizes::default() },
            flags: flags::SET_RETVAL,
            node_ports: (limits::NODE_PORT_FIRST, limits::NODE_PORT_LAST),
        };
        let programs = Programs::load(OBJECT, &settings, &pins).unwrap();
        let tables = KernelTables::open(&pins.maps(), Access::Write, true).unwrap();
        let features = Features::probe().unwrap();
        let maps = pins.maps();
        let mut dataplane = Dataplane::new(programs, pins, XdpMode::Off, &features);
        dataplane.attach_cgroup(&cluster.node_cgroup(NODE).unwrap()).unwrap();
        let planner = Planner::new(Capacities::default());
        let mut stage =
            Self { _dataplane: dataplane, tables, planner, maps, _servers: servers, cluster };
        stage.describe_node();
        stage
    }

    fn describe_node(&mut self) {
        let loopback = ["127.0.0.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let addresses = self.cluster.addresses(NODE).unwrap().iter().chain(&loopback);
        let flags = node_address::NODE_PORTS;
        let addresses: BTreeMap<_, _> = addresses.map(|ip| (Address::from(*ip), flags)).collect();
        let plan = self.planner.plan_node(&addresses, &BTreeMap::new());
        self.perform(plan);
    }

    fn perform(&mut self, plan: Plan) {
        assert_eq!(plan.rejections, []);
        self.tables.apply(&plan.ops).unwrap();
        // Places are never reused here: no program can meet one that changed under it.
        drop(plan.retired);
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

    /// Calls from a pod or the node.
    pub fn probe(&self, from: &str, probe: &Probe) -> Report {
        self.cluster.probe(from, probe).unwrap()
    }

    /// Calls from a pod's namespace, by a process outside the node's cgroup.
    pub fn probe_outside_the_cgroup(&self, from: &str, probe: &Probe) -> Report {
        let place =
            Place { cgroup: self.cluster.cgroup().into(), ..self.cluster.place(from).unwrap() };
        self.cluster.launcher().probe(&place, probe).unwrap()
    }

    /// Starts a client in a pod.
    pub fn start(&self, from: &str, probe: &Probe) -> lb_testbed::RunningProbe {
        self.cluster.start_probe(from, probe).unwrap()
    }

    /// How often something was counted.
    pub fn count(&self, counter: Counter) -> u64 {
        let counters = Reader::new(&self.maps).counters().unwrap();
        counters.into_iter().find(|(each, _)| *each == counter).unwrap().1
    }

    /// A pod's, or the node's, address of a family.
    pub fn address(&self, name: &str, ipv6: bool) -> IpAddr {
        let mut all = self.cluster.addresses(name).unwrap().iter();
        *all.find(|ip| ip.is_ipv6() == ipv6).unwrap()
    }

    /// Where a server answers.
    pub fn server(&self, name: &str, ipv6: bool) -> SocketAddr {
        (self.address(name, ipv6), PORT).into()
    }
}

/// An address that no host has, for frontends.
pub fn vip(ipv6: bool, last: u8, port: u16) -> SocketAddr {
    let text = if ipv6 { format!("fd00:96::{last:x}") } else { format!("10.96.0.{last}") };
    (text.parse::<IpAddr>().unwrap(), port).into()
}
