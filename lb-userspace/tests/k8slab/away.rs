//! Agents that cannot see the server while others change much.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use lb_testbed::{Agent, CLIENT, CONTROL, Probe, RunningProbe};
use serde_json::{Value, json};

use crate::{
    lab::{Lab, typed},
    watched::{
        CALLER, Picture, WEB, assert_unharmed, endpoint, held, service, slice, until_within,
    },
};

const SERVER: &str = "apiserver";
const PORT: u16 = 6443;
/// Another server on the same etcd, which agents do not know of.
const OTHER: &str = "other";
const OTHER_PORT: u16 = 6444;
const NODE_PORT: u16 = 30_080;
/// Objects that change while nobody looks.
const CHANGES: usize = 500;
const AWAY: Duration = Duration::from_secs(60);
/// How soon after the server's return the picture has to be exact.
const CATCHING_UP: Duration = Duration::from_secs(2);
/// The same after the cable's: a connection that was just being opened is tried again by the kernel
/// one, then two seconds later.
const CATCHING_UP_BY_CABLE: Duration = Duration::from_secs(5);
/// How long the first picture may take.
const FIRST: Duration = Duration::from_secs(20);

/// A Service with the endpoints it is to have.
struct Wanted {
    name: String,
    address: String,
    hosts: Vec<u8>,
}

impl Wanted {
    fn objects(&self) -> [Value; 2] {
        let endpoints =
            self.hosts.iter().map(|host| endpoint(&format!("10.244.1.{host}"), "node1"));
        [
            typed("Service", service(&self.name, &self.address)),
            typed("EndpointSlice", slice(&self.name, endpoints.collect())),
        ]
    }

    fn row(&self) -> ((String, String), BTreeSet<String>) {
        let endpoints = self.hosts.iter().map(|host| format!("10.244.1.{host}:8080"));
        ((format!("default/{}:http", self.name), self.address.clone()), endpoints.collect())
    }
}

fn objects(all: &[Wanted]) -> Vec<Value> {
    all.iter().flat_map(Wanted::objects).collect()
}

fn numbered(prefix: &str, numbers: impl Iterator<Item = usize>, hosts: &[u8]) -> Vec<Wanted> {
    numbers
        .map(|number| Wanted {
            name: format!("{prefix}-{number}"),
            address: format!("10.96.{}.{}", 10 + number / 250, number % 250 + 1),
            hosts: hosts.to_vec(),
        })
        .collect()
}

/// `kill`: the server is killed for a minute, and others write through a second one; else the
/// agents' cable to it is pulled and it goes on.
fn check(kill: bool) {
    let lab = Lab::new(&[]);
    let server = lab.start(SERVER, PORT);
    lab.install(SERVER);
    let before = numbered("s", 0..CHANGES / 5 * 3, &[2, 3]);
    web(&lab, SERVER, &["one", "two", "four"]);
    lab.apply(SERVER, &objects(&before));
    let agents = ["node1", "node2"].map(|node| lab.start_agent(node, SERVER, PORT));
    let picture = |all: &[Wanted]| all.iter().map(Wanted::row).collect();
    agents.iter().for_each(|agent| until_held(agent, &picture(&before), FIRST));
    let traffic = traffic(&lab);

    let begun = Instant::now();
    let (writer, mut server) = if kill {
        drop(server);
        (OTHER, None)
    } else {
        lab.cluster.plug(CONTROL, false).unwrap();
        (SERVER, Some(server))
    };
    let other = kill.then(|| lab.start(OTHER, OTHER_PORT));
    // Of what was there a third goes and a third gets other endpoints; and as much comes.
    let third = before.len() / 3;
    let (gone, rest) = before.split_at(third);
    let changed: Vec<_> = rest[..third]
        .iter()
        .map(|one| Wanted { name: one.name.clone(), address: one.address.clone(), hosts: vec![4] })
        .collect();
    let added = numbered("t", 1000..1000 + third, &[3]);
    lab.delete(writer, &objects(gone));
    lab.apply(
        writer,
        &objects(&changed)
            .into_iter()
            .filter(|one| one["kind"] == "EndpointSlice")
            .collect::<Vec<_>>(),
    );
    lab.apply(writer, &objects(&added));
    web(&lab, writer, &["two", "four"]);
    let changes = 2 * gone.len() + changed.len() + 2 * added.len() + 1;
    assert!(changes >= CHANGES, "{changes} changes");
    println!("{changes} changes after {:?}", begun.elapsed());
    thread::sleep(AWAY.saturating_sub(begun.elapsed()));
    agents.iter().for_each(|agent| assert_eq!(without_web(held(agent)), picture(&before)));

    let mut after: Vec<&Wanted> = changed.iter().chain(&added).collect();
    after.extend(&rest[third..]);
    let after: Picture = after.into_iter().map(Wanted::row).collect();
    if kill {
        drop(other);
        server = Some(lab.start(SERVER, PORT));
    } else {
        lab.cluster.plug(CONTROL, true).unwrap();
    }
    let back = Instant::now();
    let limit = if kill { CATCHING_UP } else { CATCHING_UP_BY_CABLE };
    agents.iter().for_each(|agent| until_held(agent, &after, limit));
    println!("exact {} ms after the return", back.elapsed().as_millis());
    assert!(back.elapsed() < limit, "exact {:?} after the return", back.elapsed());
    traffic.into_iter().for_each(assert_unharmed);
    drop(server);
}

fn traffic(lab: &Lab) -> Vec<RunningProbe> {
    let web = SocketAddr::new(WEB.parse().unwrap(), 80);
    let node = lab.cluster.addresses("node2").unwrap()[0];
    let probes = [
        (CALLER, Probe::tcp(web)),
        (CALLER, Probe::tcp(web).reusing()),
        ("node2", Probe::tcp(web)),
        (CLIENT, Probe::tcp((node, NODE_PORT).into())),
        (CLIENT, Probe::tcp((node, NODE_PORT).into()).reusing()),
    ];
    probes
        .into_iter()
        .map(|(from, probe)| {
            let probe = probe.until_stopped().timeout(Duration::from_secs(5));
            lab.cluster.start_probe(from, &probe).unwrap()
        })
        .collect()
}

/// The Service that everybody calls.
fn web(lab: &Lab, writer: &str, pods: &[&str]) {
    let mut web = typed("Service", service("web", WEB));
    web["spec"]["type"] = json!("NodePort");
    web["spec"]["ports"][0]["nodePort"] = json!(NODE_PORT);
    let endpoints = pods.iter().map(|pod| {
        let (address, node) = lab.pod(pod);
        endpoint(&address, &node)
    });
    let slice = typed("EndpointSlice", slice("web", endpoints.collect()));
    lab.apply(writer, &[web, slice]);
}

fn without_web(mut picture: Picture) -> Picture {
    picture.retain(|(name, _), _| name.contains("/s-") || name.contains("/t-"));
    picture
}

#[track_caller]
fn until_held(agent: &Agent, wanted: &Picture, patience: Duration) {
    let is = || without_web(held(agent)) == *wanted;
    if until_within(patience, is).is_none() {
        let held = without_web(held(agent));
        let all: BTreeSet<_> = wanted.keys().chain(held.keys()).collect();
        let differ = all.into_iter().filter(|key| held.get(key) != wanted.get(key)).count();
        panic!("{differ} rows differ after {patience:?}; log:\n{}", agent.own_log().unwrap());
    }
}

#[test]
fn a_server_killed_for_a_minute_costs_no_connection_and_is_caught_up_with() {
    check(true);
}

#[test]
fn agents_cut_off_for_a_minute_cost_no_connection_and_catch_up() {
    check(false);
}
