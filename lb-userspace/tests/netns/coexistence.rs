//! kube-proxy beside us, and what one has left behind.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, Stdio},
    thread,
};

use lb_testbed::{
    Agent, AgentOptions, Error, Netns,
    firewall::{Family, plant},
};

use crate::stage::{SLUICE, Stage, until, until_logged};

/// A process called kube-proxy on a node; ends with the value.
struct Impostor(Child);

impl Impostor {
    fn start(stage: &Stage, node: &str) -> Self {
        let program = stage.cluster.folder().join("kube-proxy");
        fs::copy("/bin/sleep", &program).unwrap();
        let place = stage.cluster.place(node).unwrap();
        let launcher = stage.cluster.launcher();
        let mut command = launcher.command(&place, program, vec!["600".into()], false).unwrap();
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        // The worker has another name until it becomes the program.
        let name = format!("/proc/{}/comm", child.id());
        until(|| fs::read_to_string(&name).is_ok_and(|name| name == "kube-proxy\n")).unwrap();
        Self(child)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers every request at an address of a namespace with this, for as long as the test runs.
fn answer(netns: &Netns, at: &str, body: &'static str) {
    let at: SocketAddr = at.parse().unwrap();
    let mut listener = None;
    netns
        .enter(|| {
            listener = Some(TcpListener::bind(at).unwrap());
            Ok(())
        })
        .unwrap();
    thread::spawn(move || {
        for stream in listener.unwrap().incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let length = body.len();
            let _ = write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
}

fn start(stage: &Stage, flags: &[&str]) -> Result<Agent, Error> {
    let mut options = AgentOptions::new(SLUICE, stage.manifests());
    options.arguments.extend(flags.iter().map(Into::into));
    stage.cluster.start_agent("node1", &options)
}

#[track_caller]
fn refused(stage: &Stage, parts: &[&str]) {
    let complaint = start(stage, &[]).unwrap_err().to_string();
    for part in parts.iter().chain(&["--allow-kube-proxy"]) {
        assert!(complaint.contains(part), "no `{part}` in: {complaint}");
    }
}

#[test]
fn a_process_called_kube_proxy_in_the_nodes_network_keeps_the_agent_out() {
    let stage = Stage::new(2);
    let elsewhere = Impostor::start(&stage, "node2");
    drop(start(&stage, &[]).unwrap());
    drop(elsewhere);

    let here = Impostor::start(&stage, "node1");
    refused(&stage, &[&format!("process {} is kube-proxy", here.0.id())]);
    let agent = start(&stage, &["--allow-kube-proxy"]).unwrap();
    until_logged(&agent, &["WARN", "as allowed", &here.0.id().to_string()]);
    drop(agent);
    drop(here);
    drop(start(&stage, &[]).unwrap());
}

#[test]
fn whoever_answers_as_kube_proxy_does_keeps_the_agent_out_even_unseen() {
    let stage = Stage::new(1);
    let netns = stage.cluster.netns("node1").unwrap();
    answer(netns, "127.0.0.1:10249", "not found");
    drop(start(&stage, &["--metrics-bind-address="]).unwrap());

    let health = r#"{"lastUpdated": "2026-01-01 00:00:00", "currentTime": "2026-01-01 00:00:00"}"#;
    answer(netns, "[::]:10256", health);
    refused(&stage, &["[::]:10256 is the health server of a Service proxy"]);
    let stage = Stage::new(1);
    answer(stage.cluster.netns("node1").unwrap(), "0.0.0.0:10249", "nftables");
    refused(&stage, &["0.0.0.0:10249 is kube-proxy in mode nftables"]);
}

#[test]
fn rules_that_nobody_keeps_are_named_and_do_not_keep_the_agent_out() {
    let stage = Stage::new(1);
    let netns = stage.cluster.netns("node1").unwrap().path();
    let check = |expected: Option<&str>| {
        let agent = start(&stage, &[]).unwrap();
        match expected {
            Some(part) => {
                let line = until_logged(&agent, &["WARN", "has left rules behind", part]);
                assert!(line.contains("kube-proxy --cleanup"), "{line}");
            }
            None => assert!(!agent.own_log().unwrap().contains("left rules behind")),
        }
    };
    plant(netns, Family::Ip, "nat", "KUBE-KUBELET-CANARY").unwrap();
    plant(netns, Family::Inet, "other", "services").unwrap();
    check(None);
    plant(netns, Family::Ip, "nat", "KUBE-SERVICES").unwrap();
    check(Some("chains KUBE-SERVICES of iptables, table nat"));
    plant(netns, Family::Ip6, "kube-proxy", "services").unwrap();
    check(Some("table ip6 kube-proxy of nftables"));
}
