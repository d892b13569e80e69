//! Workers: what clients report, how they end, and where they live.

use std::{
    fs,
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use lb_testbed::{Cluster, Families, Load, Pattern, Probe, Transport};

use crate::two_nodes;

const PORT: u16 = 8080;

fn target(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), PORT)
}

#[test]
fn failures_have_the_name_of_their_error() {
    let cluster = two_nodes(Families::V4);
    for (probe, expected) in [
        (Probe::tcp(target("10.244.2.2")), "ECONNREFUSED"),
        (Probe::udp(target("10.244.2.2")), "ECONNREFUSED"),
        // The router knows no such network.
        (Probe::tcp(target("10.99.0.1")), "ENETUNREACH"),
    ] {
        let report = cluster.probe("a", &probe).expect("a report");
        assert_eq!(report.errors.keys().collect::<Vec<_>>(), [expected], "{probe:?}");
        assert_eq!(report.answered(), 0);
    }
}

#[test]
fn a_client_goes_on_until_it_is_stopped_and_tells_of_every_exchange() {
    let cluster = two_nodes(Families::V4);
    let server = cluster.serve("b", &[PORT], &[]).expect("a server");
    let probe = Probe::tcp(target("10.244.2.2")).until_stopped().recording().concurrency(2);
    let before = Instant::now();
    let mut running = cluster.start_probe("a", &probe).expect("a client");
    let started = Instant::now();
    running.go_on(20).expect("answers");
    drop(server);
    running.go_on(20).expect("failures");
    let least = started.elapsed();
    let report = running.stop().expect("a report");
    let most = before.elapsed();
    assert!(report.answered() > 10, "{report:?}");
    assert!(report.errors.contains_key("ECONNREFUSED"), "{:?}", report.errors);
    assert_eq!(report.exchanges.len() as u64, report.answered() + report.failed());
    assert!(report.exchanges.is_sorted_by_key(|exchange| exchange.start_ns));
    assert!(report.exchanges.iter().all(|one| one.start_ns < one.end_ns));
    let spent = report.elapsed;
    assert!((least..most).contains(&spent), "{spent:?}, not {least:?} to {most:?}");
}

#[test]
fn a_connection_can_serve_many_requests() {
    let cluster = two_nodes(Families::Both);
    let _server = cluster.serve("b", &[PORT], &[PORT]).expect("a server");
    for address in ["10.244.2.2", "fd00:244:2::2", "::ffff:10.244.2.2"] {
        for transport in [Transport::Tcp, Transport::UdpConnected, Transport::UdpUnconnected] {
            let probe = Probe { transport, ..Probe::tcp(target(address)) }.requests(50).reusing();
            let report = cluster.probe("a", &probe).expect("a report");
            assert_eq!(report.answered(), 50, "{address} {transport:?}: {:?}", report.errors);
        }
    }
}

#[test]
fn large_datagrams_arrive_in_one_piece() {
    let cluster = two_nodes(Families::Both);
    let _server = cluster.serve("b", &[], &[PORT]).expect("a server");
    for address in ["10.244.2.2", "fd00:244:2::2"] {
        for probe in [Probe::udp(target(address)), Probe::udp_unconnected(target(address))] {
            let report = cluster.probe("a", &probe.datagram_bytes(2000)).expect("a report");
            assert_eq!(report.answered(), 1, "{address}: {report:?}");
        }
    }
}

#[test]
fn a_worker_lives_in_its_places_cgroup_and_dies_with_its_pod() {
    let mut cluster = two_nodes(Families::V4);
    let server = cluster.serve("b", &[PORT], &[]).expect("a server");
    let place = cluster.place("b").expect("a place");
    let members = fs::read_to_string(place.cgroup.join("cgroup.procs")).expect("members");
    assert_eq!(members.trim(), server.pid().to_string());
    assert!(place.cgroup.starts_with(cluster.node_cgroup("node2").expect("a cgroup")));
    cluster.remove_pod("b").expect("removal");
    assert!(!place.cgroup.exists() && !place.netns.exists());
    assert!(cluster.place("b").is_err());
    // Its address can be given to another pod at once.
    cluster.add_pod_at("node2", "c", 2).expect("a pod in its stead");
    let _server = cluster.serve("c", &[PORT], &[]).expect("a server");
    let probe = Probe::tcp(target("10.244.2.2")).requests(5);
    let report = cluster.probe("client", &probe).expect("a report");
    assert_eq!(report.by_pod().get("c"), Some(&5), "{report:?}");
}

