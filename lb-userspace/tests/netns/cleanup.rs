//! Taking everything away again.

use std::{fs, path::Path};

use lb_testbed::Agent;

use crate::{
    classifiers::{self, Way},
    delivery::device,
    replies::{self, carried, until_carried},
    stage::{MAIN, Stage, complaint, inspect, service, until},
};

const WEB: &str = "10.96.0.10:80";

/// A Service that answers inside and outside.
fn stage() -> (Stage, String) {
    let stage = Stage::new(1).with("node1", "one").with("node1", "caller");
    let ports = "ports: [{name: http, port: 80, nodePort: 30080}]";
    let web = service("web", &format!("type: NodePort, clusterIP: 10.96.0.10, {ports}"));
    stage.write(MAIN, &[web, stage.endpoints("web", &["one"])]);
    let node_port = format!("{}:30080", stage.address("node1", true).unwrap());
    (stage, node_port)
}

/// Kernel numbers of everything that is attached for an agent.
fn links(agent: &Agent) -> Vec<u64> {
    let status = inspect(agent, "status");
    let programs = status["programs"].as_array().unwrap().iter();
    programs.map(|row| row["link_id"].as_u64().unwrap()).collect()
}

#[test]
fn cleanup_leaves_nothing_and_can_be_repeated() {
    let (stage, node_port) = stage();
    let agent = stage.start_with("node1", &["--xdp", "generic"]);
    stage.assert_who("caller", WEB, Some(&["one"]));
    stage.assert_who("client", &node_port, Some(&["one"]));
    let pins = agent.pins().to_str().unwrap().to_owned();
    let links = links(&agent);
    // Eight on the cgroup, tc both ways and XDP on the device.
    assert_eq!(links.len(), 11);
    assert_eq!(in_kernel(&links), links.len());
    let cleanup = || stage.sluice("node1", &["cleanup", "--pin-path", &pins]);

    let refused = complaint(&cleanup());
    assert_eq!(refused.0, Some(1), "while an agent runs");
    assert!(refused.1.contains("in use"), "{refused:?}");
    stage.assert_who("caller", WEB, Some(&["one"]));
    stage.assert_who("client", &node_port, Some(&["one"]));

    agent.stop().unwrap();
    stage.assert_who("caller", WEB, Some(&["one"]));
    stage.assert_who("client", &node_port, Some(&["one"]));
    let done = cleanup();
    assert!(done.status.success(), "{done:?}");
    println!("{}", String::from_utf8_lossy(&done.stdout));
    assert!(!Path::new(&pins).exists());
    stage.assert_who("caller", WEB, None);
    stage.assert_who("client", &node_port, None);
    // The kernel forgets a link some time after the last who held it.
    assert!(until(|| in_kernel(&links) == 0).is_some(), "something is still attached");

    let again = cleanup();
    assert!(again.status.success(), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to remove"));

    // A start after it is a first start.
    let _agent = stage.start("node1");
    stage.assert_who("caller", WEB, Some(&["one"]));
    stage.assert_who("client", &node_port, Some(&["one"]));
}

/// On devices of pods, one of which goes after the agent.
#[test]
fn cleanup_takes_the_program_off_that_sends_answers_of_pods() {
    for way in Way::ALL {
        let mut stage = replies::stage_of(way);
        stage.add_pod("node1", "leaving");
        stage.cluster.set_apart("leaving").unwrap();
        let leaving = device(&stage, "leaving");
        let devices = replies::devices(&stage);
        devices.iter().for_each(|device| classifiers::plant(&stage, device));
        let planted = || devices.each_ref().map(|device| classifiers::planted(&stage, device));
        let theirs = planted();
        assert!(theirs.iter().all(|filters| !filters.is_empty()));
        let agent = replies::start(&stage);
        for device in devices.iter().chain([&leaving]) {
            until_carried(&stage, device, way.only(1));
        }
        let pins = agent.pins().to_str().unwrap().to_owned();
        let links = links(&agent);
        assert_eq!(in_kernel(&links), links.len());
        let outside = || classifiers::ours(&stage, "tc_ingress", "eth0");
        assert_eq!(outside(), way.only(1));

        agent.stop().unwrap();
        for device in &devices {
            assert_eq!(carried(&stage, device), way.only(1), "answers outlive the agent");
        }
        let node = stage.cluster.netns("node1").unwrap();
        node.links(async |links| links.delete(&leaving).await).unwrap();
        let done = stage.sluice("node1", &["cleanup", "--pin-path", &pins]);
        assert!(done.status.success(), "{way:?}: {done:?}");
        assert_eq!(String::from_utf8_lossy(&done.stderr), "", "{way:?}");
        assert!(!Path::new(&pins).exists());
        assert!(until(|| in_kernel(&links) == 0).is_some(), "{way:?}: something is still attached");
        for device in &devices {
            assert_eq!(carried(&stage, device), [0, 0], "{device}");
        }
        assert_eq!(outside(), [0, 0]);
        assert_eq!(planted(), theirs);
    }
}

/// How many of these links the kernel knows. One may go while they are listed.
fn in_kernel(links: &[u64]) -> usize {
    let all = aya::programs::loaded_links().filter_map(Result::ok).map(|info| info.id());
    all.filter(|id| links.contains(&u64::from(*id))).count()
}

#[test]
fn cleanup_keeps_its_hands_off_folders_that_are_no_pins() {
    let stage = Stage::new(1);
    let folder = stage.cluster.folder().join("precious");
    fs::create_dir_all(folder.join("v1/maps")).unwrap();
    fs::write(folder.join("v1/maps/map-of-the-house"), "").unwrap();
    let output = stage.sluice("node1", &["cleanup", "--pin-path", folder.to_str().unwrap()]);
    let (code, complaint) = complaint(&output);
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("bpf filesystem"), "{complaint}");
    assert!(folder.join("v1/maps/map-of-the-house").exists());
}
