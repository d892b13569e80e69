//! The watch over links, addresses and routes, in network namespaces of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{process::Command, thread, time::Duration};

use lb_userspace::watch::{External, NetSource, NodeNet, Selection};
use nix::sched::{CloneFlags, unshare};
use tokio::{sync::watch, time::timeout};

/// How long news may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a scenario in a new network namespace, which is gone with the thread it runs on.
fn in_namespace<F: Future<Output = ()>>(scenario: impl FnOnce() -> F + Send + 'static) {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET)
            .expect("cannot make a network namespace: this test needs CAP_SYS_ADMIN (run as root)");
        ip("link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(scenario());
    };
    thread::spawn(run).join().expect("the scenario failed");
}

/// Runs `ip` with these arguments, in the namespace of this thread.
fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.expect("cannot run `ip`: this test needs iproute2");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A veth pair whose first end is up, like everything behind it.
fn veth(name: &str) {
    ip(&format!("link add {name} type veth peer name {name}-peer"));
    ip(&format!("link set {name}-peer up"));
    ip(&format!("link set {name} up"));
}

fn add(device: &str, addresses: &[&str]) {
    for address in addresses {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        ip(&format!("address add {address} dev {device}{nodad}"));
    }
}

/// External devices with their sources, one line each.
fn devices(net: &NodeNet) -> Vec<String> {
    let line = |device: &lb_userspace::watch::DeviceNet| {
        let v4 = device.source_v4.map_or("-".to_owned(), |address| address.to_string());
        let v6 = device.source_v6.map_or("-".to_owned(), |address| address.to_string());
        format!("{} {} {v4} {v6}", device.name, device.kind.as_deref().unwrap_or("-"))
    };
    net.devices.values().map(line).collect()
}

/// Follows the namespace while `scenario` runs.
async fn follow<F: Future<Output = ()>>(
    selection: Selection,
    scenario: impl FnOnce(watch::Receiver<NodeNet>) -> F,
) {
    let (source, receiver) = NetSource::open(selection).await.unwrap();
    tokio::select! {
        result = source.run() => panic!("the source ended: {result:?}"),
        () = scenario(receiver) => {}
    }
}

/// Waits until the value is as `expected` says; a value in between may differ, since a single
/// command makes several changes.
async fn expect(
    values: &mut watch::Receiver<NodeNet>,
    what: &str,
    expected: impl Fn(&NodeNet) -> bool,
) {
    let found = timeout(PATIENCE, values.wait_for(|net| expected(net))).await.map(drop);
    assert!(found.is_ok(), "{what}: {:#?}", values.borrow());
}

async fn expect_devices(values: &mut watch::Receiver<NodeNet>, expected: &[&str]) {
    expect(values, &format!("{expected:?}"), |net| devices(net) == expected).await;
}

#[test]
fn devices_and_sources_follow_routes_and_addresses() {
    in_namespace(|| async {
        veth("out0");
        veth("pod0");
        follow(Selection::default(), async |mut values| {
            assert_eq!(devices(&values.borrow()), [""; 0]);
            add("out0", &["192.0.2.2/24", "192.0.2.3/24", "2001:db8::2/64", "2001:db8::3/64"]);
            add("pod0", &["10.0.0.1/32"]);
            ip("route add 10.0.0.2 dev pod0");
            ip("route add default via 192.0.2.1");
            expect_devices(&mut values, &["out0 veth 192.0.2.2 2001:db8::2"]).await;
            ip("address del 2001:db8::2/64 dev out0");
            expect_devices(&mut values, &["out0 veth 192.0.2.2 2001:db8::3"]).await;
            ip("route add 203.0.113.0/24 via 10.0.0.2 dev pod0 onlink");
            expect_devices(
                &mut values,
                &["out0 veth 192.0.2.2 2001:db8::3", "pod0 veth 10.0.0.1 2001:db8::3"],
            )
            .await;
            ip("route del 203.0.113.0/24");
            ip("link set out0 down");
            expect_devices(&mut values, &[]).await;
            ip("link set out0 up");
            ip("route add default via 192.0.2.1");
            expect(&mut values, "out0 again", |net| devices(net).len() == 1).await;
            ip("link del out0");
            expect_devices(&mut values, &[]).await;
        })
        .await;
    });
}

