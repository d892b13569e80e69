//! What the node itself says: its zone and its addresses.

use super::*;

fn node(zone: Option<&str>, addresses: &[&str]) -> Event {
    Event::Node(NodeNews {
        zone: zone.map(Arc::from),
        internal_ips: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        eligible: true,
        exists: true,
    })
}

#[test]
fn a_change_of_zone_chooses_endpoints_anew() {
    let hinted = |address, zone| endpoint(address).for_zones(&[zone]);
    let ends = slice("a")
        .udp_port("dns", 53)
        .endpoint(hinted("10.1.0.1", "east"))
        .endpoint(hinted("10.1.0.2", "west"))
        .build();
    let built = service("a").cluster_ip("10.96.0.1").udp_port("dns", 53).build();
    let mut picture = Picture::default();
    picture.slices.insert(built.name.clone(), [Arc::new(ends)].into());
    picture.services.insert(built.name.clone(), Arc::new(built));
    let (rejections, triggers) = (Arc::new([]), Vec::new());
    let news = News { picture: Arc::new(picture), rejections, complete: true, triggers };
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([Event::News(news)]);
    let mut chosen = |zone| {
        bench.turn([node(zone, &[])]);
        let content = bench.content();
        content.services.values().map(|row| row.cluster.length()).sum::<u32>()
    };
    assert_eq!([None, Some("east"), Some("nowhere")].map(&mut chosen), [2, 1, 2]);
}

#[test]
fn the_clusters_primary_addresses_win_over_those_of_routes() {
    let mut bench = Bench::new(&FakeTables::default());
    bench.reconciler.parts.node_port_addresses =
        NodePortAddresses { primary: true, ..Default::default() };
    bench.turn([Event::GraceOver, network(&["192.0.2.1", "192.0.2.9"]), news(&[])]);
    let answering = |bench: &Bench| -> Vec<IpAddr> {
        let addresses = bench.content().node_addresses;
        let admitted = addresses.into_iter().filter(|(_, flags)| *flags != 0);
        admitted.map(|(address, _)| address.into()).collect()
    };
    assert_eq!(answering(&bench), [IpAddr::from([192, 0, 2, 1])]);
    bench.turn([node(None, &["192.0.2.9"])]);
    assert_eq!(answering(&bench), [IpAddr::from([192, 0, 2, 9])]);
    bench.turn([node(None, &["192.0.2.9", "192.0.2.1"])]);
    assert_eq!(answering(&bench), [IpAddr::from([192, 0, 2, 9])]);
    bench.turn([node(None, &["2001:db8::9"])]);
    assert_eq!(answering(&bench), [IpAddr::from([192, 0, 2, 1])]);
}

#[test]
fn what_is_primary_follows_the_routes_until_the_cluster_says() {
    let node = |addresses: &[&str]| {
        let internal_ips = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Event::Node(NodeNews { zone: None, internal_ips, eligible: true, exists: true })
    };
    let mut bench = Bench::new(&FakeTables::default());
    bench.reconciler.parts.node_port_addresses =
        NodePortAddresses { primary: true, ..Default::default() };
    let mut picture = Picture::default();
    let web = service("web")
        .kind(ServiceType::LoadBalancer)
        .cluster_ip("10.96.0.1")
        .load_balancer_ip("198.51.100.1")
        .source_range("203.0.113.0/24")
        .port("http", 80)
        .build();
    picture.services.insert(web.name.clone(), Arc::new(web));
    let (picture, rejections, triggers) = (Arc::new(picture), Arc::new([]), Vec::new());
    let news = Event::News(News { picture, rejections, complete: true, triggers });
    bench.turn([Event::GraceOver, news, network(&["192.0.2.1", "203.0.113.7"])]);
    let open = |bench: &Bench| {
        let rows = bench.content().node_addresses;
        let open = rows.iter().filter(|(_, flags)| **flags != 0);
        open.map(|(address, _)| IpAddr::from(*address).to_string()).collect::<Vec<_>>()
    };
    assert_eq!(open(&bench), ["192.0.2.1"], "the device's own");
    assert_eq!(bench.content().source_ranges.len(), 1);
    bench.turn([node(&["203.0.113.7"])]);
    assert_eq!(open(&bench), ["203.0.113.7"]);
    assert_eq!(bench.content().source_ranges.len(), 2, "the node is let in, and so is its VIP");
    bench.turn([node(&["192.0.2.1"])]);
    assert_eq!(open(&bench), ["192.0.2.1"]);
    assert_eq!(bench.content().source_ranges.len(), 1);
}
