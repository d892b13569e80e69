//! The rules as tables: endpoints given, lists expected, seen from node `here` in zone `z1`.

use lb_common::Protocol;

use super::{
    super::testing::{EndpointBuilder, SliceBuilder, endpoint, slice},
    *,
};

/// What comes of `slices` for the TCP port `http`: each serving endpoint with `C` if it is in the
/// CLUSTER list, `L` if it is in the LOCAL list, `-` if in neither, and `@` if it is on this node.
fn outcome(slices: Vec<SliceBuilder>, with_local: bool, family: IpFamily) -> Vec<String> {
    let slices: Vec<_> = slices.into_iter().map(|slice| Arc::new(slice.build())).collect();
    let node = Node { name: "here".into(), zone: Some("z1".into()) };
    let port = Port { name: "http".into(), protocol: Protocol::Tcp, port: 80, node_port: None };
    backends(&slices, &port, family, &node, with_local)
        .into_iter()
        .map(|backend| {
            let lists = match (backend.in_cluster, backend.in_local) {
                (true, true) => "CL",
                (true, false) => "C",
                (false, true) => "L",
                (false, false) => "-",
            };
            let local = if backend.local { "@" } else { "" };
            format!("{}:{} {lists}{local}", backend.address, backend.port)
        })
        .collect()
}

/// One slice with these endpoints on port 8080, both lists made.
#[track_caller]
fn check(endpoints: impl IntoIterator<Item = EndpointBuilder>, expected: &[&str]) {
    let given = endpoints
        .into_iter()
        .fold(slice("web").port("http", 8080), |slice, endpoint| slice.endpoint(endpoint));
    assert_eq!(outcome(vec![given], true, IpFamily::V4), expected);
}

#[track_caller]
fn check_slices(slices: Vec<SliceBuilder>, expected: &[&str]) {
    assert_eq!(outcome(slices, true, IpFamily::V4), expected);
}

#[test]
fn ready_endpoints_are_in_the_cluster_list_and_those_here_in_the_local_list() {
    check(
        [
            endpoint("10.1.0.1").node("here"),
            endpoint("10.1.0.2").node("there"),
            endpoint("10.1.0.3"),
        ],
        &["10.1.0.1:8080 CL@", "10.1.0.2:8080 C", "10.1.0.3:8080 C"],
    );
}

#[test]
fn an_unready_endpoint_is_no_backend() {
    check([endpoint("10.1.0.1").unready(), endpoint("10.1.0.2")], &["10.1.0.2:8080 C"]);
    check([endpoint("10.1.0.1").unready()], &[]);
}

#[test]
fn a_terminating_endpoint_serves_on_but_is_not_chosen_while_another_is_ready() {
    check(
        [endpoint("10.1.0.1").terminating(), endpoint("10.1.0.2")],
        &["10.1.0.1:8080 -", "10.1.0.2:8080 C"],
    );
}

#[test]
fn terminating_endpoints_are_the_last_resort() {
    check(
        [
            endpoint("10.1.0.1").terminating().node("here"),
            endpoint("10.1.0.2").terminating(),
            endpoint("10.1.0.3").gone(),
            endpoint("10.1.0.4").unready(),
        ],
        &["10.1.0.1:8080 CL@", "10.1.0.2:8080 C"],
    );
}

#[test]
fn each_list_falls_back_by_itself() {
    check(
        [
            endpoint("10.1.0.1").terminating().node("here"),
            endpoint("10.1.0.2").node("there"),
            endpoint("10.1.0.3").terminating().node("there"),
        ],
        &["10.1.0.1:8080 L@", "10.1.0.2:8080 C", "10.1.0.3:8080 -"],
    );
}

#[test]
fn serving_alone_is_not_enough_for_the_last_resort() {
    check([endpoint("10.1.0.1").conditions(false, true, false)], &["10.1.0.1:8080 -"]);
}

#[test]
fn ready_counts_whatever_the_other_conditions_say() {
    check([endpoint("10.1.0.1").conditions(true, true, true)], &["10.1.0.1:8080 C"]);
    check([endpoint("10.1.0.1").conditions(true, false, false)], &["10.1.0.1:8080 C"]);
}

#[test]
fn an_endpoint_without_weight_serves_on_but_gets_no_new_flow() {
    check(
        [endpoint("10.1.0.1").weight(0).node("here"), endpoint("10.1.0.2").weight(7)],
        &["10.1.0.1:8080 -@", "10.1.0.2:8080 C"],
    );
    // It is ready all the same: nobody else becomes a last resort.
    check(
        [endpoint("10.1.0.1").weight(0), endpoint("10.1.0.2").terminating()],
        &["10.1.0.1:8080 -", "10.1.0.2:8080 -"],
    );
}

#[test]
fn the_last_resort_ignores_topology() {
    check(
        [endpoint("10.1.0.1").terminating().for_zones(&["z2"]), endpoint("10.1.0.2").terminating()],
        &["10.1.0.1:8080 C", "10.1.0.2:8080 C"],
    );
}

#[test]
fn node_hints_go_before_zone_hints() {
    check(
        [
            endpoint("10.1.0.1").for_nodes(&["here"]).for_zones(&["z1"]),
            endpoint("10.1.0.2").for_nodes(&["there"]).for_zones(&["z1"]),
        ],
        &["10.1.0.1:8080 C", "10.1.0.2:8080 -"],
    );
}

