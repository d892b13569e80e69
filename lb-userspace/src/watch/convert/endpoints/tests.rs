use serde_json::{Value, json};

use super::*;

fn convert_object(metadata: Value, subsets: Value) -> (Option<EndpointsDraft>, Vec<String>) {
    let object = json!({"metadata": metadata, "subsets": subsets});
    let (draft, rejections) = endpoints(&serde_json::from_value(object).unwrap());
    (draft, rejections.iter().map(ToString::to_string).collect())
}

#[test]
fn each_family_of_a_subset_becomes_a_slice() {
    let subsets = json!([
        {
            "addresses": [{"ip": "10.0.0.1", "nodeName": "node-1"}, {"ip": "fd00::1"}],
            "notReadyAddresses": [{"ip": "10.0.0.2"}],
            "ports": [{"name": "http", "port": 8080}, {"name": "bad", "port": 0x1_0000}],
        },
        {"addresses": [{"ip": "10.0.0.3"}, {"ip": "169.254.0.1"}], "ports": [{"port": 53, "protocol": "UDP"}]},
    ]);
    let (draft, rejections) = convert_object(json!({"name": "db"}), subsets);
    assert_eq!(
        rejections,
        [
            "Endpoints default/db: subsets[0].ports[1].port: 65536 is not a port number (1 to 65535)",
            "Endpoints default/db: subsets[1].addresses[1].ip: 169.254.0.1 is a link-local \
             address, which can be neither a frontend nor an endpoint",
        ]
    );
    let slices = draft.unwrap().slices;
    let summary: Vec<_> = slices
        .iter()
        .map(|slice| {
            let ports: Vec<_> =
                slice.ports.iter().map(|p| format!("{}/{}", p.port, p.protocol)).collect();
            let ready: Vec<_> = slice
                .endpoints
                .iter()
                .map(|e| format!("{} {}", e.address, e.conditions.ready))
                .collect();
            (slice.name.to_string(), slice.family, ports, ready)
        })
        .collect();
    let (v4, v6) = (IpFamily::V4, IpFamily::V6);
    let row = |name: &str, family, ports: &[&str], ready: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        (name.to_owned(), family, owned(ports), owned(ready))
    };
    let expected = [
        row("db-mirrored-0-v4", v4, &["8080/TCP"], &["10.0.0.1 true", "10.0.0.2 false"]),
        row("db-mirrored-0-v6", v6, &["8080/TCP"], &["fd00::1 true"]),
        row("db-mirrored-1-v4", v4, &["53/UDP"], &["10.0.0.3 true"]),
    ];
    assert_eq!(summary, expected);
    assert!(slices.iter().all(|slice| slice.service == ServiceName::new("default", "db")));
    assert_eq!(slices[0].endpoints[0].node.as_deref(), Some("node-1"));
}

#[test]
fn what_the_controller_does_not_mirror_gives_nothing() {
    for metadata in [
        json!({"name": "db", "labels": {SKIP_LABEL: "true"}}),
        json!({"name": "db", "annotations": {LEADER_ANNOTATION: "{}"}}),
        json!({"name": "db", "labels": {"service.kubernetes.io/headless": ""}}),
    ] {
        assert_eq!(convert_object(metadata, json!([])), (None, vec![]));
    }
    let (draft, _) = convert_object(json!({"name": "db", "labels": {SKIP_LABEL: "1"}}), json!([]));
    assert!(draft.is_some());
}
