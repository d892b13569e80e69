//! Packets a second: what lb-userspace/benches/measure/frames.rs measures, beside plain routing and
//! beside the peers' rules for the same two services.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{
    Measured,
    peers::{Batch, Peer},
    programs::Programs,
    report::{Axis, Line, Plot, Row, Section},
    samples::{Comparison, Summary},
    services::{Endpoint, Family, Port, Protocol, Service, Site},
};
use crate::workspace;

/// What the others are held against.
const DIRECT: &str = "direct";
/// The peers, with their nodes' numbers and names.
const PEERS: [(Peer, u8, &str); 2] = [(Peer::Iptables, 5, "node5"), (Peer::Nftables, 6, "node6")];
/// What the measurement's services are: NodePorts, and endpoints on the peer's own node and on the
/// one where the others' packets end.
const NODE_PORTS: [u16; 2] = [30_001, 30_002];
const END: u8 = 4;
const FIRST_BACKEND: u16 = 5_000;
const BACKENDS: u16 = 64;

#[derive(Deserialize)]
struct Found {
    frames: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    who: String,
    v6: bool,
    elsewhere: bool,
    flows: u32,
    /// Packets a second that arrived.
    rates: Vec<f64>,
    /// Of those sent, in hundredths.
    shares: Vec<f64>,
}

impl Case {
    fn place(&self) -> &'static str {
        if self.elsewhere { "backend elsewhere" } else { "backend here" }
    }

    fn rows(&self, direct: &Self) -> [Row; 2] {
        let family = if self.v6 { "IPv6" } else { "IPv4" };
        let what = format!("{}, {} flows, {family}, {}", self.place(), self.flows, self.who);
        let rate = Row::new(what.clone(), "/s", Summary::of(&self.rates));
        let share = Row::new(format!("{what}: arrived"), "%", Summary::of(&self.shares));
        let is_direct = self.who == DIRECT;
        let beside = || Comparison::of(&self.rates, &direct.rates);
        [if is_direct { rate } else { rate.beside(beside()) }, share]
    }
}

/// Measures.
pub fn measure(programs: &Programs, quick: bool) -> Result<Measured> {
    let (samples, frames, flows) =
        if quick { (5, 50_000, "1,1000,50000") } else { (5, 100_000, "1,1000,50000,500000") };
    let arguments = [format!("--samples={samples}"), format!("--frames={frames}")];
    let mut arguments =
        [vec!["frames".to_owned(), format!("--flows={flows}")], arguments.into()].concat();
    for (peer, number, node) in PEERS {
        arguments.push(format!("--peer={}={}", peer.name(), script(peer, number, node)?));
    }
    let Found { frames, cases } = programs.measure(&arguments)?;
    let mut rows = Vec::new();
    for case in &cases {
        let beside = |other: &&Case| {
            let alike = (other.v6, other.elsewhere, other.flows);
            other.who == DIRECT && alike == (case.v6, case.elsewhere, case.flows)
        };
        rows.extend(case.rows(cases.iter().find(beside).context("nothing was sent directly")?));
    }
    let notes = vec![
        format!("UDP, by live frames: {samples} samples of {frames} frames, taken in turn"),
        "baseline: the same frames by plain routing to the backend's own address".to_owned(),
        "iptables and nftables are left out where the kernel's own table (nf_conntrack_max) has no \
         room for so many flows"
            .to_owned(),
        "with a backend elsewhere also what the bridge between the nodes takes".to_owned(),
    ];
    let plots = [false, true].map(|elsewhere| plot(&cases, elsewhere)).into();
    let section = Section { title: "Packets a second".to_owned(), notes, rows, plots };
    Ok((section, Vec::new()))
}

/// Writes what makes a peer's rules on its node, and tells where it stands.
fn script(peer: Peer, number: u8, node: &'static str) -> Result<String> {
    let mut text = "set -e\n".to_owned();
    for family in [Family::V4, Family::V6] {
        let (site, services) = rules(number, node, family);
        for Batch { command, input } in [peer.foundation(&site), peer.full(&services, &site)] {
            write!(text, "{} <<'END OF INPUT'\n{input}\nEND OF INPUT\n", command.join(" "))?;
        }
    }
    let path = workspace::root().join("target").join(format!("frames-{}.sh", peer.name()));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}

/// Both services, as they are on the peer's node.
fn rules(number: u8, node: &'static str, family: Family) -> (Site, [Service; 2]) {
    // A node's address ends in the same digits in both families, and 15 is not 0x15.
    let own = match family {
        Family::V4 => Ipv4Addr::new(192, 168, 50, 10 + number).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 0x10 + u16::from(number)).into(),
    };
    let endpoint = |place: u8, port| {
        let address: SocketAddr = match family {
            Family::V4 => (Ipv4Addr::new(10, 244, place, 2), port).into(),
            Family::V6 => (Ipv6Addr::new(0xfd00, 0x244, place.into(), 0, 0, 0, 0, 2), port).into(),
        };
        Endpoint { address, node }
    };
    let near = vec![endpoint(number, FIRST_BACKEND)];
    let far = (0..BACKENDS).map(|more| endpoint(END, FIRST_BACKEND + more)).collect();
    let service = |name: &str, last, node_port, endpoints| Service {
        name: name.to_owned(),
        cluster_ips: vec![match family {
            Family::V4 => Ipv4Addr::new(10, 96, 0, last).into(),
            Family::V6 => Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, last.into()).into(),
        }],
        ports: vec![Port { number: 53, protocol: Protocol::Udp, node_port: Some(node_port) }],
        endpoints,
    };
    let services =
        [service("near", 10, NODE_PORTS[0], near), service("far", 11, NODE_PORTS[1], far)];
    (Site::of(own), services)
}

fn plot(cases: &[Case], elsewhere: bool) -> Plot {
    let mut lines: Vec<Line> = Vec::new();
    let mut title = String::new();
    for case in cases.iter().filter(|case| !case.v6 && case.elsewhere == elsewhere) {
        title = format!("Packets a second through a NodePort, IPv4, {}", case.place());
        let point = (f64::from(case.flows), Summary::of(&case.rates));
        match lines.iter_mut().find(|line| line.name == case.who) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name: case.who.clone(), points: vec![point] }),
        }
    }
    Plot { title, x: Axis::log("flows"), y: Axis::linear("packets a second"), lines }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{PEERS, script};

    #[test]
    fn a_script_makes_both_services_on_the_peers_own_node() {
        for (peer, number, node) in PEERS {
            let text = fs::read_to_string(script(peer, number, node).unwrap()).unwrap();
            let near = format!("10.244.{number}.2:5000");
            let near_v6 = format!("[fd00:244:{number}::2]:5000");
            for wanted in [
                "30001",
                "30002",
                "10.244.4.2:5063",
                "[fd00:244:4::2]:5063",
                near.as_str(),
                near_v6.as_str(),
            ] {
                let spaced = wanted.replace(':', " . ");
                assert!(text.contains(wanted) || text.contains(&spaced), "{wanted}:\n{text}");
            }
        }
    }
}
