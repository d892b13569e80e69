use serde_json::{Value, json};

use super::*;

/// Converts a Service named `default/web` with the given spec and status.
fn convert_spec(spec: Value, status: Value) -> (Option<ServiceDraft>, Vec<String>) {
    let object = json!({"metadata": {"name": "web"}, "spec": spec, "status": status});
    let (draft, rejections) = service(&serde_json::from_value(object).unwrap());
    (draft, rejections.iter().map(ToString::to_string).collect())
}

fn converted(spec: Value) -> ServiceDraft {
    let (draft, rejections) = convert_spec(spec, json!({}));
    assert_eq!(rejections, [""; 0]);
    draft.unwrap()
}

#[track_caller]
fn check_rejected(spec: Value, expected: &str) {
    assert_eq!(
        convert_spec(spec, json!({})),
        (None, vec![format!("Service default/web: {expected}")])
    );
}

/// The object stays; `expected` are the notes without the object's name.
#[track_caller]
fn check_notes(spec: Value, status: Value, expected: &[&str]) -> Arc<Service> {
    let (draft, rejections) = convert_spec(spec, status);
    let expected: Vec<_> =
        expected.iter().map(|text| format!("Service default/web: {text}")).collect();
    assert_eq!(rejections, expected);
    draft.unwrap().service
}

#[test]
fn what_is_left_out_has_kubernetes_defaults() {
    let draft = converted(json!({"clusterIP": "10.96.0.10", "ports": [{"port": 80}]}));
    let service = Service {
        name: crate::model::ServiceName::new("default", "web"),
        created_s: None,
        kind: ServiceType::ClusterIp,
        cluster_ips: vec!["10.96.0.10".parse().unwrap()],
        external_ips: vec![],
        load_balancer_ips: vec![],
        source_ranges: vec![],
        ports: vec![Port {
            name: "".into(),
            protocol: lb_common::Protocol::Tcp,
            port: 80,
            node_port: None,
        }],
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        affinity_timeout_s: None,
        algorithm: None,
        health_check_node_port: None,
        hidden: false,
    };
    assert_eq!(*draft.service, service);
    assert_eq!(draft.family_policy, FamilyPolicy::SingleStack);
    let port = PortDraft { index: 0, target: Target::Number(80), wants_node_port: false };
    assert_eq!((draft.proxied, draft.ports), (true, vec![port]));
}

#[test]
fn metadata_gives_name_age_and_visibility() {
    #[track_caller]
    fn check(metadata: Value, expected: Result<(&str, Option<i64>, bool), &str>) {
        let object = json!({"metadata": metadata, "spec": {"clusterIP": "10.96.0.10"}});
        let (draft, rejections) = service(&serde_json::from_value(object).unwrap());
        let found = draft.map(|draft| {
            let service = draft.service;
            (service.name.to_string(), service.created_s, service.hidden)
        });
        let rejections: Vec<_> = rejections.iter().map(ToString::to_string).collect();
        match expected {
            Ok((name, created, hidden)) => {
                assert_eq!(found, Some((name.to_owned(), created, hidden)));
                assert_eq!(rejections, [""; 0]);
            }
            Err(reason) => assert_eq!((found, rejections), (None, vec![reason.to_owned()])),
        }
    }
    check(json!({"name": "a"}), Ok(("default/a", None, false)));
    check(
        json!({"name": "a", "namespace": "n", "creationTimestamp": "1970-01-01T00:01:40Z"}),
        Ok(("n/a", Some(100), false)),
    );
    check(json!({"name": "a", "creationTimestamp": null}), Ok(("default/a", None, false)));
    let label = "service.kubernetes.io/service-proxy-name";
    check(json!({"name": "a", "labels": {label: ""}}), Ok(("default/a", None, true)));
    let label = "service.kubernetes.io/headless";
    check(json!({"name": "a", "labels": {label: "x"}}), Ok(("default/a", None, true)));
    check(json!({"name": "a", "labels": {"app": "x"}}), Ok(("default/a", None, false)));
    check(json!({}), Err("Service default/(without a name): metadata.name: is missing"));
}

#[test]
fn headless_and_external_name_services_ask_for_nothing() {
    for spec in [
        json!({"clusterIP": "None", "ports": [{"port": 80}], "externalIPs": ["192.0.2.1"]}),
        json!({"clusterIPs": ["None"]}),
        json!({"type": "ExternalName", "externalName": "x.test", "clusterIP": "10.96.0.10"}),
    ] {
        let draft = converted(spec);
        assert!(!draft.proxied);
        assert!(draft.service.cluster_ips.is_empty() && draft.service.external_ips.is_empty());
        assert!(draft.service.ports.is_empty());
    }
    assert!(converted(json!({"clusterIP": ""})).proxied);
}

