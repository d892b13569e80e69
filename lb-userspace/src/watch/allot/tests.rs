use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::watch::convert;

/// Addresses and NodePorts.
type Allotted = (Vec<String>, Vec<Option<u16>>);

/// Allots for Services given as name and spec; the answer is addresses and NodePorts by name.
fn run(services: &[(&str, Value)], cidrs: &[&str]) -> (BTreeMap<String, Allotted>, Vec<String>) {
    let mut drafts: Vec<_> = services
        .iter()
        .map(|(name, spec)| {
            let object = json!({"metadata": {"name": name}, "spec": spec});
            convert::service(&serde_json::from_value(object).unwrap()).0.unwrap()
        })
        .collect();
    drafts.sort_by(|a, b| a.service.name.cmp(&b.service.name));
    let service_cidrs = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
    let (services, rejections) =
        allot(drafts.iter(), &Ranges { service_cidrs, ..Ranges::default() });
    let summary = |service: &Arc<Service>| {
        let addresses = service.cluster_ips.iter().map(ToString::to_string).collect();
        (addresses, service.ports.iter().map(|port| port.node_port).collect())
    };
    let services = services.iter().map(|s| (s.name.name.to_string(), summary(s))).collect();
    (services, rejections.iter().map(ToString::to_string).collect())
}

fn families(addresses: &[String]) -> String {
    addresses.iter().map(|text| if text.contains(':') { '6' } else { '4' }).collect()
}

#[test]
fn the_answer_is_the_same_on_every_node_and_in_every_build() {
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}, {"port": 80, "name": "u", "protocol": "UDP"}]});
    let (services, rejections) = run(&[("web", spec)], &["10.96.0.0/16", "fd00:10:96::/112"]);
    assert_eq!(rejections, [""; 0]);
    let (addresses, node_ports) = &services["web"];
    assert_eq!(addresses, &["10.96.32.99"], "a change of this number moves everybody's Services");
    assert_eq!(node_ports, &[Some(31_123), Some(31_011)]);
}

#[test]
fn families_follow_policy_and_what_is_on_offer() {
    #[track_caller]
    fn check(spec: Value, cidrs: &[&str], expected: Result<&str, &str>) {
        let (services, rejections) = run(&[("web", spec.clone())], cidrs);
        match expected {
            Ok(expected) => {
                assert_eq!(rejections, [""; 0], "{spec}");
                assert_eq!(families(&services["web"].0), expected, "{spec}");
            }
            Err(reason) => {
                assert_eq!(rejections, [format!("Service default/web: {reason}")], "{spec}");
                assert!(services.is_empty());
            }
        }
    }
    let (v4, v6) = ("10.96.0.0/16", "fd00:10:96::/112");
    let dual = |policy: &str| json!({"ipFamilyPolicy": policy});
    check(json!({}), &[v4, v6], Ok("4"));
    check(json!({}), &[v6, v4], Ok("6"));
    check(json!({"ipFamilies": ["IPv6"]}), &[v4, v6], Ok("6"));
    check(json!({"ipFamilies": ["IPv6", "IPv4"]}), &[v4, v6], Ok("64"));
    check(dual("PreferDualStack"), &[v4, v6], Ok("46"));
    check(dual("PreferDualStack"), &[v6, v4], Ok("64"));
    check(dual("PreferDualStack"), &[v4], Ok("4"));
    check(dual("RequireDualStack"), &[v4, v6], Ok("46"));
    check(
        json!({"clusterIP": "10.96.0.1", "ipFamilyPolicy": "PreferDualStack"}),
        &[v4, v6],
        Ok("46"),
    );
    check(json!({"clusterIP": "10.96.0.1"}), &[], Ok("4"));
    check(json!({"clusterIP": "10.96.0.1"}), &[v6], Ok("4"));
    check(json!({"clusterIP": "None"}), &[v4], Ok(""));
    check(json!({"type": "ExternalName"}), &[], Ok(""));
    let missing = "spec.ipFamilies: no --service-cidr is of family V6";
    check(dual("RequireDualStack"), &[v4], Err(missing));
    check(json!({"ipFamilies": ["IPv6"]}), &[v4], Err(missing));
    let none = "spec.clusterIP: is missing, and without --service-cidr none can be allotted";
    check(json!({}), &[], Err(none));
}

