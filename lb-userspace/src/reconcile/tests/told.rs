//! What the loop tells about itself: its pulse, its metrics, health checks.

use super::*;

#[test]
fn what_cannot_be_written_waits_until_it_is() {
    #[track_caller]
    fn check(bench: &Bench, healthy: bool) {
        let later = Instant::now() + PATIENCE + Duration::from_secs(1);
        assert_eq!(bench.pulse.condition(later).healthy, healthy);
    }
    let mut bench = Bench::ready(&FakeTables::default());
    check(&bench, true);
    bench.turn([news(&[("a", "10.1.0.1")])]);
    check(&bench, true);
    bench.rest();
    bench.tables.0.lock().unwrap().failures.push(libc::ENOMEM);
    bench.turn([news(&[("a", "10.1.0.2")])]);
    check(&bench, false);
    bench.rest();
    check(&bench, true);
}

/// What the metrics show of a series.
#[track_caller]
fn shown(bench: &Bench, series: &str) -> f64 {
    let mut text = String::new();
    encode_registry(&mut text, &bench.registry).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

#[test]
fn triggers_are_timed_when_written_unless_they_are_older_than_the_agent() {
    const TIMED: &str = "kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv4\"}";
    let triggered = |mut event: Event| {
        let later = SystemTime::now() + Duration::from_secs(5);
        let [service, gone] = ["a", "gone"].map(|name| ServiceName::new("default", name));
        if let Event::News(news) = &mut event {
            news.triggers = vec![
                Trigger { service: service.clone(), at: SystemTime::now() },
                Trigger { service: service.clone(), at: later },
                Trigger { service, at: SystemTime::UNIX_EPOCH },
                Trigger { service: gone, at: later },
            ];
        }
        event
    };
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([triggered(news(&[("a", "10.1.0.1")]))]);
    assert_eq!(shown(&bench, TIMED), 2.0);
    bench.rest();
    bench.tables.0.lock().unwrap().failures.push(libc::ENOMEM);
    bench.turn([triggered(news(&[("a", "10.1.0.2")]))]);
    assert_eq!(shown(&bench, TIMED), 2.0, "nothing was written");
    bench.rest();
    assert_eq!(shown(&bench, TIMED), 4.0);
}

#[test]
fn changes_are_pending_until_they_are_written() {
    #[track_caller]
    fn check(bench: &Bench, pending: [f64; 2], total: [f64; 2]) {
        let name = |kind, what| format!("kubeproxy_sync_proxy_rules_{kind}_changes_{what}");
        let both = |what| ["service", "endpoint"].map(|kind| shown(bench, &name(kind, what)));
        assert_eq!((both("pending"), both("total")), (pending, total));
    }
    let mut bench = Bench::new(&FakeTables::default());
    bench.turn([news(&[("a", "10.1.0.1"), ("b", "10.1.0.2")])]);
    check(&bench, [2.0, 2.0], [2.0, 2.0]);
    bench.turn([Event::GraceOver, network(&["192.0.2.1"])]);
    check(&bench, [0.0, 0.0], [2.0, 2.0]);
    bench.turn([news(&[("a", "10.1.0.1"), ("b", "10.1.0.3")])]);
    check(&bench, [0.0, 0.0], [2.0, 3.0]);
    bench.turn([news(&[("a", "10.1.0.1")])]);
    check(&bench, [0.0, 0.0], [3.0, 4.0]);
    assert_eq!(shown(&bench, "sluice_services"), 1.0);
}

#[test]
fn health_checks_follow_the_write_not_the_news() {
    let balanced = |here: bool, port| {
        let node = if here { "n1" } else { "n2" };
        let built = service("web").kind(ServiceType::LoadBalancer).cluster_ip("10.96.0.1");
        let built = built.external_policy(TrafficPolicy::Local).port("http", 80);
        let built = built.health_check_port(port).build();
        let ends = slice("web").port("http", 80).endpoint(endpoint("10.1.0.1").node(node));
        let mut picture = Picture::default();
        picture.slices.insert(built.name.clone(), [Arc::new(ends.build())].into());
        picture.services.insert(built.name.clone(), Arc::new(built));
        let (rejections, triggers) = (Arc::new([]), Vec::new());
        Event::News(News { picture: Arc::new(picture), rejections, complete: true, triggers })
    };
    #[track_caller]
    fn check(bench: &Bench, expected: &[(u16, u32)]) {
        let now = bench.programmed.borrow().clone();
        let found: Vec<_> =
            now.health_checks.values().map(|check| (check.port, check.local_endpoints)).collect();
        assert_eq!(found, expected);
    }
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([balanced(true, 31000)]);
    check(&bench, &[(31000, 1)]);
    bench.rest();
    bench.tables.0.lock().unwrap().failures.push(libc::ENOMEM);
    bench.turn([balanced(false, 31000)]);
    check(&bench, &[(31000, 1)]);
    bench.rest();
    check(&bench, &[(31000, 0)]);
    bench.turn([balanced(true, 31001)]);
    check(&bench, &[(31001, 1)]);
    bench.turn([news(&[])]);
    check(&bench, &[]);
}