#[test]
fn unknown_values_are_rejected_by_name() {
    for (field, given, known) in [
        ("type", "Headless", "ClusterIP, NodePort, LoadBalancer, ExternalName"),
        ("internalTrafficPolicy", "local", "Cluster, Local"),
        ("externalTrafficPolicy", "Node", "Cluster, Local"),
        ("sessionAffinity", "Cookie", "None, ClientIP"),
        ("ipFamilyPolicy", "DualStack", "SingleStack, PreferDualStack, RequireDualStack"),
    ] {
        let expected = format!("spec.{field}: `{given}` is not known here ({known})");
        check_rejected(json!({"clusterIP": "10.96.0.10", field: given}), &expected);
    }
    check_rejected(
        json!({"ipFamilies": ["IPv4", "IPv5"]}),
        "spec.ipFamilies[1]: `IPv5` is not known here (IPv4, IPv6)",
    );
}

#[test]
fn affinity_timeouts_have_a_default_and_bounds() {
    #[track_caller]
    fn check(timeout: Value, expected: Option<u32>) {
        let config = json!({"clientIP": {"timeoutSeconds": timeout}});
        let spec = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": config});
        assert_eq!(converted(spec).service.affinity_timeout_s, expected);
    }
    check(Value::Null, Some(10_800));
    check(json!(1), Some(1));
    check(json!(86_400), Some(86_400));
    let without_affinity = json!({"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}});
    assert_eq!(converted(without_affinity).service.affinity_timeout_s, None);
    for timeout in [0, -5, 86_401] {
        check_rejected(
            json!({
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": timeout}},
            }),
            &format!(
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: \
                 {timeout} is not between 1 and 86400"
            ),
        );
    }
}

#[test]
fn a_bad_port_is_refused_alone() {
    let spec = json!({"type": "NodePort", "clusterIP": "10.96.0.10", "ports": [
        {"name": "a", "port": 80},
        {"name": "b", "port": 70000},
        {"name": "c", "port": 81, "protocol": "QUIC"},
        {"name": "d", "port": 82, "targetPort": -1},
        {"name": "e", "port": 83, "nodePort": 65536},
        {"name": "f", "port": 80},
        {"name": "f", "port": 80, "protocol": "UDP"},
        {"name": "a", "port": 90},
    ]});
    let service = check_notes(
        spec,
        json!({}),
        &[
            "spec.ports[1].port: 70000 is not a port number (1 to 65535)",
            "spec.ports[2].protocol: `QUIC` is not a protocol (TCP, UDP or SCTP)",
            "spec.ports[3].targetPort: -1 is not a port number (1 to 65535)",
            "spec.ports[4].nodePort: 65536 is not a port number (1 to 65535)",
            "spec.ports[5]: has the number or the name of another port of this protocol",
            "spec.ports[7]: has the number or the name of another port of this protocol",
        ],
    );
    let names: Vec<_> =
        service.ports.iter().map(|port| (&*port.name, port.port, port.node_port)).collect();
    assert_eq!(names, [("a", 80, None), ("e", 83, None), ("f", 80, None)]);
}

#[test]
fn node_ports_are_wanted_where_the_type_has_them_and_none_is_given() {
    #[track_caller]
    fn check(spec: Value, expected: (Option<u16>, bool)) {
        let draft = converted(spec);
        assert_eq!((draft.service.ports[0].node_port, draft.ports[0].wants_node_port), expected);
    }
    check(json!({"ports": [{"port": 80}]}), (None, false));
    check(json!({"type": "NodePort", "ports": [{"port": 80}]}), (None, true));
    check(json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 0}]}), (None, true));
    let given = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]});
    check(given, (Some(30_080), false));
    check(json!({"type": "LoadBalancer", "ports": [{"port": 80}]}), (None, true));
    let without = json!({
        "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80}],
    });
    check(without, (None, false));
    check_notes(
        json!({"ports": [{"port": 80, "nodePort": 30080}]}),
        json!({}),
        &["spec.ports[0].nodePort: is not for a Service of this type"],
    );
}

