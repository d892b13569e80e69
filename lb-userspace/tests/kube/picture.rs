//! Whether an agent's tables hold exactly what an API server holds: every Service with every one of
//! its endpoints, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lb_testbed::{Agent, api::ApiServer};

use crate::watched::text;
pub use crate::watched::{Picture, held};

use crate::stage::{SERVICES, SLICES, until_within};

/// How many rows that differ are shown.
const EXAMPLES: usize = 5;

/// What the server's objects come to: Services of one port with a ClusterIP, ready endpoints.
pub fn wanted(api: &ApiServer) -> Picture {
    let mut endpoints: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for slice in api.objects(SLICES) {
        let service = &slice["metadata"]["labels"]["kubernetes.io/service-name"];
        let of = endpoints.entry(text(service)).or_default();
        let port = &slice["ports"][0]["port"];
        let all = slice["endpoints"].as_array().into_iter().flatten();
        of.extend(all.map(|one| format!("{}:{port}", text(&one["addresses"][0]))));
    }
    let services = api.objects(SERVICES).into_iter();
    services
        .map(|service| {
            let name = text(&service["metadata"]["name"]);
            let address = text(&service["spec"]["clusterIP"]);
            let endpoints = endpoints.get(&name).cloned().unwrap_or_default();
            ((format!("default/{name}:http"), address), endpoints)
        })
        .collect()
}

/// Waits until the one is the other; tells how long it took.
#[track_caller]
pub fn until_exact(agent: &Agent, api: &ApiServer, patience: Duration) -> Duration {
    let wanted = wanted(api);
    let took = until_within(patience, || held(agent) == wanted);
    took.unwrap_or_else(|| {
        let held = held(agent);
        let all: BTreeSet<_> = wanted.keys().chain(held.keys()).collect();
        let differ: Vec<_> =
            all.into_iter().filter(|key| held.get(key) != wanted.get(key)).collect();
        let some = differ.iter().take(EXAMPLES);
        some.for_each(|key| println!("{key:?}: {:?}, not {:?}", held.get(key), wanted.get(key)));
        let log = agent.own_log().unwrap();
        panic!("{} rows differ after {patience:?}; log:\n{log}", differ.len())
    })
}
