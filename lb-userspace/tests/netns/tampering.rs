//! Somebody with rights on the node takes away what the agent put there.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aya::maps::{HashMap, Map, MapData};
use lb_common::{
    Ipv4,
    frontend::{Frontend, FrontendKey},
    names,
};
use lb_testbed::Agent;

use crate::stage::{HTTP_PORT, MAIN, Stage, inspect, service, until_logged};

/// The agent looks after its programs every ten seconds; the rest is for a busy machine.
const NOTICED: Duration = Duration::from_secs(30);

/// All pins below a folder.
fn pins(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { pins(&path) } else { vec![path] }).collect()
}

/// Waits until nobody is served, and then until `one` answers again.
#[track_caller]
fn until_served(stage: &Stage, agent: &Agent) {
    let removed = Instant::now();
    stage.until_who("caller", "10.96.0.10:80", None);
    while stage.who("caller", "10.96.0.10:80").is_none() {
        assert!(removed.elapsed() < NOTICED, "{}", agent.own_log().unwrap());
    }
    println!("served again after {} ms", removed.elapsed().as_millis());
    stage.assert_who("caller", "10.96.0.10:80", Some(&["one"]));
}

#[test]
fn an_agent_whose_pins_are_all_removed_serves_again_by_itself() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "caller");
    let web = service("web", &format!("clusterIP: 10.96.0.10, {HTTP_PORT}"));
    stage.write(MAIN, &[web, stage.endpoints("web", &["one"])]);
    let agent = stage.start("node1");
    stage.assert_who("caller", "10.96.0.10:80", Some(&["one"]));
    let programs = |status: serde_json::Value| status["programs"].as_array().unwrap().len();
    let before = (pins(agent.pins()).len(), programs(inspect(&agent, "status")));

    pins(agent.pins()).iter().for_each(|pin| fs::remove_file(pin).unwrap());
    until_served(&stage, &agent);
    until_logged(&agent, &["somebody took it away", "connect4"]);
    let after = (pins(agent.pins()).len(), programs(inspect(&agent, "status")));
    assert_eq!(after, before);
}

#[test]
fn an_emptied_table_is_filled_again_by_itself() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "caller");
    let web = service("web", &format!("clusterIP: 10.96.0.10, {HTTP_PORT}"));
    stage.write(MAIN, &[web, stage.endpoints("web", &["one"])]);
    let agent = stage.start("node1");
    stage.assert_who("caller", "10.96.0.10:80", Some(&["one"]));

    let pin = |name| pins(agent.pins()).into_iter().find(|pin| pin.ends_with(name)).unwrap();
    let table = Map::from_map_data(MapData::from_pin(pin(names::FRONTENDS_V4)).unwrap()).unwrap();
    let mut table: HashMap<_, FrontendKey<Ipv4>, Frontend> = table.try_into().unwrap();
    let keys: Vec<_> = table.keys().collect::<Result<_, _>>().unwrap();
    keys.iter().for_each(|key| table.remove(key).unwrap());
    // By itself this would be noticed within a minute; with a hook that is gone, at once.
    fs::remove_file(pin("getpeername6")).unwrap();
    until_served(&stage, &agent);
    until_logged(&agent, &["somebody changed the tables"]);
}
