//! A node of the test cluster whose agent is the test itself: the real programs and tables, driven
//! through the library, so that a test knows the moment in which a change took effect.

pub mod ageing;
pub mod service;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use lb_common::{
    Address, Family, V4, V6,
    counter::Counter,
    device::{self, Device},
    frontend::node_address,
    limits,
    settings::flags,
};
use lb_testbed::Cluster;
use lb_userspace::{
    kernel::{
        Dataplane, ExternalDevice, Feature, Features, OBJECT, Pins, Programs, Settings, Sizes,
        XdpMode, sockets,
        sys::{self, Access},
    },
    maps::{KernelTables, Reader, Tables},
    model::{ServiceName, ServicePort},
    plan::{Capacities, Plan, Planner, Retired},
};

/// See the module. Nothing of it stays: pins and links go with the cluster.
pub struct Node {
    dataplane: Dataplane,
    tables: KernelTables,
    planner: Planner,
    maps: PathBuf,
    cgroup: PathBuf,
    addresses: Vec<IpAddr>,
}

/// The node's external device.
const DEVICE: &str = "eth0";
/// Entries of each flow table, unless more are asked for.
const FLOWS: u32 = 1 << 16;

impl Node {
    /// With programs loaded, those for sockets on the node's cgroup, and no Service.
    pub fn new(cluster: &Cluster, name: &str) -> Self {
        Self::with(cluster, name, FLOWS, XdpMode::Auto)
    }

    /// The same, with flow tables of so many entries, and XDP as it is asked for.
    pub fn with(cluster: &Cluster, name: &str, flows: u32, xdp: XdpMode) -> Self {
        let pins = Pins::new(&cluster.pins(name).unwrap());
        pins.prepare().unwrap();
        let features = Features::probe().unwrap();
        let settings = Settings {
            sizes: Sizes { flows, affinities: 1 << 10, udp_peers: 1 << 10, ..Sizes::default() },
            flags: if features.has(Feature::SetRetval) { flags::SET_RETVAL } else { 0 }
                | flags::REJECT_UNUSED_PORTS,
            node_ports: (limits::NODE_PORT_FIRST, limits::NODE_PORT_LAST),
            snat_ports: (limits::SNAT_PORT_FIRST, limits::SNAT_PORT_LAST),
        };
        let programs = Programs::load(OBJECT, &settings, &pins).unwrap();
        let batch = features.has(Feature::Batch);
        let tables = KernelTables::open(&pins.maps(), Access::Write, batch).unwrap();
        let maps = pins.maps();
        let mut dataplane = Dataplane::new(programs, pins, xdp, &features);
        let cgroup = cluster.node_cgroup(name).unwrap();
        dataplane.attach_cgroup(&cgroup).unwrap();
        let planner = Planner::new(Capacities::default());
        let addresses = cluster.addresses(name).unwrap().to_vec();
        let mut node = Self { dataplane, tables, planner, maps, cgroup, addresses };
        node.describe(&BTreeMap::new());
        node
    }

    /// Puts the packet programs on the node's external device.
    pub fn attach_device(&mut self, cluster: &Cluster, name: &str) {
        let of = |v6| *self.addresses.iter().find(|ip| ip.is_ipv6() == v6).unwrap();
        let mut row = Device {
            source_v4: V4::narrow(of(false).into()),
            source_v6: V6::narrow(of(true).into()),
            flags: 0,
        };
        let netns = cluster.netns(name).unwrap();
        let dataplane = &mut self.dataplane;
        let follow = || {
            let ifindex = nix::net::if_::if_nametoindex(DEVICE).unwrap();
            let eth0 =
                ExternalDevice { name: DEVICE.into(), veth: true, vlans: false, pods: false };
            let errors = dataplane.follow_devices(&[(ifindex, eth0)].into());
            assert!(errors.is_empty(), "{errors:?}");
            Ok(ifindex)
        };
        let ifindex = netns.enter(follow).unwrap();
        if self.dataplane.native_xdp().contains(&ifindex) {
            row.flags = device::flags::XDP;
        }
        self.describe(&[(ifindex, row)].into());
    }

    fn describe(&mut self, devices: &BTreeMap<u32, Device>) {
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let all = self.addresses.iter().chain(&loopback);
        let addresses = all.map(|ip| (Address::from(*ip), node_address::NODE_PORTS)).collect();
        let plan = self.planner.plan_node(&addresses, devices);
        let (retired, _) = self.perform(plan);
        assert!(retired.is_empty(), "addresses and devices leave nothing behind");
    }

    /// Replaces what is programmed of the named Services, and waits until what that took out of
    /// use can be used again.
    pub fn program(&mut self, ports: impl IntoIterator<Item = ServicePort>) {
        let (retired, severed) = self.change(ports);
        sys::wait_for_readers().unwrap();
        self.release(retired);
        self.close(&severed);
    }

    /// Replaces what is programmed of the named Services. When this returns, the change has taken
    /// effect. What it took out of use is the caller's to release.
    pub fn change(
        &mut self,
        ports: impl IntoIterator<Item = ServicePort>,
    ) -> (Retired, BTreeSet<SocketAddr>) {
        let mut services: BTreeMap<ServiceName, Vec<ServicePort>> = BTreeMap::new();
        for port in ports {
            services.entry(port.id.service.clone()).or_default().push(port);
        }
        let plan = self.planner.plan(services);
        self.perform(plan)
    }

    /// Gives back what a change took out of use, after a grace period.
    pub fn release(&mut self, retired: Retired) {
        self.planner.release(retired);
    }

    fn perform(&mut self, plan: Plan) -> (Retired, BTreeSet<SocketAddr>) {
        assert_eq!(plan.rejections, []);
        self.tables.apply(&plan.ops).unwrap();
        (plan.retired, plan.severed.into_iter().collect())
    }

    /// Closes UDP sockets connected to endpoints that left, as the agent does.
    fn close(&self, severed: &BTreeSet<SocketAddr>) {
        if severed.is_empty() {
            return;
        }
        let cgroup = &self.cgroup;
        // It goes through namespaces, so it is given a thread of its own.
        std::thread::scope(|scope| {
            let close = scope.spawn(|| sockets::close_udp(severed, cgroup));
            close.join().unwrap().unwrap();
        });
    }

    /// Makes every client's last new flow look as if it had been that much longer ago.
    pub fn age_affinity(&self, by: Duration) {
        ageing::age_affinity(&self.maps, by);
    }

    /// The tables, to look at.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.maps)
    }

    /// How often something was counted.
    pub fn count(&self, counter: Counter) -> u64 {
        let counters = self.reader().counters().unwrap();
        counters.into_iter().find(|(each, _)| *each == counter).unwrap().1
    }
}
