//! Which endpoint a call gets, and for how long.

use std::{thread::sleep, time::Duration};

use lb_common::Protocol;
use lb_testbed::{Probe, Report, even_spread_p};
use lb_userspace::model::{FrontendKind, IpFamily, ServicePort};

use crate::{
    service::port,
    stage::{CALLER, NODE, SERVERS, Stage, vip},
};

fn service(
    stage: &Stage,
    protocol: Protocol,
    servers: &[&str],
    affinity_s: Option<u32>,
) -> ServicePort {
    let mut port = port(&format!("web-{protocol}"), protocol, IpFamily::V4)
        .at(FrontendKind::ClusterIp, vip(false, 1, 80))
        .at(FrontendKind::ExternalIp, vip(false, 2, 80));
    if let Some(timeout_s) = affinity_s {
        port = port.affinity(timeout_s);
    }
    servers.iter().fold(port, |port, name| port.local(stage.server(name, false))).build()
}

#[test]
fn calls_spread_evenly() {
    let mut stage = Stage::new();
    stage.program([service(&stage, Protocol::Tcp, &SERVERS, None)]);
    let report = stage.probe(CALLER, &Probe::tcp(vip(false, 1, 80)).requests(900).concurrency(4));
    assert_eq!(report.answered(), 900);
    let counts: Vec<_> = SERVERS.map(|name| report.by_pod().get(name).copied().unwrap_or(0)).into();
    let p = even_spread_p(&counts);
    assert!(p > 0.0001, "p = {p} for {counts:?}");
}

/// The pods that answered, each as long as it did.
fn sequence(report: &Report) -> Vec<&str> {
    let mut pods: Vec<_> = report
        .exchanges
        .iter()
        .map(|exchange| exchange.outcome.as_deref().unwrap_or_else(|errno| panic!("{errno}")))
        .collect();
    pods.dedup();
    pods
}

#[test]
fn unconnected_udp_sticks_to_its_endpoint_while_that_serves_and_moves_on_when_not() {
    let mut stage = Stage::new();
    let [one, two, three] = SERVERS;
    stage.program([service(&stage, Protocol::Udp, &[one], None)]);
    let to = vip(false, 1, 80);
    let probe = Probe::udp_unconnected(to).reusing().recording().until_stopped();
    let running = stage.start(CALLER, &probe);
    sleep(Duration::from_millis(300));
    stage.program([service(&stage, Protocol::Udp, &[one, two, three], None)]);
    sleep(Duration::from_millis(300));
    stage.program([service(&stage, Protocol::Udp, &[two], None)]);
    sleep(Duration::from_millis(300));
    stage.program([service(&stage, Protocol::Udp, &[one, two, three], None)]);
    sleep(Duration::from_millis(300));
    let report = running.stop().unwrap();
    assert_eq!(sequence(&report), [one, two]);
    let shown: Vec<_> = report.answers.iter().map(|answer| answer.from).collect();
    assert!(shown.iter().all(|from| *from == to), "{shown:?}");
}

#[test]
fn one_udp_socket_keeps_several_far_ends_apart() {
    let mut stage = Stage::new();
    stage.program([service(&stage, Protocol::Udp, &[SERVERS[0]], None)]);
    for to in [vip(false, 1, 80), vip(false, 2, 80)] {
        let report = stage.probe(CALLER, &Probe::udp_unconnected(to).requests(20).reusing());
        assert_eq!(report.errors, [].into());
        assert!(report.answers.iter().all(|answer| answer.from == to), "{:?}", report.answers);
    }
}

#[test]
fn affinity_is_by_network_namespace_and_over_all_frontends() {
    let mut stage = Stage::new();
    stage.program([service(&stage, Protocol::Tcp, &SERVERS, Some(10_800))]);
    for from in [CALLER, NODE] {
        let mut pods = Vec::new();
        for to in [vip(false, 1, 80), vip(false, 2, 80)] {
            let report = stage.probe(from, &Probe::tcp(to).requests(40).concurrency(4));
            assert_eq!(report.answered(), 40);
            pods.extend(report.by_pod().into_keys().map(str::to_owned));
        }
        pods.dedup();
        assert_eq!(pods.len(), 1, "{pods:?}");
    }
}

#[test]
fn affinity_ends_with_its_timeout_and_with_its_endpoint() {
    let mut stage = Stage::new();
    let [one, two, _] = SERVERS;
    let to = vip(false, 1, 80);
    let who = |stage: &Stage| {
        let report = stage.probe(CALLER, &Probe::tcp(to));
        report.answers.first().map(|answer| answer.pod.clone())
    };
    stage.program([service(&stage, Protocol::Tcp, &[one], Some(1))]);
    assert_eq!(who(&stage).as_deref(), Some(one));
    stage.program([service(&stage, Protocol::Tcp, &[one, two], Some(1))]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..12 {
        sleep(Duration::from_millis(1_050));
        seen.extend(who(&stage));
        if seen.len() == 2 {
            break;
        }
    }
    assert_eq!(seen.len(), 2, "never let go");

    stage.program([service(&stage, Protocol::Tcp, &[two], Some(10_800))]);
    assert_eq!(who(&stage).as_deref(), Some(two));
    stage.program([service(&stage, Protocol::Tcp, &[one], Some(10_800))]);
    assert_eq!(who(&stage).as_deref(), Some(one));
}
