//! What tests share whose agents follow an API server: the objects they put there, and what the
//! tables hold of them.
//!
//! A pod answers on TCP [`HTTP`]; Services have one port, `http`, 80.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use lb_testbed::{Agent, RunningProbe};
use serde_json::{Value, json};

/// The program.
pub const SLUICE: &str = env!("CARGO_BIN_EXE_sluice");
/// Port of the pods' servers.
pub const HTTP: u16 = 8080;
/// Where callers are.
pub const CALLER: &str = "caller";
/// The address of the Service that most tests have, `web`.
pub const WEB: &str = "10.96.0.10";
/// How long something that an agent has heard of may take to be so.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Endpoints by Service and ClusterIP.
pub type Picture = BTreeMap<(String, String), BTreeSet<String>>;

/// What the tables of an agent's node hold.
pub fn held(agent: &Agent) -> Picture {
    let Ok(text_of_rows) = agent.inspect(&["services", "--json"]) else { return Picture::new() };
    let rows: Vec<Value> = serde_json::from_str(&text_of_rows).unwrap();
    rows.iter()
        .map(|row| {
            let endpoints = row["endpoints"].as_array().unwrap().iter().map(text).collect();
            ((text(&row["service"]), text(&row["frontends"][0]["address"])), endpoints)
        })
        .collect()
}

/// Stops traffic of which no call may have failed.
#[track_caller]
pub fn assert_unharmed(traffic: RunningProbe) {
    let report = traffic.stop().unwrap();
    assert!(report.answered() > 0, "no call was made");
    assert_eq!(report.errors, Default::default(), "of {} calls", report.answered());
}

/// A Service in namespace `default`.
pub fn service(name: &str, cluster_ip: &str) -> Value {
    json!({
        "metadata": {"namespace": "default", "name": name},
        "spec": {
            "type": "ClusterIP", "clusterIP": cluster_ip, "clusterIPs": [cluster_ip],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": HTTP}],
        },
    })
}

/// An endpoint that is ready.
pub fn endpoint(address: &str, node: &str) -> Value {
    json!({
        "addresses": [address], "nodeName": node,
        "conditions": {"ready": true, "serving": true, "terminating": false},
    })
}

/// A Service's slice of these endpoints.
pub fn slice(service: &str, endpoints: Vec<Value>) -> Value {
    json!({
        "metadata": {
            "namespace": "default", "name": format!("{service}-x"),
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": HTTP, "protocol": "TCP"}],
        "endpoints": endpoints,
    })
}

/// Names in alphabetical order.
pub fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort();
    names
}

/// Waits until something is so; tells how long it took, `None` if it never was.
pub fn until_within(patience: Duration, mut is_so: impl FnMut() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    loop {
        if is_so() {
            return Some(begun.elapsed());
        }
        if begun.elapsed() > patience {
            return None;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// A text, empty if it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
