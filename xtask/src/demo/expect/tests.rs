use super::*;

const TO: &str = "10.96.0.7:80";
const CLIENT: &str = "203.0.113.10";
const NODE1: &str = "192.168.50.11";

fn facts() -> Facts {
    let pods = [("web-1", "node1"), ("web-2", "node1"), ("web-3", "node2")];
    let nodes: BTreeMap<String, String> =
        pods.iter().map(|(pod, node)| (pod.to_string(), node.to_string())).collect();
    Facts {
        ready: nodes.clone(),
        nodes,
        to: TO.parse().expect("an address"),
        pod_port: 8080,
        own: [CLIENT.parse().expect("an address")].into(),
        node_addresses: [("node1".to_owned(), [NODE1.parse().expect("an address")].into())].into(),
    }
}

/// A report with these answers: pod, the client as seen, count.
fn report(answers: &[(&str, &str, u64)]) -> Report {
    let answers = answers.iter().map(|(pod, peer, count)| Answer {
        pod: pod.to_string(),
        peer: peer.parse().expect("an address"),
        local: "10.244.1.2:8080".parse().expect("an address"),
        from: TO.parse().expect("an address"),
        count: *count,
    });
    Report { answers: answers.collect(), ..Report::default() }
}

fn with_errors(mut report: Report, errors: &[(&str, u64)]) -> Report {
    report.errors = errors.iter().map(|(name, count)| (name.to_string(), *count)).collect();
    report
}

/// Checks which findings did not hold.
#[track_caller]
fn check(expected: Expected, report: &Report, not_held: &[About]) {
    let findings = judge(expected, &facts(), report);
    let found: Vec<_> = findings.iter().filter(|one| !one.held).map(|one| one.about).collect();
    assert_eq!(found, not_held, "{findings:#?}");
}

const READY: Expected = Expected::Even(Pods::Ready, Seen::Own);
const EVEN: [(&str, &str, u64); 3] =
    [("web-1", CLIENT, 190), ("web-2", CLIENT, 205), ("web-3", CLIENT, 205)];

#[test]
fn an_even_spread_over_the_right_pods_holds() {
    check(READY, &report(&EVEN), &[]);
    let node1 = Expected::Even(Pods::On("node1"), Seen::Own);
    check(node1, &report(&EVEN[..2]), &[]);
    let one = Expected::Even(Pods::These(&["web-2"]), Seen::Own);
    check(one, &report(&EVEN[1..2]), &[]);
}

#[test]
fn an_uneven_spread_is_noticed() {
    let uneven = [("web-1", CLIENT, 150), ("web-2", CLIENT, 150), ("web-3", CLIENT, 300)];
    check(READY, &report(&uneven), &[About::Spread]);
}

#[test]
fn a_pod_too_many_or_too_few_is_noticed() {
    check(READY, &report(&EVEN[..2]), &[About::Who, About::Spread]);
    check(Expected::Even(Pods::On("node1"), Seen::Own), &report(&EVEN), &[About::Who]);
}

#[test]
fn a_single_failure_is_noticed() {
    check(READY, &with_errors(report(&EVEN), &[("ETIMEDOUT", 1)]), &[About::Answers]);
    let nothing = Report::default();
    check(READY, &nothing, &[About::Answers, About::Who]);
}

#[test]
fn the_clients_address_must_be_kept_where_it_can_be_and_only_there() {
    let through = Expected::Even(Pods::Ready, Seen::OwnOnlyAt("node1"));
    let right = [("web-1", CLIENT, 200), ("web-2", CLIENT, 200), ("web-3", NODE1, 200)];
    check(through, &report(&right), &[]);
    check(through, &report(&EVEN), &[About::Client]);
    check(READY, &report(&right), &[About::Client]);
    let all_node = [("web-1", NODE1, 200), ("web-2", NODE1, 200), ("web-3", NODE1, 200)];
    check(through, &report(&all_node), &[About::Client]);
}

#[test]
fn the_client_must_not_see_the_backend_and_the_port_must_be_right() {
    let mut backend_shows = report(&EVEN);
    backend_shows.answers[1].from = "10.244.1.2:8080".parse().expect("an address");
    check(READY, &backend_shows, &[About::Server]);
    let mut wrong_port = report(&EVEN);
    wrong_port.answers[2].local.set_port(80);
    check(READY, &wrong_port, &[About::Port]);
}

#[test]
fn affinity_means_one_pod() {
    let sticky = Expected::One(Seen::Own);
    check(sticky, &report(&EVEN[..1]), &[]);
    check(sticky, &report(&EVEN[..2]), &[About::Who]);
    check(sticky, &report(&[("shell", CLIENT, 600)]), &[About::Who]);
    check(sticky, &Report::default(), &[About::Answers, About::Who]);
}

#[test]
fn a_call_that_must_fail_must_fail_in_the_right_way() {
    let refused = Expected::Error("ECONNREFUSED");
    let none = Report::default;
    check(refused, &with_errors(none(), &[("ECONNREFUSED", 3)]), &[]);
    check(refused, &with_errors(none(), &[("ETIMEDOUT", 3)]), &[About::Error]);
    let mixed = [("ECONNREFUSED", 2), ("ETIMEDOUT", 1)];
    check(refused, &with_errors(none(), &mixed), &[About::Error]);
    check(refused, &with_errors(report(&EVEN[..1]), &[("ECONNREFUSED", 3)]), &[About::Error]);
    check(refused, &none(), &[About::Error]);
}
