//! Hash tables, weights, and what clients remember.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use lb_common::backend;

use super::{
    super::*,
    build::{Bench, PortBuilder, gone, port, wanted},
    random::{Random, random_wanted, whole},
};
use crate::model::{ServiceName, ServicePort};

/// Room for a few dozen of the smallest tables.
fn roomy() -> Capacities {
    Capacities { slots: 40_000, ..Capacities::small() }
}

fn web() -> PortBuilder {
    port("web", "").node_port(30080).hashed("C")
}

/// Some of it by hash, and with weights.
fn random_hashed(random: &mut Random) -> BTreeMap<ServiceName, Vec<ServicePort>> {
    let mut services = random_wanted(random);
    for port in services.values_mut().flatten() {
        port.hash_cluster = random.once_in(2);
        port.hash_local = random.once_in(3);
        for backend in &mut port.backends {
            backend.weight = 1 + random.below(3) as u16;
        }
    }
    services
}

#[test]
fn every_table_is_that_of_its_list_and_no_reader_is_ever_led_astray() {
    for seed in 0..4 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut bench = Bench::new(roomy());
        for _ in 0..12 {
            let next = random_hashed(&mut random);
            let plan = whole(&bench.planner, &next);
            bench.plan(plan);
            assert_eq!(bench.image.tables(), super::image::expected_tables(&next));
            bench.settle();
            bench.check(&next);
        }
        let unhashed = |rejection: &String| rejection.contains("SLOTS");
        assert!(!bench.rejections().iter().any(unhashed), "{:?}", bench.rejections());
    }
}

#[test]
fn an_agent_that_ends_between_any_two_operations_leaves_tables_the_next_one_puts_right() {
    for seed in 0..2 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut bench = Bench::new(roomy());
        bench.plan(random_hashed(&mut random));
        bench.settle();
        let next = random_hashed(&mut random);
        let image = bench.image.clone();
        let ops = bench.planner.plan(whole(&bench.planner, &next)).ops;
        for end in 0..=ops.len() {
            bench.image = image.clone();
            ops[..end].iter().for_each(|op| bench.image.apply(op));
            let (planner, repair) = Planner::adopt(roomy(), bench.image.contents());
            bench.planner = planner;
            bench.image.end_grace_period();
            bench.retired = Retired::default();
            bench.perform(repair);
            let plan = whole(&bench.planner, &next);
            bench.plan(plan);
            let expected = super::image::expected_tables(&next);
            assert_eq!(bench.image.tables(), expected, "after {end} of {ops:#?}");
            bench.settle();
            bench.check(&next);
        }
    }
}

