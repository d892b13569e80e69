//! Several ports that claim one frontend.

use super::{
    super::*,
    build::{Bench, PortBuilder, gone, port, wanted},
};

fn web(service: &str) -> PortBuilder {
    port(service, "http").external_ip("192.0.2.7", 80).backend("10.1.0.1:80", "C")
}

const OWNED_BY_OLD: &str =
    "Service default/a: spec.externalIPs: 192.0.2.7:80/TCP belongs to Service default/old:http";

#[test]
fn the_older_service_wins_whatever_the_order() {
    let both =
        || wanted([web("a").created(20).cluster_ip("10.96.0.1", 80), web("old").created(10)]);
    let mut together = Bench::new(Capacities::small());
    together.plan(both());
    together.check(&both());
    assert_eq!(together.rejections(), [OWNED_BY_OLD]);

    let mut younger_first = Bench::new(Capacities::small());
    for (name, ports) in both() {
        younger_first.plan([(name, ports)]);
    }
    younger_first.check(&both());
    assert_eq!(younger_first.rejections(), [OWNED_BY_OLD]);
}

#[test]
fn no_age_is_youngest_and_names_decide_among_equals() {
    let mut bench = Bench::new(Capacities::small());
    let services = wanted([web("a"), web("b").created(10), web("c").created(10)]);
    bench.plan(services.clone());
    bench.check(&services);
    assert_eq!(
        bench.rejections(),
        ["a", "c"].map(|loser| format!(
            "Service default/{loser}: spec.externalIPs: \
             192.0.2.7:80/TCP belongs to Service default/b:http"
        ))
    );
}

#[test]
fn a_conflict_is_reported_once_and_stands_until_it_ends() {
    let mut bench = Bench::new(Capacities::small());
    bench.plan(wanted([web("old").created(1)]));
    let told = bench.plan(wanted([web("a")]));
    assert!(told.contains(OWNED_BY_OLD), "{told}");

    let again = bench.plan(wanted([web("a").backend("10.1.0.2:80", "C")]));
    assert!(!again.contains("reject"), "{again}");
    assert_eq!(bench.rejections(), [OWNED_BY_OLD]);

    bench.plan([gone("old")]);
    assert!(bench.rejections().is_empty());
}

#[test]
fn the_loser_takes_over_with_one_write() {
    let mut bench = Bench::new(Capacities::small());
    bench.plan(wanted([web("old").created(1), web("young")]));
    let text = bench.plan([gone("old")]);
    assert_eq!(
        text,
        "put frontend 192.0.2.7:80/TCP: service 1, external IP\n\
         flag backend 0: leaving\n"
    );
    bench.settle();
    bench.check(&wanted([web("young")]));
}

#[test]
fn an_older_service_takes_over_with_one_write() {
    let mut bench = Bench::new(Capacities::small());
    bench.plan(wanted([web("young")]));
    let text = bench.plan(wanted([web("old").created(1)]));
    let frontends: Vec<_> = text.lines().filter(|line| line.contains("frontend")).collect();
    assert_eq!(frontends, ["put frontend 192.0.2.7:80/TCP: service 1, external IP"]);
    bench.check(&wanted([web("young"), web("old").created(1)]));
}

#[test]
fn protocols_families_and_node_ports_are_places_of_their_own() {
    let services = wanted([
        web("a"),
        web("b").udp(),
        port("c", "http").node_port(80),
        port("d", "http").ipv6().node_port(80),
    ]);
    let mut bench = Bench::new(Capacities::small());
    bench.plan(services.clone());
    bench.check(&services);
    assert!(bench.rejections().is_empty());
}

#[test]
fn a_node_port_is_contested_like_an_address() {
    let mut bench = Bench::new(Capacities::small());
    bench.plan(wanted([
        port("a", "http").created(1).node_port(30080),
        port("b", "http").node_port(30080),
        port("c", "").ipv6().node_port(30080),
        port("d", "").ipv6().node_port(30080),
    ]));
    assert_eq!(
        bench.rejections(),
        [
            "Service default/b: spec.ports[http].nodePort: \
             IPv4 NodePort 30080/TCP belongs to Service default/a:http",
            "Service default/d: spec.ports.nodePort: \
             IPv6 NodePort 30080/TCP belongs to Service default/c",
        ]
    );
}

#[test]
fn ports_of_one_service_may_be_at_odds_too() {
    let services = wanted([
        port("a", "one").cluster_ip("10.96.0.1", 80).backend("10.1.0.1:80", "C"),
        port("a", "two").cluster_ip("10.96.0.1", 80).backend("10.1.0.2:80", "C"),
    ]);
    let mut bench = Bench::new(Capacities::small());
    bench.plan(services.clone());
    bench.check(&services);
    assert_eq!(
        bench.rejections(),
        ["Service default/a: spec.clusterIPs: \
          10.96.0.1:80/TCP belongs to Service default/a:one"]
    );
}

#[test]
fn of_two_ports_with_one_name_the_first_is_used() {
    let first = || port("a", "http").cluster_ip("10.96.0.1", 80);
    let mut bench = Bench::new(Capacities::small());
    bench.plan(wanted([first(), port("a", "http").cluster_ip("10.96.0.1", 81)]));
    bench.check(&wanted([first()]));
    assert_eq!(
        bench.rejections(),
        ["Service default/a: spec.ports: a second TCP port is named `http`"]
    );
    bench.plan(wanted([first()]));
    assert!(bench.rejections().is_empty());
}
