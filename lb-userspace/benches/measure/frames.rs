//! Packets a second: a generator inside the kernel ([`crate::raw::generator`]) sends datagrams of so
//! many flows to a node as fast as it can, and they are counted where they arrive: at a pod of that
//! node, or at one of another node, the sink. Nobody reads them there.
//!
//! Each way to treat them has a node of its own, and all are measured in turn: plain routing to the
//! pod's own address; through a NodePort by the programs at tc; the same at XDP; and by the rules of
//! others, where the caller has scripts that make them.
//!
//! Flows are known before anything is counted: each has been answered. Their packets come in no order.
//! The generator and everything that the kernel does with a frame until it is dropped at its end are
//! in the time, on one processor for the most part; nothing leaves the machine.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use lb_common::Protocol;
use lb_testbed::{CLIENT, Cluster, Families, Launcher, Netns};
use lb_userspace::{kernel::XdpMode, model::FrontendKind};
use serde_json::{Value, json};

use crate::{
    node::Node,
    raw::{
        Raw,
        generator::{Frames, Generator, Sources},
        sink::{self, Fate},
    },
    service::{family_of, port},
};

/// Nodes in their order: without anything, with ours at tc and at XDP, the sink; then those with the
/// rules of others.
const DIRECT: &str = "node1";
const AT_TC: &str = "node2";
const AT_XDP: &str = "node3";
const SINK: &str = "node4";
const NODES: u8 = 4;

const DEVICE: &str = "eth0";
/// The pod that is on every node.
const POD: &str = "pod-";
/// Of NodePorts, that whose service has its backend here, and that whose has all of its elsewhere.
const NODE_PORTS: [u16; 2] = [30_001, 30_002];
/// First port of backends, and how many there are elsewhere: for each there are some 20,000 source
/// ports.
const BACKEND: u16 = 5_000;
const BACKENDS: u16 = 64;
/// How often a flow is met on average before anything is counted: hardly one is unknown then.
const VISITS: u32 = 4;
/// How long nothing must have arrived for all to have arrived, and how often to look.
const SETTLED: Duration = Duration::from_millis(5);
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// Where datagrams come from; the lower half is the generator's.
const SOURCE: [u8; 4] = [198, 18, 0, 0];

/// How much is measured.
#[derive(clap::Args)]
pub struct Args {
    /// Samples of each case, taken in turn
    #[arg(long, default_value_t = 5)]
    samples: u16,
    /// Frames of a sample
    #[arg(long, default_value_t = 300_000)]
    frames: u32,
    /// How many flows, once for each case, ascending
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000, 50_000, 500_000])]
    flows: Vec<u32>,
    /// Others: a name, and a script that a shell runs on that one's node, node5 and so on
    #[arg(long, value_name = "NAME=SCRIPT", value_parser = peer)]
    peer: Vec<(String, String)>,
}

fn peer(text: &str) -> Result<(String, String)> {
    let (name, script) = text.split_once('=').context("a name, =, and a script")?;
    Ok((name.to_owned(), script.to_owned()))
}

/// Where the backend is, seen from the node that the frames come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Here,
    Elsewhere,
}

impl Place {
    const BOTH: [Self; 2] = [Self::Here, Self::Elsewhere];
}

/// One of those who are measured: a node and a place.
struct Case {
    who: String,
    node: String,
    place: Place,
    to: SocketAddr,
    neighbour: [u8; 6],
    rates: Vec<f64>,
    shares: Vec<f64>,
}

impl Case {
    fn generator<'a>(&self, stage: &'a Stage, sources: Sources) -> Result<Generator<'a>> {
        Generator::new(&Frames {
            from: stage.cluster.netns("router")?,
            // The router's devices have the names of those behind them.
            device: &self.node,
            neighbour: self.neighbour,
            protocol: Protocol::Udp,
            source: SOURCE.into(),
            to: self.to,
            sources,
        })
    }

    /// The namespace where its packets end.
    fn end<'a>(&self, stage: &'a Stage) -> Result<&'a Netns> {
        Ok(match self.place {
            Place::Here => stage.cluster.netns(&format!("{POD}{}", self.node))?,
            Place::Elsewhere => stage.cluster.netns(SINK)?,
        })
    }

    /// Packets a second that arrive, and the share of those sent, in hundredths.
    fn sample(&self, stage: &Stage, flows: u32, frames: u32) -> Result<(f64, f64)> {
        let generator = self.generator(stage, Sources::Some { first: 0, count: flows })?;
        let end = self.end(stage)?;
        let before = received(end)?;
        let begun = Instant::now();
        generator.send(frames)?;
        let (mut last, mut arrived) = (begun.elapsed(), received(end)?);
        while begun.elapsed() < last + SETTLED {
            thread::sleep(LOOK_EVERY);
            let now = received(end)?;
            if now != arrived {
                (last, arrived) = (begun.elapsed(), now);
            }
        }
        let arrived = (arrived - before) as f64;
        Ok((arrived / last.as_secs_f64(), 100.0 * arrived / f64::from(frames)))
    }
}

/// Everything that packets pass.
struct Stage {
    sinks: Vec<Raw>,
    _nodes: Vec<Node>,
    cluster: Cluster,
}