#[test]
fn a_sound_table_is_adopted_without_a_write_and_any_other_is_replaced() {
    let services = || wanted([web().backend("10.1.0.1:80", "C").weighted("10.1.0.2:80", "C", 2)]);
    let mut bench = Bench::new(roomy());
    bench.plan(services());
    let adopt = |bench: &mut Bench| {
        bench.image.end_grace_period();
        let (planner, repair) = Planner::adopt(roomy(), bench.image.contents());
        bench.planner = planner;
        bench.retired = Retired::default();
        bench.perform(repair) + &bench.plan(services())
    };
    assert_eq!(adopt(&mut bench), "");

    type Spoil = fn(&mut super::image::Rows<'_>);
    let spoils: [(&str, Spoil); 2] = [
        ("another size", |rows| {
            let run = &mut rows.services[0].cluster_hashed;
            *run = lb_common::run::Run::new(run.offset(), run.length() - 1, run.generation());
        }),
        ("the same size, and two flows exchanged", |rows| {
            let run = rows.services[0].cluster_hashed;
            let table = &mut rows.slots[run.offset() as usize..][..run.length() as usize];
            let other = table.iter().position(|backend| *backend != table[0]).unwrap();
            table.swap(0, other);
        }),
    ];
    for (what, spoil) in spoils {
        bench.image.spoil(spoil);
        let text = adopt(&mut bench);
        assert!(text.contains("publish cluster table of service 0"), "{what}: {text}");
        assert_eq!(bench.image.tables(), super::image::expected_tables(&services()), "{what}");
        assert_eq!(adopt(&mut bench), "", "{what}");
    }
}

/// Where each slot of the one Service's table leads.
fn table(bench: &Bench) -> Vec<SocketAddr> {
    let contents = bench.image.contents();
    let rows: HashMap<_, _> = contents.backends.iter().copied().collect();
    let (_, service) = contents
        .services
        .iter()
        .find(|(_, row)| !row.cluster_hashed.is_empty())
        .expect("no Service has a table");
    let (start, length) =
        (service.cluster_hashed.offset() as usize, service.cluster_hashed.length() as usize);
    let address =
        |index: &u32| (std::net::IpAddr::from(rows[index].address), rows[index].port.get()).into();
    contents.slots[start..start + length].iter().map(address).collect()
}

#[test]
fn two_nodes_with_other_histories_have_the_same_table() {
    let pods = ["10.1.0.1:80", "10.1.0.2:80", "10.2.0.7:80", "10.3.0.1:81", "10.3.0.1:82"];
    let with = |pods: &[&str]| wanted([pods.iter().fold(web(), |web, pod| web.backend(pod, "C"))]);

    let mut first = Bench::new(roomy());
    first.plan(with(&pods));

    let mut second = Bench::new(roomy());
    second
        .plan(wanted([port("other", "").cluster_ip("10.96.0.9", 80).backend("10.1.0.9:80", "C")]));
    for pod in pods.iter().rev() {
        second.plan(with(&[pod, "10.9.0.1:80"]));
    }
    second.settle();
    // Topology lets it see others here, in another order.
    let reversed: Vec<_> = pods.iter().rev().copied().collect();
    second.plan(with(&reversed));
    second.settle();

    assert_ne!(
        first.image.contents().services[0].1.cluster_hashed.generation(),
        second.image.contents().services[1].1.cluster_hashed.generation(),
    );
    assert_eq!(table(&first), table(&second));
}

#[test]
fn a_single_endpoint_needs_no_table() {
    let mut bench = Bench::new(roomy());
    let one = wanted([web().backend("10.1.0.1:80", "C").backend("10.1.0.2:80", "")]);
    bench.plan(one.clone());
    assert!(bench.image.tables().values().all(|tables| tables == "[] []"));
    bench.check(&one);
}

/// With a table of its own.
fn service(name: &str, number: u16) -> PortBuilder {
    port(name, "")
        .node_port(30_000 + number)
        .hashed("C")
        .backend(&format!("10.1.{number}.1:80"), "C")
        .backend(&format!("10.1.{number}.2:80"), "C")
}

#[test]
fn a_table_that_finds_no_room_leaves_the_service_its_list_until_there_is_room() {
    let sizes = Capacities { backends: 64, slots: 1_000, ..Capacities::small() };
    let mut bench = Bench::new(sizes);
    let both = || wanted([service("a", 1), service("b", 2)]);
    bench.plan(both());
    bench.settle();
    let tables = bench.image.tables();
    let expected = super::image::expected_tables(&both());
    assert_eq!(tables["IPv4 NodePort 30001/TCP"], expected["IPv4 NodePort 30001/TCP"]);
    assert_eq!(tables["IPv4 NodePort 30002/TCP"], "[] []");
    bench.check(&both());
    assert_eq!(
        bench.rejections(),
        ["Service default/b: flows are spread at random: table SLOTS (1000 entries, see \
          --max-slots) has no room to spread them by hash"]
    );
    assert_eq!(bench.plan(both()), "", "nothing becomes free, nothing is tried");
    assert_eq!(bench.planner.names().count(), 2);

    bench.plan([gone("a")]);
    bench.settle();
    assert_eq!(bench.image.tables(), super::image::expected_tables(&wanted([service("b", 2)])));
    assert!(bench.rejections().is_empty());
}

#[test]
fn a_few_slots_are_no_reason_to_try_a_table_again() {
    let sizes = Capacities { backends: 64, slots: 1_000, ..Capacities::small() };
    let mut bench = Bench::new(sizes);
    let plain = |second| {
        let port = port("c", "").cluster_ip("10.96.0.3", 80).backend("10.1.3.1:80", "C");
        port.backend("10.1.3.2:80", second)
    };
    bench.plan(wanted([service("a", 1), service("b", 2), plain("C")]));
    bench.settle();
    assert_eq!(bench.rejections().len(), 1);
    bench.plan(wanted([plain("")]));
    bench.image.end_grace_period();
    assert!(!bench.planner.release(std::mem::take(&mut bench.retired)));
}

#[test]
fn tables_leave_room_for_the_lists_of_all_backends() {
    let service = |number: u16, second: &str| {
        port(&format!("service-{number:02}"), "")
            .node_port(30_000 + number)
            .hashed("C")
            .backend(&format!("10.1.{number}.1:80"), "C")
            .backend(second, "C")
    };
    // As many as there are backends for; three tables would leave seven slots.
    let sizes = Capacities { backends: 32, slots: 3 * 809 + 7, ..Capacities::small() };
    let mut bench = Bench::new(sizes);
    let all = || wanted((1..=15).map(|number| service(number, &format!("10.2.{number}.1:80"))));
    let check = |bench: &mut Bench| {
        bench.settle();
        let tables = bench.image.tables();
        assert_eq!(tables.values().filter(|tables| *tables != "[] []").count(), 2);
        assert_eq!(bench.rejections().len(), 13, "{:?}", bench.rejections());
    };
    bench.plan(all());
    check(&mut bench);
    bench.check(&all());
    // Where no further table is admitted, one may still take the place of another.
    bench.plan(wanted([service(1, "10.3.1.1:80")]));
    check(&mut bench);
}

#[test]
fn a_weight_changes_list_and_table_and_is_noted_last() {
    let mut bench = Bench::new(roomy());
    let of =
        |weight| wanted([web().backend("10.1.0.1:80", "C").weighted("10.1.0.2:80", "C", weight)]);
    bench.plan(of(1));
    let text = bench.plan(of(3));
    let words: Vec<_> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        words,
        [
            "write slots 811",
            "write slots 815",
            "publish cluster of service 0",
            "publish cluster table of service 0",
            "weigh backend 1",
        ],
        "{text}"
    );
    assert!(text.starts_with("write slots 811: 4 of 0x1 1x3\n"), "{text}");
    bench.settle();
    bench.check(&of(3));
}