#[test]
fn addresses_are_refused_one_by_one_but_not_the_last_cluster_ip() {
    let service = check_notes(
        json!({
            "clusterIPs": ["10.96.0.010", "10.96.0.11", "fe80::1"],
            "externalIPs": ["192.0.2.1", "127.0.0.1", "x"],
        }),
        json!({}),
        &[
            "spec.clusterIPs[1]: is a second address of the same family",
            "spec.clusterIPs[2]: fe80::1 is a link-local address, \
             which can be neither a frontend nor an endpoint",
            "spec.externalIPs[1]: 127.0.0.1 is a loopback address, \
             which can be neither a frontend nor an endpoint",
            "spec.externalIPs[2]: `x` is not an IP address",
        ],
    );
    assert_eq!(service.cluster_ips, ["10.96.0.10".parse::<IpAddr>().unwrap()]);
    assert_eq!(service.external_ips, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    check_rejected(json!({"clusterIP": "web"}), "spec.clusterIP: `web` is not an IP address");
}

#[test]
fn only_vips_of_a_load_balancer_count() {
    let status = json!({"loadBalancer": {"ingress": [
        {"ip": "198.51.100.1"},
        {"ip": "198.51.100.2", "ipMode": "VIP"},
        {"ip": "198.51.100.3", "ipMode": "Proxy"},
        {"hostname": "lb.test"},
        {"ip": "198.51.100.4", "ipMode": "Tunnel"},
        {"ip": "0.0.0.0"},
    ]}});
    let notes = [
        "status.loadBalancer.ingress[4].ipMode: `Tunnel` is not known here (VIP, Proxy)",
        "status.loadBalancer.ingress[5].ip: 0.0.0.0 is the unspecified address, \
         which can be neither a frontend nor an endpoint",
    ];
    let spec = json!({"type": "LoadBalancer"});
    let service = check_notes(spec, status.clone(), &notes);
    let expected: [IpAddr; 2] = [[198, 51, 100, 1].into(), [198, 51, 100, 2].into()];
    assert_eq!(service.load_balancer_ips, expected);
    let other = check_notes(json!({"type": "NodePort"}), status, &[]);
    assert!(other.load_balancer_ips.is_empty());
}

#[test]
fn health_check_ports_need_a_local_load_balancer() {
    #[track_caller]
    fn check(kind: &str, policy: &str, expected: Option<u16>) {
        let spec =
            json!({"type": kind, "externalTrafficPolicy": policy, "healthCheckNodePort": 31000});
        assert_eq!(converted(spec).service.health_check_node_port, expected);
    }
    check("LoadBalancer", "Local", Some(31_000));
    check("LoadBalancer", "Cluster", None);
    check("NodePort", "Local", None);
}

#[test]
fn a_range_that_cannot_be_read_never_opens_a_vip() {
    #[track_caller]
    fn check(ranges: &[&str], vips: &[&str], kept: &[&str], notes: &[&str]) {
        let ingress: Vec<_> = vips.iter().map(|ip| json!({"ip": ip})).collect();
        let service = check_notes(
            json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ranges}),
            json!({"loadBalancer": {"ingress": ingress}}),
            notes,
        );
        let kept: Vec<IpAddr> = kept.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(service.load_balancer_ips, kept);
    }
    let both = ["198.51.100.1", "2001:db8::1"];
    check(&[" 10.0.0.0/8 "], &both, &both, &[]);
    let bad = "spec.loadBalancerSourceRanges[1]: `192.0.2/24` is not a network in CIDR notation";
    check(&["10.0.0.0/8", "192.0.2/24"], &both, &both, &[bad]);
    let bad = "spec.loadBalancerSourceRanges[0]: `192.0.2/24` is not a network in CIDR notation";
    let left_out = "status.loadBalancer.ingress: the V4 addresses are left out: none of their \
                    source ranges can be read, and without one everybody would be let in";
    check(&["192.0.2/24", "fd00::/8"], &both, &["2001:db8::1"], &[bad, left_out]);
    check(&["192.0.2/24"], &["2001:db8::1"], &["2001:db8::1"], &[bad]);
}

#[test]
fn selectors_targets_and_families_are_kept_for_completion() {
    let draft = converted(json!({
        "selector": {"app": "web"},
        "publishNotReadyAddresses": true,
        "ipFamilyPolicy": "PreferDualStack",
        "ipFamilies": ["IPv6", "IPv4"],
        "ports": [
            {"name": "a", "port": 80, "targetPort": "http"},
            {"name": "b", "port": 81, "targetPort": 8081},
            {"name": "c", "port": 82, "targetPort": 0},
        ],
    }));
    let targets: Vec<_> = draft.ports.into_iter().map(|port| port.target).collect();
    let expected = [Target::Name("http".into()), Target::Number(8081), Target::Number(82)];
    assert_eq!(targets, expected);
    assert_eq!(draft.selector, [("app".to_owned(), "web".to_owned())].into());
    assert_eq!(draft.families, [IpFamily::V6, IpFamily::V4]);
    assert_eq!(draft.family_policy, FamilyPolicy::PreferDualStack);
    assert!(draft.publish_not_ready);
}