/// The verb.
pub fn measure(args: &Args) -> Result<Value> {
    lb_testbed::require_rights()?;
    let most = args.flows.iter().copied().max().context("no number of flows")?;
    let (mut stage, mut cases) = raise(args, most)?;
    let mut found = Vec::new();
    for &flows in &args.flows {
        stage.end_with(Fate::Answered)?;
        for case in &cases {
            for part in Sources::parts(flows) {
                let Sources::Some { count, .. } = part else { bail!("sources without number") };
                case.generator(&stage, part)?.send((VISITS * count).max(100))?;
            }
        }
        stage.end_with(Fate::Dropped)?;
        for _ in 0..args.samples {
            for case in &mut cases {
                let (rate, share) = case.sample(&stage, flows, args.frames)?;
                case.rates.push(rate);
                case.shares.push(share);
            }
        }
        for case in &mut cases {
            found.push(json!({
                "who": case.who,
                "elsewhere": case.place == Place::Elsewhere,
                "flows": flows,
                "rates": std::mem::take(&mut case.rates),
                "shares": std::mem::take(&mut case.shares),
            }));
        }
    }
    Ok(json!({ "frames": args.frames, "cases": found }))
}

fn raise(args: &Args, most: u32) -> Result<(Stage, Vec<Case>)> {
    let nodes = NODES + u8::try_from(args.peer.len())?;
    let builder = Cluster::builder(Launcher::beside_tests()?).families(Families::Both);
    // Both ends of each cable take what XDP sends.
    let mut cluster = builder.like_hardware().nodes(nodes).build()?;
    let names: Vec<String> = cluster.nodes().map(str::to_owned).collect();
    for node in &names {
        cluster.add_pod(node, &format!("{POD}{node}"))?;
    }
    let client = address(&cluster, CLIENT)?;
    let sources = ipnet::Ipv4Net::new(SOURCE.into(), 16)?.into();
    cluster.netns("router")?.links(async |links| links.route(sources, client).await)?;
    // Each flow has two entries, in either place; some room is left.
    let entries = (5 * most).max(1 << 16);
    let mut ours = Vec::new();
    for (name, mode) in [(AT_TC, XdpMode::Off), (AT_XDP, XdpMode::Native)] {
        let mut node = Node::with(&cluster, name, entries, mode);
        node.attach_device(&cluster, name);
        node.program(services(&cluster, name)?);
        ours.push(node);
    }
    let mut who = vec![("direct", DIRECT), ("sluice at tc", AT_TC), ("sluice at XDP", AT_XDP)];
    for ((peer, script), node) in args.peer.iter().zip(&names[usize::from(NODES)..]) {
        run_script(&cluster, node, script)?;
        who.push((peer, node));
    }
    let mut cases = Vec::new();
    for (who, node) in who {
        for place in Place::BOTH {
            let host = if place == Place::Here { format!("{POD}{node}") } else { pod_of(SINK) };
            let to = match who {
                "direct" => (address(&cluster, &host)?, BACKEND).into(),
                _ => (address(&cluster, node)?, NODE_PORTS[place as usize]).into(),
            };
            let neighbour = ethernet(cluster.netns(node)?)?;
            let (who, node) = (who.to_owned(), node.to_owned());
            let (rates, shares) = Default::default();
            cases.push(Case { who, node, place, to, neighbour, rates, shares });
        }
    }
    Ok((Stage { sinks: Vec::new(), _nodes: ours, cluster }, cases))
}

impl Stage {
    /// Lets this become of what arrives at the pods and at the sink.
    fn end_with(&mut self, fate: Fate) -> Result<()> {
        self.sinks.clear();
        let pods = self.cluster.pods().map(|(pod, _)| pod).filter(|pod| *pod != pod_of(SINK));
        for place in pods.chain([SINK]) {
            self.sinks.push(sink::put(self.cluster.netns(place)?, DEVICE, fate)?);
        }
        Ok(())
    }
}

fn pod_of(node: &str) -> String {
    format!("{POD}{node}")
}

/// What a node of ours serves.
fn services(cluster: &Cluster, node: &str) -> Result<[lb_userspace::model::ServicePort; 2]> {
    let (own, here, elsewhere) = (
        address(cluster, node)?,
        address(cluster, &pod_of(node))?,
        address(cluster, &pod_of(SINK))?,
    );
    let service = |name, node_port| {
        let port = port(name, Protocol::Udp, family_of(own));
        port.at(FrontendKind::NodePort, (own, node_port).into())
    };
    let mut far = service("far", NODE_PORTS[1]);
    for number in 0..BACKENDS {
        far = far.elsewhere((elsewhere, BACKEND + number).into());
    }
    let near = service("near", NODE_PORTS[0]).local((here, BACKEND).into());
    Ok([near.build(), far.build()])
}

fn address(cluster: &Cluster, place: &str) -> Result<IpAddr> {
    cluster.addresses(place)?.first().copied().with_context(|| format!("{place} has no address"))
}

fn run_script(cluster: &Cluster, node: &str, script: &str) -> Result<()> {
    let place = cluster.place(node)?;
    let mut command = cluster.launcher().command(&place, "sh", vec![script.into()], true)?;
    // What it prints is for people; standard output is for the samples.
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{script}: {}", output.status);
    Ok(())
}

/// The Ethernet address of a place's device.
fn ethernet(netns: &Netns) -> Result<[u8; 6]> {
    let all = netns.enter(|| Ok(nix::ifaddrs::getifaddrs().map(Iterator::collect::<Vec<_>>)))??;
    let mut of_device = all.iter().filter(|one| one.interface_name == DEVICE);
    let address = of_device.find_map(|one| one.address.as_ref()?.as_link_addr()?.addr());
    address.context("a device without Ethernet address")
}

/// How many packets a place's device has received.
fn received(netns: &Netns) -> Result<u64> {
    let text = netns.enter(|| Ok(fs::read_to_string("/proc/thread-self/net/dev")))??;
    let line = text.lines().find_map(|line| line.trim().strip_prefix(DEVICE)?.strip_prefix(':'));
    let packets = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    packets.context("a device without counts")
}
