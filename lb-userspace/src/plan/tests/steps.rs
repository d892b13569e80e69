//! The operations of small changes, one by one.

use std::collections::BTreeMap;

use super::{
    super::*,
    build::{Bench, PortBuilder, gone, port, wanted},
};

/// From one wanted state to the next: the operations, nothing else.
#[track_caller]
fn check<const A: usize, const B: usize>(
    from: [PortBuilder; A],
    to: [PortBuilder; B],
    expected: &[&str],
) {
    let mut bench = Bench::new(Capacities::small());
    bench.plan(wanted(from));
    let to = wanted(to);
    let plan = super::random::whole(&bench.planner, &to);
    let text = bench.plan(plan);
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    bench.settle();
    bench.check(&to);
}

fn web() -> PortBuilder {
    port("web", "http").cluster_ip("10.96.0.1", 80)
}

#[test]
fn a_new_service_is_written_from_its_far_end() {
    check(
        [],
        [web().node_port(30080).backend("10.1.0.1:80", "C@").backend("10.1.0.2:80", "C")],
        &[
            "put backend 0, generation 1: 10.1.0.1 port 80 of service 0 serving in-cluster here",
            "put backend 1, generation 1: 10.1.0.2 port 80 of service 0 serving in-cluster",
            "write slots 0: [0, 1]",
            "write name 0: default/web:http",
            "put service 0: cluster 0+2#1, local 0+0#0, name 0+1, TCP live",
            "put frontend 10.96.0.1:80/TCP: service 0, ClusterIP",
            "put frontend IPv4 NodePort 30080/TCP: service 0, NodePort",
            "put VIP 10.96.0.1: ClusterIP",
        ],
    );
}

#[test]
fn a_service_that_goes_is_cut_off_first_and_cleared_after_the_grace_period() {
    let mut bench = Bench::new(Capacities::small());
    bench.plan(wanted([web().backend("10.1.0.1:80", "C")]));
    assert_eq!(
        bench.plan([gone("web")]),
        "remove frontend 10.96.0.1:80/TCP\n\
         remove VIP 10.96.0.1\n\
         flag backend 0: leaving\n"
    );
    assert_eq!(
        bench.settle(),
        "clear service 0\n\
         clear backend 0, generation 2\n"
    );
    bench.plan(wanted([web().backend("10.1.0.9:80", "C")]));
    assert_eq!(bench.image.contents().backends[0].1.generation, 3);
}

#[test]
fn endpoints_change_with_one_store_after_everything_is_prepared() {
    check(
        [web().backend("10.1.0.1:80", "C").backend("10.1.0.2:80", "C")],
        [web().backend("10.1.0.2:80", "C").backend("10.1.0.3:80", "C")],
        &[
            "put backend 2, generation 1: 10.1.0.3 port 80 of service 0 serving in-cluster",
            "write slots 2: [1, 2]",
            "flag backend 0: leaving",
            "publish cluster of service 0: 2+2#2",
        ],
    );
}

#[test]
fn the_last_endpoint_leaves_an_empty_list() {
    check(
        [web().backend("10.1.0.1:80", "C")],
        [web()],
        &["flag backend 0: leaving", "publish cluster of service 0: 0+0#2"],
    );
}

#[test]
fn an_endpoint_that_leaves_a_list_but_serves_on_keeps_its_row() {
    check(
        [web().backend("10.1.0.1:80", "C").backend("10.1.0.2:80", "C")],
        [web().backend("10.1.0.1:80", "").backend("10.1.0.2:80", "C")],
        &["write slots 2: [1]", "flag backend 0: serving", "publish cluster of service 0: 2+1#2"],
    );
}

#[test]
fn a_local_policy_begins_when_its_list_is_there_and_ends_before_it_goes() {
    let cluster = || web().backend("10.1.0.1:80", "C@");
    let local = || web().backend("10.1.0.1:80", "CL@").internal_local();
    check(
        [cluster()],
        [local()],
        &[
            "write slots 1: [0]",
            "flag backend 0: serving in-cluster in-local here",
            "publish local of service 0: 1+1#1",
            "set service 0: TCP live internal-local",
        ],
    );
    check(
        [local()],
        [cluster()],
        &[
            "set service 0: TCP live",
            "flag backend 0: serving in-cluster here",
            "publish local of service 0: 0+0#2",
        ],
    );
}

#[test]
fn source_ranges_are_there_before_they_count_and_go_when_they_no_longer_do() {
    let vip = || port("web", "").vip("192.0.2.1", 80);
    check(
        [vip()],
        [vip().source_range("10.0.0.0/8").source_range("192.168.0.0/16")],
        &[
            "admit 10.0.0.0/8 to service 0",
            "admit 192.168.0.0/16 to service 0",
            "set service 0: TCP live source-ranges",
        ],
    );
    check(
        [vip().source_range("10.0.0.0/8")],
        [vip().source_range("10.0.0.0/9")],
        &["admit 10.0.0.0/9 to service 0", "no longer admit 10.0.0.0/8 to service 0"],
    );
    check(
        [vip().source_range("10.0.0.0/8")],
        [vip()],
        &["set service 0: TCP live", "no longer admit 10.0.0.0/8 to service 0"],
    );
}