#[test]
fn ecmp_and_ipv6_routes_make_devices_external() {
    in_namespace(|| async {
        for name in ["up0", "up1", "up2"] {
            veth(name);
        }
        add("up0", &["192.0.2.1/25"]);
        add("up1", &["192.0.2.129/25"]);
        add("up2", &["2001:db8::1/64"]);
        ip("route add default nexthop via 192.0.2.2 nexthop via 192.0.2.130");
        ip("route add 2001:db8:1::/48 via 2001:db8::2");
        follow(Selection::default(), async |mut values| {
            let expected = [
                "up0 veth 192.0.2.1 2001:db8::1",
                "up1 veth 192.0.2.129 2001:db8::1",
                "up2 veth 192.0.2.1 2001:db8::1",
            ];
            expect_devices(&mut values, &expected).await;
        })
        .await;
    });
}

#[test]
fn every_address_of_the_node_is_listed_with_its_device() {
    in_namespace(|| async {
        veth("out0");
        add("out0", &["192.0.2.2/24", "2001:db8::2/64"]);
        follow(Selection::default(), async |mut values| {
            let has = |net: &NodeNet, address: &str, device: &str| {
                let local = net.addresses.get(&address.parse().unwrap());
                local.is_some_and(|local| local.device == device)
            };
            expect(&mut values, "all addresses", |net| {
                has(net, "127.0.0.1", "lo")
                    && has(net, "::1", "lo")
                    && has(net, "192.0.2.2", "out0")
                    && has(net, "2001:db8::2", "out0")
            })
            .await;
            ip("address add 198.51.100.7/32 dev lo");
            expect(&mut values, "address comes", |net| has(net, "198.51.100.7", "lo")).await;
            ip("address del 198.51.100.7/32 dev lo");
            expect(&mut values, "address goes", |net| !has(net, "198.51.100.7", "lo")).await;
            ip("link set out0 down");
            ip("link set out0 name uplink");
            expect(&mut values, "new name", |net| has(net, "192.0.2.2", "uplink")).await;
        })
        .await;
    });
}

#[test]
fn devices_chosen_by_name_come_and_go_and_must_be_ethernet() {
    in_namespace(|| async {
        veth("eth0");
        ip("tuntap add mode tun name eth-tun");
        let external = External::Named(vec!["eth*".to_owned()]);
        let selection = Selection { external, ..Selection::default() };
        follow(selection, async |mut values| {
            let first = values.borrow().clone();
            let rejections: Vec<_> = first.rejections.iter().map(|r| r.to_string()).collect();
            let reason = "is not an Ethernet device, its packets stay untouched";
            assert_eq!(rejections, [format!("device eth-tun: {reason}")]);
            assert_eq!(devices(&first).len(), 2, "both ends of the pair: {first:?}");
            veth("eth1");
            expect(&mut values, "eth1", |net| devices(net).len() == 4).await;
            ip("link del eth1");
            expect(&mut values, "no eth1", |net| devices(net).len() == 2).await;
        })
        .await;
    });
}

#[test]
fn a_flood_of_notifications_ends_in_the_right_value() {
    in_namespace(|| async {
        veth("out0");
        follow(Selection::default(), async |mut values| {
            // Far more than a socket's buffer holds, while nobody reads it.
            let lines: String = (0..20_000u32)
                .map(|i| format!("route add 10.{}.{}.0/24 dev out0\n", i / 250, i % 250))
                .chain(["address add 192.0.2.2/24 dev out0\nroute add default via 192.0.2.1\n"
                    .to_owned()])
                .collect();
            let path = std::env::temp_dir().join(format!("sluice-netdev-{}", std::process::id()));
            std::fs::write(&path, lines).unwrap();
            ip(&format!("-batch {}", path.display()));
            std::fs::remove_file(&path).unwrap();
            expect_devices(&mut values, &["out0 veth 192.0.2.2 -"]).await;
        })
        .await;
    });
}
