//! Random wants, planned one after the other, with programs reading all the while.

use std::collections::BTreeMap;

use super::{
    super::*,
    build::{Bench, PortBuilder, port, wanted},
};
use crate::model::{FrontendKind, ServiceName, ServicePort};

/// A small generator of reproducible numbers.
pub(in crate::plan) struct Random(u64);

impl Random {
    pub(in crate::plan) fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number less than `limit`.
    pub(in crate::plan) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) % limit as u64) as usize
    }

    /// Yes, once in `times`.
    pub(in crate::plan) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A few Services that share a few addresses, so that everything meets everything.
pub(super) fn random_wanted(random: &mut Random) -> BTreeMap<ServiceName, Vec<ServicePort>> {
    let mut ports = Vec::new();
    for service in ["a", "b", "c", "d", "e"] {
        if random.once_in(3) {
            continue;
        }
        let created = random.below(4) as i64;
        for name in ["", "http", "a-port-with-a-name-that-takes-cells"] {
            if random.once_in(2) {
                ports.push(random_port(random, port(service, name).created(created)));
            }
        }
    }
    wanted(ports)
}

fn random_port(random: &mut Random, mut port: PortBuilder) -> PortBuilder {
    let ipv6 = random.once_in(3);
    let address = |random: &mut Random, net: u8, hosts| match (ipv6, random.below(hosts)) {
        (false, host) => format!("10.{net}.0.{host}"),
        (true, host) => format!("fd00:{net}::{host}"),
    };
    if ipv6 {
        port = port.ipv6();
    }
    if random.once_in(2) {
        port = port.udp();
    }
    let kinds = [FrontendKind::ClusterIp, FrontendKind::ExternalIp, FrontendKind::LoadBalancer];
    for _ in 0..random.below(4) {
        let (kind, at) = (kinds[random.below(3)], address(random, 96, 4));
        if port.0.frontends.iter().all(|f| f.address != Some(at.parse().unwrap())) {
            port = port.at(kind, &at, 80);
        }
    }
    if random.once_in(2) {
        port = port.node_port(30_000 + random.below(3) as u16);
    }
    let members = random.below(6);
    for _ in 0..members {
        let address: std::net::IpAddr = address(random, 1, 8).parse().unwrap();
        let lists = ["C", "CL@", "L@", "@", ""][random.below(5)];
        if port.0.backends.iter().all(|backend| backend.address != address) {
            port = port.backend(&std::net::SocketAddr::new(address, 8080).to_string(), lists);
        }
    }
    if random.once_in(3) {
        port = port.affinity(1 + random.below(3) as u32);
    }
    if random.once_in(3) {
        port = port.internal_local();
    }
    if random.once_in(3) {
        port = port.external_local();
    }
    for _ in 0..random.below(3) {
        let net = if ipv6 { "fd00::" } else { "10.0.0.0" };
        port = port.source_range(&format!("{net}/{}", 8 + random.below(3)));
    }
    port
}

/// What to plan to come to `next`: all of it, and what has vanished.
pub(super) fn whole(
    planner: &Planner,
    next: &BTreeMap<ServiceName, Vec<ServicePort>>,
) -> BTreeMap<ServiceName, Vec<ServicePort>> {
    let vanished = planner.names().map(|name| (name.clone(), Vec::new()));
    vanished.collect::<BTreeMap<_, _>>().into_iter().chain(next.clone()).collect()
}

#[test]
fn every_plan_leads_to_what_is_wanted_and_no_reader_is_ever_led_astray() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut bench = Bench::new(Capacities::small());
        // A table may come with a history: generations that are about to wrap.
        bench.image.spoil(|rows| rows.backends.iter_mut().for_each(|b| b.generation = u32::MAX));
        bench.planner = Planner::adopt(Capacities::small(), bench.image.contents()).0;
        for _ in 0..40 {
            let next = random_wanted(&mut random);
            let plan = whole(&bench.planner, &next);
            bench.plan(plan);
            assert_eq!(bench.image.view(), super::image::expected_view(&next));
            if random.once_in(3) {
                bench.settle();
                bench.check(&next);
            }
        }
    }
}

#[test]
fn what_is_applied_already_plans_to_nothing() {
    let mut random = Random::new(1);
    let mut bench = Bench::new(Capacities::small());
    for _ in 0..100 {
        let next = random_wanted(&mut random);
        let plan = whole(&bench.planner, &next);
        bench.plan(plan);
        bench.settle();
        let again = bench.plan(next);
        assert_eq!(again, "");
        assert!(bench.retired.is_empty());
    }
}

impl Capacities {
    /// Enough for one wanted state after the other.
    pub(super) fn tiny() -> Self {
        Self { services: 64, backends: 512, slots: 512, name_cells: 256, ..Self::small() }
    }

    /// Enough for several wanted states before anything is released.
    pub(super) fn small() -> Self {
        Self {
            services: 512,
            backends: 2048,
            slots: 4096,
            name_cells: 1024,
            frontends: 64,
            source_ranges: 64,
            node_addresses: 4,
            devices: 4,
        }
    }
}