#[test]
fn programs_run_in_a_place_and_a_missing_one_is_named() {
    let cluster = two_nodes(Families::V4);
    let place = cluster.place("a").expect("a place");
    let run = |program: &str, arguments: &[&str]| {
        let arguments = arguments.iter().map(Into::into).collect();
        let mut command =
            cluster.launcher().command(&place, program, arguments, true).expect("a command");
        let output = command.stderr(Stdio::null()).output().expect("output");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (success, devices) = run("cat", &["/proc/self/net/dev"]);
    assert!(success && devices.contains("eth0"), "{devices}");
    let (success, cgroup) = run("cat", &["/proc/self/cgroup"]);
    assert!(success && cgroup.contains("/node1/pods/a"), "{cgroup}");
    let (success, words) = run("no-such-program", &[]);
    assert!(!success && words.contains("no-such-program"), "{words}");
}

#[test]
fn no_place_has_a_packet_filter() {
    let cluster = two_nodes(Families::Both);
    assert_eq!(cluster.firewall_tables().expect("tables"), []);
}

#[test]
fn pods_that_come_and_go_do_not_disturb_the_others() {
    let mut cluster = two_nodes(Families::Both);
    let _server = cluster.serve("b", &[PORT], &[]).expect("a server");
    let repeated = |cluster: &Cluster| {
        let client = cluster.netns("client").expect("the client's namespace");
        client.repeated_first_packets().expect("a counter")
    };
    let before = repeated(&cluster);
    let probes = ["10.244.2.2", "fd00:244:2::2"].map(|address| {
        let probe = Probe::tcp(target(address)).until_stopped();
        cluster.start_probe("client", &probe).expect("a client")
    });
    for round in 0..5 {
        cluster.add_pod("node2", &format!("c{round}")).expect("a pod");
        cluster.add_pod("node2", &format!("d{round}")).expect("a pod");
        cluster.remove_pod(&format!("c{round}")).expect("removal");
    }
    for probe in probes {
        let report = probe.stop().expect("a report");
        assert_eq!(report.failed(), 0, "{:?}", report.errors);
        assert!(report.answered() > 0, "nobody was there to be disturbed");
    }
    assert_eq!(repeated(&cluster), before, "packets were lost");
}

fn load(to: &str, pattern: Pattern, expected: &str) -> Load {
    let (expected, length) = (expected.to_owned(), Duration::from_millis(400));
    Load { to: to.split(' ').map(target).collect(), pattern, expected, concurrency: 3, length }
}

#[test]
fn a_client_that_measures_is_answered_again_and_again() {
    let cluster = two_nodes(Families::Both);
    let _server = cluster.respond("b", &[PORT]).expect("a server");
    for address in ["10.244.2.2", "fd00:244:2::2"] {
        for pattern in [Pattern::Connect, Pattern::KeepAlive, Pattern::Datagram, Pattern::Bulk] {
            let load = load(address, pattern, "b");
            let found = cluster.load("a", &load).expect("a result");
            assert!(found.elapsed >= load.length, "{pattern:?}: {found:?}");
            let bulk = pattern == Pattern::Bulk;
            assert_eq!((found.answered > 10, found.bytes > 1 << 20), (!bulk, bulk), "{found:?}");
        }
    }
}

#[test]
fn a_client_that_measures_takes_no_answer_but_the_expected() {
    let cluster = two_nodes(Families::V4);
    let _server = cluster.respond("b", &[PORT]).expect("a server");
    for pattern in [Pattern::Connect, Pattern::KeepAlive, Pattern::Datagram, Pattern::Bulk] {
        for (to, expected, words) in [
            ("10.244.2.2", "a", "InvalidData"),
            ("10.244.1.2", "b", "ECONNREFUSED"),
            ("10.244.2.2 10.244.1.2", "b", "ECONNREFUSED"),
        ] {
            let said = cluster.load("a", &load(to, pattern, expected)).expect_err("no result");
            assert!(said.to_string().contains(words), "{pattern:?}: {said}");
        }
    }
}
