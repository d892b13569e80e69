//! Two nodes with pods that answer, the first of which carries the programs.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use lb_common::{
    Address, Family, V4, V6, counter::Counter, device::Device, frontend::node_address, limits,
    settings::flags,
};
use lb_testbed::{Cluster, Families, Launcher, Netns, Worker};
use lb_userspace::{
    kernel::{
        Dataplane, ExternalDevice, Feature, Features, OBJECT, Pins, Programs, Settings, Sizes,
        XdpMode, sys::Access,
    },
    maps::{KernelTables, Reader, Tables},
    plan::{Capacities, Planner},
};

/// The node with the programs.
pub const NODE: &str = "node1";
/// The pod on it that calls and never answers.
pub const CALLER: &str = "caller";
/// The pods that answer: half of them on each node.
pub const PODS: [&str; 8] =
    ["web-1", "web-2", "web-3", "web-4", "web-5", "web-6", "web-7", "web-8"];
/// How many of them, from the first, are on the node with the programs.
pub const LOCAL: usize = 4;
/// The port they answer on.
pub const POD_PORT: u16 = 8080;

const OTHER: &str = "node2";
const DEVICE: &str = "eth0";

/// See the module.
pub struct Stage {
    _dataplane: Dataplane,
    _servers: Vec<Worker>,
    maps: PathBuf,
    ifindex: u32,
    batch: bool,
    pub cluster: Cluster,
}

impl Stage {
    /// Everything stands, but no service is known.
    pub fn new() -> Self {
        lb_testbed::require_rights().unwrap();
        let launcher = Launcher::beside_tests().unwrap();
        let mut cluster =
            Cluster::builder(launcher).families(Families::Both).nodes(2).build().unwrap();
        cluster.add_pod(NODE, CALLER).unwrap();
        for (number, pod) in PODS.iter().enumerate() {
            cluster.add_pod(if number < LOCAL { NODE } else { OTHER }, pod).unwrap();
        }
        let ports = [POD_PORT];
        let servers = PODS.iter().map(|pod| cluster.serve(pod, &ports, &ports).unwrap()).collect();

        let features = Features::probe().unwrap();
        let pins = Pins::new(&cluster.pins(NODE).unwrap());
        pins.prepare().unwrap();
        let (dataplane, ifindex) = inside(cluster.netns(NODE).unwrap(), || {
            let mut dataplane = load(&pins, &features);
            dataplane.attach_cgroup(&cluster.node_cgroup(NODE).unwrap()).unwrap();
            let ifindex = nix::net::if_::if_nametoindex(DEVICE).unwrap();
            let device =
                ExternalDevice { name: DEVICE.into(), veth: true, vlans: false, pods: false };
            let errors = dataplane.follow_devices(&BTreeMap::from([(ifindex, device)]));
            assert!(errors.is_empty(), "{errors:?}");
            (dataplane, ifindex)
        });
        let batch = features.has(Feature::Batch);
        let maps = pins.maps();
        Self { _dataplane: dataplane, _servers: servers, maps, ifindex, batch, cluster }
    }

    /// The tables, and the planner that knows what is in them: the node, so far.
    pub fn tables(&self) -> (KernelTables, Planner) {
        let mut tables = KernelTables::open(&self.maps, Access::Write, self.batch).unwrap();
        let mut planner = Planner::new(Capacities::default());
        let addresses = self.cluster.addresses(NODE).unwrap();
        let rows: BTreeMap<Address, u32> =
            addresses.iter().map(|ip| ((*ip).into(), node_address::NODE_PORTS)).collect();
        let device = Device {
            source_v4: V4::narrow(self.address(NODE, false).into()),
            source_v6: V6::narrow(self.address(NODE, true).into()),
            flags: 0,
        };
        let plan = planner.plan_node(&rows, &BTreeMap::from([(self.ifindex, device)]));
        tables.apply(&plan.ops).unwrap();
        (tables, planner)
    }

    /// A place's first address of a family.
    pub fn address(&self, place: &str, v6: bool) -> IpAddr {
        let mut all = self.cluster.addresses(place).unwrap().iter();
        *all.find(|ip| ip.is_ipv6() == v6).unwrap()
    }

    /// What has been counted at least once.
    pub fn counters(&self) -> Vec<(Counter, u64)> {
        let counters = Reader::new(&self.maps).counters().unwrap();
        counters.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

fn load(pins: &Pins, features: &Features) -> Dataplane {
    let retval = if features.has(Feature::SetRetval) { flags::SET_RETVAL } else { 0 };
    let settings = Settings {
        sizes: Sizes::default(),
        flags: retval,
        node_ports: (limits::NODE_PORT_FIRST, limits::NODE_PORT_LAST),
        snat_ports: (limits::SNAT_PORT_FIRST, limits::SNAT_PORT_LAST),
    };
    let programs = Programs::load(OBJECT, &settings, pins).unwrap();
    Dataplane::new(programs, pins.clone(), XdpMode::Off, features)
}

fn inside<T: Send>(netns: &Netns, work: impl FnOnce() -> T + Send) -> T {
    netns.enter(|| Ok(work())).unwrap()
}
