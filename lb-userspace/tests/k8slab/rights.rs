//! The rights that the manifests grant: enough for all that an agent does, and none that it does not
//! use.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use lb_testbed::{CLIENT, Probe};
use serde_json::{Value, json};

use crate::{
    lab::{Lab, typed},
    watched::{CALLER, PATIENCE, WEB, endpoint, service, slice, sorted, until_within},
};

const SERVER: &str = "apiserver";
const PORT: u16 = 6443;
const NODE_PORT: u16 = 30_080;
/// Held on a node by somebody else, so that an agent has something to say of the Service.
const TAKEN_PORT: u16 = 32_000;
const LB_ADDRESS: &str = "198.51.100.7";
/// How long an Event may take.
const EVENT: Duration = Duration::from_secs(30);

/// API group, resource and verb.
type Right = (String, String, String);

#[test]
fn agents_work_with_the_rights_of_the_manifests_and_use_all_of_them() {
    let mut used = BTreeSet::new();
    let mut granted = BTreeSet::new();
    for flags in [&[] as &[&str], &["--feature-gates=WatchList=false"]] {
        let lab = Lab::new(flags);
        let _server = lab.start(SERVER, PORT);
        lab.install(SERVER);
        work(&lab);
        let log = lab.log(SERVER);
        let requests: Vec<_> = log.lines().filter_map(Logged::parse).collect();
        assert!(!requests.is_empty(), "no request of an agent is in the server's log");
        let refused: Vec<_> =
            requests.iter().filter(|one| one.code >= 400 && one.code != 409).collect();
        let refused: Vec<_> =
            refused.into_iter().filter(|one| one.code == 401 || one.code == 403).collect();
        assert!(refused.is_empty(), "{flags:?}: {refused:#?}");
        used.extend(requests.into_iter().map(|one| one.right));
        granted = rights(&lab);
    }
    let unused: Vec<_> = granted.difference(&used).collect();
    assert!(unused.is_empty(), "granted and not used: {unused:#?}");
    let more: Vec<_> = used.difference(&granted).collect();
    assert!(more.is_empty(), "used and not granted: {more:#?}");
    println!("granted, and used: {used:#?}");
}

/// Everything that an agent has to do with the server.
fn work(lab: &Lab) {
    let pods = |names: &[&str]| {
        let endpoints = names.iter().map(|name| {
            let (address, node) = lab.pod(name);
            endpoint(&address, &node)
        });
        typed("EndpointSlice", slice("web", endpoints.collect()))
    };
    let mut web = typed("Service", service("web", WEB));
    web["spec"]["type"] = json!("NodePort");
    web["spec"]["ports"][0]["nodePort"] = json!(NODE_PORT);
    lab.apply(SERVER, &[web, pods(&["one", "two"])]);
    // A listener that was there first.
    let _other = lab.cluster.serve("node1", &[TAKEN_PORT], &[]).unwrap();
    let agents = ["node1", "node2"].map(|node| lab.start_agent(node, SERVER, PORT));

    let node = lab.cluster.addresses("node2").unwrap()[0];
    let web = SocketAddr::new(WEB.parse().unwrap(), 80);
    let calls = [(CALLER, web), ("node2", web), (CLIENT, (node, NODE_PORT).into())];
    for names in [&["one", "two"] as &[&str], &["three", "four"], &["four"]] {
        lab.apply(SERVER, &[pods(names)]);
        for (from, to) in calls {
            let probe = Probe::tcp(to).requests(24).timeout(Duration::from_secs(1));
            let answered = || {
                let report = lab.cluster.probe(from, &probe).unwrap();
                report.failed() == 0 && report.by_pod().keys().eq(sorted(names).iter())
            };
            assert!(until_within(PATIENCE, answered).is_some(), "{names:?} at {to} from {from}");
        }
    }
    incident(lab);
    for agent in &agents {
        let log = agent.own_log().unwrap().to_lowercase();
        assert!(!log.contains("forbidden") && !log.contains("unauthorized"), "{log}");
    }
}

/// A health check port that is taken: an Event tells, twice.
fn incident(lab: &Lab) {
    let mut public = typed("Service", service("public", "10.96.0.20"));
    public["spec"]["type"] = json!("LoadBalancer");
    public["spec"]["externalTrafficPolicy"] = json!("Local");
    public["spec"]["healthCheckNodePort"] = json!(TAKEN_PORT);
    public["spec"]["ports"][0]["nodePort"] = json!(NODE_PORT + 1);
    let (address, node) = lab.pod("one");
    let slice = typed("EndpointSlice", slice("public", vec![endpoint(&address, &node)]));
    lab.apply(SERVER, &[public, slice]);
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": LB_ADDRESS}]}}});
    let patch = status.to_string();
    let arguments =
        ["patch", "service", "public", "--subresource=status", "--type=merge", "-p", &patch];
    lab.kubectl(SERVER, &arguments, "");
    let told = || {
        let events = lab.kubectl(SERVER, &["get", "events", "-o", "json"], "");
        let events: Value = serde_json::from_str(&events).unwrap();
        let mut events = events["items"].as_array().unwrap().iter();
        events.any(|event| event["involvedObject"]["name"] == "public")
    };
    assert!(until_within(EVENT, told).is_some(), "no Event tells of a port that is taken");
}

/// A request of an agent in the server's log.
#[derive(Debug)]
struct Logged {
    right: Right,
    code: u16,
}

impl Logged {
    /// A line such as `... "HTTP" verb="LIST" URI="/api/v1/nodes?limit=1" ... userAgent="sluice/..."
    /// ... resp=200`.
    fn parse(line: &str) -> Option<Self> {
        let value = |key: &str| {
            let rest = &line[line.find(&format!(" {key}="))? + key.len() + 2..];
            let rest = rest.strip_prefix('"').unwrap_or(rest);
            Some(&rest[..rest.find(['"', ' ']).unwrap_or(rest.len())])
        };
        if !line.contains("\"HTTP\"") || !value("userAgent")?.starts_with("sluice") {
            return None;
        }
        let path = value("URI")?.split('?').next()?;
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let resource = match rest {
            ["namespaces", _, resource, ..] | [resource, ..] => *resource,
            [] => return None,
        };
        let verb = match value("verb")? {
            "POST" => "create".to_owned(),
            other => other.to_lowercase(),
        };
        let code = value("resp")?.parse().ok()?;
        Some(Self { right: (group.into(), resource.into(), verb), code })
    }
}

/// What the ClusterRole grants.
fn rights(lab: &Lab) -> BTreeSet<Right> {
    let role = lab.kubectl(SERVER, &["get", "clusterrole", "sluice", "-o", "json"], "");
    let role: Value = serde_json::from_str(&role).unwrap();
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let verbs = texts(&rule["verbs"]).into_iter();
                rights.extend(verbs.map(|verb| (group.clone(), resource.clone(), verb)));
            }
        }
    }
    rights
}

#[test]
fn a_logged_request_is_read() {
    let line = "I1 1 httplog.go:134] \"HTTP\" verb=\"WATCH\" \
                URI=\"/apis/discovery.k8s.io/v1/endpointslices?watch=true\" latency=\"5ms\" \
                userAgent=\"sluice/0.1.0\" audit-ID=\"x\" srcIP=\"10.0.0.1:1\" resp=200";
    let logged = Logged::parse(line).unwrap();
    let right = ["discovery.k8s.io", "endpointslices", "watch"].map(str::to_owned);
    assert_eq!((logged.right, logged.code), (right.into(), 200));
}
