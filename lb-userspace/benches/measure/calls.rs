//! What the socket hooks add to the calls that they sit on: a process of its own makes the same call
//! again and again in the node's cgroup, where the hooks are, and another one outside of it, in
//! turn. Where a service is called, the one without hooks calls its endpoint, an address of the node,
//! which is where the other one ends as well.
//!
//! What is sent is a datagram longer than any may be: it is refused after the hook and the search for
//! a route, and what becomes of packets is in none of the times.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Stdio,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use lb_common::Protocol;
use lb_testbed::{CLIENT, Cluster, Families, Launcher, Place};
use lb_userspace::model::FrontendKind;
use nix::libc::EMSGSIZE;
use serde_json::{Value, json};

use crate::{
    node::Node,
    service::{family_of, port},
};

const NODE: &str = "node1";
/// The endpoint's port, and the service's.
const ENDPOINT: u16 = 5_353;
const SERVICE: u16 = 53;
/// Bytes of what is sent: calls that are for more are refused before the hook.
const TOO_LONG: usize = 65_530;
/// Calls that are timed together; a sample is the median of so many times.
const BATCH: u32 = 500;
const BATCHES: usize = 40;

/// How much is measured.
#[derive(clap::Args)]
pub struct Args {
    /// Samples of each call, taken in turn
    #[arg(long, default_value_t = 15)]
    samples: u16,
}

/// One call, made again and again.
#[derive(clap::Args)]
pub struct OneArgs {
    /// Which call
    #[arg(long, value_enum)]
    call: Call,
    /// The address it is made with
    #[arg(long)]
    to: SocketAddr,
}

/// A call that has a hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Call {
    /// Of a UDP socket, which sends nothing
    Connect,
    /// Of a UDP socket that is not connected, with a datagram that is too long
    Sendto,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Sendto => "sendto",
        }
    }
}

/// A call with hooks and one without.
struct Case {
    call: Call,
    hooked: SocketAddr,
    plain: SocketAddr,
    found: [Vec<f64>; 2],
}

impl Case {
    fn json(&self) -> Value {
        json!({
            "call": self.call.name(),
            "family": if self.plain.is_ipv4() { "IPv4" } else { "IPv6" },
            "service": self.hooked != self.plain,
            "hooked": self.found[0],
            "plain": self.found[1],
        })
    }
}

/// The verb.
pub fn measure(args: &Args) -> Result<Value> {
    lb_testbed::require_rights()?;
    let cluster =
        Cluster::builder(Launcher::beside_tests()?).families(Families::Both).nodes(1).build()?;
    let mut node = Node::new(&cluster, NODE);
    let mut cases = Vec::new();
    for address in cluster.addresses(NODE)? {
        let endpoint = SocketAddr::new(*address, ENDPOINT);
        let service = SocketAddr::new(cluster_ip(*address), SERVICE);
        let family = family_of(*address);
        let name = format!("dns-{family:?}").to_lowercase();
        let port = port(&name, Protocol::Udp, family).at(FrontendKind::ClusterIp, service);
        node.program([port.local(endpoint).build()]);
        for call in [Call::Connect, Call::Sendto] {
            for hooked in [endpoint, service] {
                cases.push(Case { call, hooked, plain: endpoint, found: Default::default() });
            }
        }
    }
    let hooked = cluster.place(NODE)?;
    let plain = Place { netns: hooked.netns.clone(), cgroup: cluster.place(CLIENT)?.cgroup };
    for round in 0..usize::from(args.samples) {
        for case in &mut cases {
            let mut sides = [(0, &hooked, case.hooked), (1, &plain, case.plain)];
            // Who goes first takes turns too.
            sides.rotate_left(round % 2);
            for (side, place, to) in sides {
                case.found[side].push(in_place(&cluster, place, case.call, to)?);
            }
        }
    }
    let cases: Vec<Value> = cases.iter().map(Case::json).collect();
    Ok(json!({ "calls": BATCH as usize * BATCHES, "cases": cases }))
}

fn cluster_ip(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { [10, 96, 0, 10].into() } else { [0xfd00, 0x96, 0, 0, 0, 0, 0, 10].into() }
}

/// Nanoseconds a call, by a process in a place.
fn in_place(cluster: &Cluster, place: &Place, call: Call, to: SocketAddr) -> Result<f64> {
    let program = std::env::current_exe()?;
    let arguments = ["call", "--call", call.name(), "--to", &to.to_string()].map(Into::into);
    let mut command = cluster.launcher().command(place, program, arguments.into(), true)?;
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{} to {to}: {}", call.name(), output.status);
    let text = String::from_utf8(output.stdout)?;
    text.trim().parse().with_context(|| format!("{} to {to}: {text:?}", call.name()))
}

/// The verb of the process that makes the calls.
pub fn one(args: &OneArgs) -> Result<Value> {
    let from: IpAddr = if args.to.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((from, 0))?;
    let datagram = vec![0; TOO_LONG];
    let mut batches = Vec::new();
    for _ in 0..BATCHES {
        let begun = Instant::now();
        for _ in 0..BATCH {
            match args.call {
                Call::Connect => socket.connect(args.to)?,
                Call::Sendto => {
                    let refused = socket.send_to(&datagram, args.to);
                    let error = refused.err().and_then(|error| error.raw_os_error());
                    ensure!(error == Some(EMSGSIZE), "a datagram that is too long: {error:?}");
                }
            }
        }
        batches.push(begun.elapsed().as_nanos() as f64 / f64::from(BATCH));
    }
    batches.sort_by(f64::total_cmp);
    Ok(batches[BATCHES / 2].into())
}