#[test]
fn a_full_network_refuses_the_last_by_name_and_never_an_explicit_address() {
    let services: Vec<_> = ["a", "b", "c"].map(|name| (name, json!({}))).into();
    let explicit = ("z", json!({"clusterIP": "10.96.0.2"}));
    let all: Vec<_> = services.into_iter().chain([explicit]).collect();
    let (services, rejections) = run(&all, &["10.96.0.0/30"]);
    assert_eq!(
        rejections,
        [
            "Service default/b: spec.clusterIPs: no V4 address is free",
            "Service default/c: spec.clusterIPs: no V4 address is free",
        ]
    );
    assert_eq!(services["a"].0, ["10.96.0.1"]);
    assert_eq!(services["z"].0, ["10.96.0.2"]);
}

#[test]
fn addresses_and_ports_are_unique_inside_the_range_and_stay_when_others_come() {
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
    let names: Vec<_> = (0..200).map(|i| format!("svc-{i:03}")).collect();
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), spec.clone())).collect();
    let (services, rejections) = run(&all, &["10.96.0.0/16"]);
    assert_eq!(rejections, [""; 0]);
    let addresses: BTreeSet<_> =
        services.values().map(|(addresses, _)| addresses[0].clone()).collect();
    let ports: BTreeSet<_> = services.values().filter_map(|(_, ports)| ports[0]).collect();
    assert_eq!((addresses.len(), ports.len()), (200, 200));
    assert!(ports.iter().all(|port| (30_000..=32_767).contains(port)));
    let (fewer, _) = run(&all[100..], &["10.96.0.0/16"]);
    let moved = fewer.iter().filter(|(name, value)| services[*name].0 != value.0).count();
    assert!(moved <= 1, "{moved} Services moved");
}

#[test]
fn node_ports_keep_clear_of_explicit_ones() {
    let explicit: Vec<_> = (30_000..=32_766)
        .map(|port| json!({"name": format!("p{port}"), "port": port, "nodePort": port}))
        .collect();
    let all = [
        ("a", json!({"clusterIP": "10.96.0.1", "type": "NodePort", "ports": [{"port": 80}]})),
        ("b", json!({"clusterIP": "10.96.0.2", "type": "NodePort", "ports": [{"port": 80}]})),
        ("c", json!({"clusterIP": "10.96.0.3", "type": "NodePort", "ports": explicit})),
        (
            "d",
            json!({"clusterIP": "10.96.0.4", "type": "NodePort",
                     "ports": [{"port": 80, "nodePort": 8080}]}),
        ),
    ];
    let (services, rejections) = run(&all, &[]);
    assert_eq!(services["a"].1, [Some(32_767)]);
    assert_eq!(services["b"].1, [None]);
    assert_eq!(services["d"].1, [None]);
    assert_eq!(
        rejections,
        [
            "Service default/b: spec.ports[0].nodePort: no NodePort is free",
            "Service default/d: spec.ports[0].nodePort: 8080 is not a NodePort (30000 to 32767)",
        ]
    );
}

#[test]
fn hosts_leave_out_what_is_no_host() {
    #[track_caller]
    fn check(cidr: &str, first: &str, count: u64) {
        let network: IpNet = cidr.parse().unwrap();
        let (bits, found) = hosts(network);
        let address = nth(IpFamily::of(network.addr()), bits, 0);
        assert_eq!((address.to_string().as_str(), found), (first, count), "{cidr}");
    }
    check("10.96.0.0/24", "10.96.0.1", 254);
    check("10.96.0.0/31", "10.96.0.0", 2);
    check("10.96.0.7/32", "10.96.0.7", 1);
    check("fd00::/112", "fd00::1", 65_535);
    check("fd00::/64", "fd00::1", u64::MAX - 1);
    check("0.0.0.0/0", "0.0.0.1", (1 << 32) - 2);
}