/// Whether what clients remember of the first endpoint survives the way through these wants.
#[track_caller]
fn check_memory<const N: usize>(ports: [PortBuilder; N], survives: bool) {
    let mut bench = Bench::new(Capacities::small());
    let mut memberships = Vec::new();
    for port in ports {
        bench.plan(wanted([port]));
        let row = bench.image.contents().backends[0].1;
        assert_ne!(row.flags & backend::flags::SERVING, 0);
        memberships.push((row.generation, row.membership));
    }
    assert_eq!(memberships.first() == memberships.last(), survives, "{memberships:?}");
}

#[test]
fn memories_of_an_endpoint_end_when_it_returns_to_the_lists() {
    let sticky = |lists| {
        let port = port("web", "").node_port(30080).affinity(60).external_local();
        port.backend("10.1.0.1:80", lists).backend("10.1.0.2:80", "CL@")
    };
    check_memory([sticky("CL@"), sticky("@"), sticky("CL@")], false);
    check_memory([sticky("CL@"), sticky("@"), sticky("L@")], false);
    // It never left all of them.
    check_memory([sticky("CL@"), sticky("L@"), sticky("CL@")], true);
    check_memory([sticky("CL@"), sticky("L@"), sticky("C")], true);
}

#[test]
fn memories_end_when_affinity_does() {
    let plain = || port("web", "").node_port(30080).backend("10.1.0.1:80", "C");
    check_memory([plain().affinity(60), plain(), plain().affinity(60)], false);
    check_memory([plain().affinity(60), plain().affinity(30), plain().affinity(60)], true);
}
