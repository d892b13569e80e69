//! Somebody with rights on the node takes away what the agent put there.

use std::{
    fs,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use aya::maps::{HashMap, Map, MapData};
use lb_common::{
    Ipv4,
    frontend::{Frontend, FrontendKey},
    names,
};
use lb_testbed::Agent;
use lb_userspace::kernel::sys;
use nix::net::if_::if_nametoindex;

use crate::{
    classifiers::{self, Way},
    replies::{self, carried, until_carried},
    stage::{HTTP_PORT, MAIN, Stage, inspect, service, until_logged, until_within},
};

/// The agent looks after its programs every ten seconds; the rest is for a busy machine.
const NOTICED: Duration = Duration::from_secs(30);
/// What it then says.
const TAKEN: &str = "somebody took it away; it is back";

/// All pins below a folder.
fn pins(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { pins(&path) } else { vec![path] }).collect()
}

/// Takes something away so that nobody is served, and waits until `one` answers again. The agent
/// stands still meanwhile, as it may be just about to look.
#[track_caller]
fn until_served(stage: &Stage, agent: &Agent, take_away: impl FnOnce()) {
    agent.pause().unwrap();
    take_away();
    stage.until_who("caller", "10.96.0.10:80", None);
    agent.resume().unwrap();
    let removed = Instant::now();
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

    until_served(&stage, &agent, || {
        pins(agent.pins()).iter().for_each(|pin| fs::remove_file(pin).unwrap());
    });
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
    until_served(&stage, &agent, || {
        keys.iter().for_each(|key| table.remove(key).unwrap());
        // By itself this would be noticed within a minute; with a hook that is gone, at once.
        fs::remove_file(pin("getpeername6")).unwrap();
    });
    until_logged(&agent, &["somebody changed the tables"]);
}

/// Takes the program that sends answers off a device, and more or less with it.
fn take_off(stage: &Stage, agent: &Agent, way: Way, device: &str, whole: bool) {
    match (way, whole) {
        (Way::Filters, false) => {
            classifiers::done(stage, &format!("filter del dev {device} ingress pref 20943"), &[]);
        }
        (Way::Filters, true) => {
            classifiers::done(stage, &format!("qdisc del dev {device} clsact"), &[]);
        }
        (Way::Links, _) => {
            let name = format!("{}-{}", names::TC_REPLY, index(stage, device));
            let pin = pins(agent.pins()).into_iter().find(|pin| pin.ends_with(&name)).unwrap();
            match whole {
                true => fs::remove_file(pin).unwrap(),
                false => sys::link_detach(sys::object_get(&pin).unwrap().as_fd()).unwrap(),
            }
        }
    }
}

#[test]
fn programs_that_send_answers_of_pods_come_back_by_themselves() {
    for way in Way::ALL {
        let stage = replies::stage_of(way);
        let agent = replies::start(&stage);
        let devices = replies::devices(&stage);
        agent.pause().unwrap();
        for (device, whole) in devices.iter().zip([false, true]) {
            take_off(&stage, &agent, way, device, whole);
            until_carried(&stage, device, [0, 0]);
        }
        agent.resume().unwrap();
        let back = || devices.iter().all(|device| carried(&stage, device) == way.only(1));
        let took = until_within(NOTICED, back).unwrap_or_else(|| panic!("{way:?}"));
        println!("{way:?}: back after {} ms", took.as_millis());
        for device in &devices {
            until_logged(&agent, &["WARN", TAKEN, &format!("tc_reply on {device}")]);
        }
        let log = agent.own_log().unwrap();
        assert_eq!(log.matches(TAKEN).count(), devices.len(), "{log}");
        replies::assert_straight(&stage, &agent);
    }
}

/// The kernel tells of both at once, and the agent sees no difference: even the number is the same.
#[test]
fn a_device_in_place_of_another_gets_the_program_that_sends_answers() {
    for way in Way::ALL {
        let stage = replies::stage_of(way);
        let agent = replies::start(&stage);
        let [_, device] = replies::devices(&stage);
        let node = stage.cluster.netns("node1").unwrap();
        let index = index(&stage, &device);
        agent.pause().unwrap();
        node.links(async |links| links.delete(&device).await).unwrap();
        let far = stage.cluster.netns("apart").unwrap().path().display();
        let pair = format!("link add {device} index {index} type veth peer name eth0 netns {far}");
        let ip = || Ok(Command::new("ip").args(pair.split(' ')).output().unwrap());
        let made = node.enter(ip).unwrap();
        assert!(made.status.success(), "{made:?}");
        assert_eq!(carried(&stage, &device), [0, 0]);
        agent.resume().unwrap();
        let back = || carried(&stage, &device) == way.only(1);
        until_within(NOTICED, back).unwrap_or_else(|| panic!("{way:?}"));
        until_logged(&agent, &["WARN", TAKEN, &format!("tc_reply on {device}")]);
    }
}

fn index(stage: &Stage, device: &str) -> u32 {
    let node = stage.cluster.netns("node1").unwrap();
    node.enter(|| Ok(if_nametoindex(device).unwrap())).unwrap()
}