#[test]
fn affinity_is_switched_with_one_store() {
    check([web()], [web().affinity(60)], &["set service 0: TCP live affinity 60 s"]);
    check([web().affinity(60)], [web()], &["set service 0: TCP live"]);
}

#[test]
fn frontends_come_and_go_alone() {
    check(
        [web().external_ip("192.0.2.7", 80)],
        [web().external_ip("192.0.2.8", 80)],
        &[
            "remove frontend 192.0.2.7:80/TCP",
            "remove VIP 192.0.2.7",
            "put frontend 192.0.2.8:80/TCP: service 0, external IP",
            "put VIP 192.0.2.8: external",
        ],
    );
    check(
        [web().external_ip("192.0.2.7", 80)],
        [web().vip("192.0.2.7", 80)],
        &["put frontend 192.0.2.7:80/TCP: service 0, load-balancer VIP"],
    );
}

#[test]
fn a_renamed_port_hands_its_frontend_on() {
    check(
        [port("web", "old").cluster_ip("10.96.0.1", 80).backend("10.1.0.1:80", "C")],
        [port("web", "new").cluster_ip("10.96.0.1", 80).backend("10.1.0.1:80", "C")],
        &[
            "put backend 1, generation 1: 10.1.0.1 port 80 of service 1 serving in-cluster",
            "write slots 1: [1]",
            "write name 1: default/web:new",
            "put service 1: cluster 1+1#1, local 0+0#0, name 1+1, TCP live",
            "put frontend 10.96.0.1:80/TCP: service 1, ClusterIP",
            "flag backend 0: leaving",
        ],
    );
}

#[test]
fn the_age_of_a_service_is_no_table_content() {
    check([web().created(5)], [web().created(6)], &[]);
}

/// What is severed on the way from one wanted state to the next.
#[track_caller]
fn check_severed<const A: usize, const B: usize>(
    from: [PortBuilder; A],
    to: [PortBuilder; B],
    expected: &[&str],
) {
    let mut planner = Planner::new(Capacities::small());
    let _ = planner.plan(wanted(from));
    let to = super::random::whole(&planner, &wanted(to));
    let severed = planner.plan(to).severed;
    assert_eq!(severed.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

#[test]
fn udp_backends_without_a_service_are_severed() {
    let dns = |service: &str| port(service, "").udp().cluster_ip("10.96.0.10", 53);
    let tcp = || web().backend("10.1.0.1:53", "C");
    let both = |service: &str| dns(service).backend("10.1.0.1:53", "C").backend("10.1.0.2:53", "C");
    let second = |service: &str| dns(service).backend("10.1.0.2:53", "C");

    check_severed([both("dns")], [second("dns")], &["10.1.0.1:53"]);
    check_severed([both("dns")], [], &["10.1.0.1:53", "10.1.0.2:53"]);
    check_severed([both("dns"), tcp()], [second("dns"), tcp()], &["10.1.0.1:53"]);
    // Still a backend of another UDP port, or one of the same Service under a new name.
    check_severed([both("dns"), both("too")], [second("dns"), both("too")], &[]);
    check_severed([both("dns")], [both("new")], &[]);
    // In no list, but serving.
    check_severed(
        [both("dns")],
        [dns("dns").backend("10.1.0.1:53", "").backend("10.1.0.2:53", "C")],
        &[],
    );
    check_severed([tcp()], [], &[]);
}

#[test]
fn a_change_costs_the_same_among_many_services_as_alone() {
    let many = |count: u16| {
        let services = (0..count).map(|number| {
            let [high, low] = number.to_be_bytes();
            let port =
                port(&format!("s{number}"), "").cluster_ip(&format!("10.96.{high}.{low}"), 80);
            port.backend(&format!("10.1.{high}.{low}:80"), "C")
        });
        let mut planner = Planner::new(Capacities::default());
        let _ = planner.plan(wanted(services));
        planner
            .plan(wanted([port("s0", "").cluster_ip("10.96.0.0", 80).backend("10.2.0.1:80", "C")]))
    };
    let ops = many(1_000).ops.len();
    assert_eq!(ops, 4);
    assert_eq!(ops, many(1).ops.len());
}

#[test]
fn a_plan_of_nothing_is_empty() {
    let plan = Planner::new(Capacities::small()).plan(BTreeMap::new());
    assert!(plan.is_empty() && plan.retired.is_empty() && plan.to_string().is_empty());
}