#[test]
fn without_one_hinted_for_this_node_zones_decide() {
    check(
        [
            endpoint("10.1.0.1").for_nodes(&["there"]).for_zones(&["z1", "z3"]),
            endpoint("10.1.0.2").for_nodes(&["there"]).for_zones(&["z2"]),
        ],
        &["10.1.0.1:8080 C", "10.1.0.2:8080 -"],
    );
}

#[test]
fn one_ready_endpoint_without_a_hint_switches_topology_off() {
    check(
        [
            endpoint("10.1.0.1").for_zones(&["z1"]),
            endpoint("10.1.0.2").for_zones(&["z2"]),
            endpoint("10.1.0.3"),
        ],
        &["10.1.0.1:8080 C", "10.1.0.2:8080 C", "10.1.0.3:8080 C"],
    );
}

#[test]
fn hints_of_endpoints_that_are_not_ready_do_not_count() {
    check(
        [
            endpoint("10.1.0.1").for_zones(&["z1"]),
            endpoint("10.1.0.2").for_zones(&["z2"]),
            endpoint("10.1.0.3").unready(),
            endpoint("10.1.0.4").terminating(),
        ],
        &["10.1.0.1:8080 C", "10.1.0.2:8080 -", "10.1.0.4:8080 -"],
    );
    check(
        [endpoint("10.1.0.1").terminating().for_zones(&["z1"]), endpoint("10.1.0.2")],
        &["10.1.0.1:8080 -", "10.1.0.2:8080 C"],
    );
}

#[test]
fn hints_for_other_zones_only_leave_everything() {
    check(
        [endpoint("10.1.0.1").for_zones(&["z2"]), endpoint("10.1.0.2").for_zones(&["z3"])],
        &["10.1.0.1:8080 C", "10.1.0.2:8080 C"],
    );
}

#[test]
fn topology_never_narrows_the_local_list() {
    check(
        [
            endpoint("10.1.0.1").node("here").for_zones(&["z2"]),
            endpoint("10.1.0.2").node("there").for_zones(&["z1"]),
        ],
        &["10.1.0.1:8080 L@", "10.1.0.2:8080 C"],
    );
}

#[test]
fn the_local_list_is_made_only_where_it_is_used() {
    let given = slice("web").port("http", 8080).endpoint(endpoint("10.1.0.1").node("here"));
    assert_eq!(outcome(vec![given], false, IpFamily::V4), ["10.1.0.1:8080 C@"]);
}

#[test]
fn slices_are_joined_by_port_name_and_protocol() {
    check_slices(
        vec![
            slice("web").name("a").port("http", 8080).endpoint(endpoint("10.1.0.1")),
            slice("web").name("b").port("http", 9090).endpoint(endpoint("10.1.0.1")),
            slice("web").name("c").port("admin", 81).endpoint(endpoint("10.1.0.2")),
            slice("web").name("d").udp_port("http", 82).endpoint(endpoint("10.1.0.3")),
            slice("web")
                .name("e")
                .port("admin", 81)
                .port("http", 80)
                .endpoint(endpoint("10.1.0.4")),
        ],
        &["10.1.0.1:8080 C", "10.1.0.1:9090 C", "10.1.0.4:80 C"],
    );
}

#[test]
fn slices_count_in_their_own_family() {
    let given = || {
        vec![
            slice("web").name("a").port("http", 80).endpoint(endpoint("10.1.0.1")),
            slice("web").name("b").ipv6().port("http", 80).endpoint(endpoint("fd00::1")),
        ]
    };
    assert_eq!(outcome(given(), true, IpFamily::V4), ["10.1.0.1:80 C"]);
    assert_eq!(outcome(given(), true, IpFamily::V6), ["fd00::1:80 C"]);
}

/// Both orders of arrival must agree.
#[track_caller]
fn check_duplicate(a: fn() -> EndpointBuilder, b: fn() -> EndpointBuilder, expected: &[&str]) {
    let one = |name: &str, built: EndpointBuilder| {
        slice("web").name(name).port("http", 80).endpoint(built)
    };
    check_slices(vec![one("a", a()), one("b", b())], expected);
    check_slices(vec![one("b", b()), one("a", a())], expected);
}

#[test]
fn of_two_entries_with_one_address_the_one_not_terminating_wins() {
    check_duplicate(
        || endpoint("10.1.0.1").terminating(),
        || endpoint("10.1.0.1").node("here"),
        &["10.1.0.1:80 CL@"],
    );
    check_duplicate(|| endpoint("10.1.0.1").terminating(), || endpoint("10.1.0.1").unready(), &[]);
}

#[test]
fn of_two_equal_entries_the_first_slice_by_name_wins() {
    check_duplicate(
        || endpoint("10.1.0.1").node("here"),
        || endpoint("10.1.0.1").node("there"),
        &["10.1.0.1:80 CL@"],
    );
    check_duplicate(
        || endpoint("10.1.0.1").unready().node("here"),
        || endpoint("10.1.0.1").node("there"),
        &["10.1.0.1:80 C"],
    );
}
