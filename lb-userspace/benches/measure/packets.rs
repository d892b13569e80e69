//! What a packet costs: the kernel runs a program on it again and again and tells how long a run
//! took on average (`BPF_PROG_TEST_RUN`). The packet is not put back to what it was between two
//! runs, so each kind of packet is chosen such that what a program makes of it is again a packet of
//! that kind:
//!
//! * **not ours**: no program touches it.
//! * **known flow**: the frontend is the backend's own address and port, so the rewriting, which is
//!   done in full, leaves the same bytes. With a backend elsewhere the client is an address of the
//!   node, with a port of the range that is given out there. What does change is the time to
//!   live, which is why no call makes more than [`RUNS`] runs.
//! * **new flow**: a chain of services, each one's backend being the next one's frontend, so that
//!   every run meets another service and opens another flow; every call starts from a source port
//!   that its hook has not met before. No backend answers, so on the way the room of provisional
//!   flows fills up, and each new flow also ends an old one, as it must in the long run on any busy
//!   node.
//! * **source ports taken**: the same with a backend elsewhere, towards which so much of the source
//!   ports is taken beforehand, here and there.
//!
//! That each program did in each run what it was to do is checked against its own counters.
//!
//! What is left of errors: the kernel's loop around the program is in every figure, the empty
//! program's included, so differences are sharper than ratios; the first of a call's runs meets
//! cold caches, the others warm ones, which flatters everything but the new flows; a new flow
//! elsewhere keeps its source port where it is free; and nothing is sent:
//! what the kernel does with a packet afterwards is not in these figures.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use aya::{TestRun as _, TestRunOptions, programs::TestRunResult};
use lb_common::{
    Be16, Protocol,
    counter::Counter,
    limits, names,
    pool::{Pool, PoolKey},
};
use lb_userspace::{kernel::Sizes, model::FrontendKind};
use serde_json::{Value, json};

use crate::{
    baseline::{self, Baseline},
    frame::{self, Tcp},
    rig::{self, At, Parties, Rig, at},
    service::{family_of, port},
};

/// Runs a call, and services of a chain: fewer than the largest time to live.
const RUNS: u16 = 250;
/// First port of a chain; below those of NodePorts and of the known flow's.
const CHAIN: u16 = 1_000;
const KNOWN: u16 = 8_080;
/// First ports of chains, and how much of the source ports towards their backends is taken, in
/// hundredths.
const FILLED: [(u16, u32); 2] = [(2_000, 5), (3_000, 95)];
/// A port with no service behind it.
const NOBODY: u16 = 9;
/// First source port; the range for flows elsewhere begins here.
const FIRST_SOURCE: u16 = 10_000;

/// How much is measured.
#[derive(clap::Args)]
pub struct Args {
    /// Samples of each kind of packet, taken in turn
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=90))]
    samples: u16,
    /// Calls a sample is the mean of
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=100))]
    calls: u16,
}

/// What a program is given to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Empty,
    ParseAndSend,
    NotOurs,
    KnownLocal,
    KnownRemote,
    NewLocal,
    NewRemote,
    NewRemoteAt5,
    NewRemoteAt95,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Empty,
        Self::ParseAndSend,
        Self::NotOurs,
        Self::KnownLocal,
        Self::KnownRemote,
        Self::NewLocal,
        Self::NewRemote,
        Self::NewRemoteAt5,
        Self::NewRemoteAt95,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty program",
            Self::ParseAndSend => "parse and send back",
            Self::NotOurs => "not ours",
            Self::KnownLocal => "known flow, backend here",
            Self::KnownRemote => "known flow, backend elsewhere",
            Self::NewLocal => "new flow, backend here",
            Self::NewRemote => "new flow, backend elsewhere",
            Self::NewRemoteAt5 => "new flow, 5 % of source ports taken",
            Self::NewRemoteAt95 => "new flow, 95 % of source ports taken",
        }
    }

    /// What is counted once a run.
    fn counter(self) -> Option<Counter> {
        match self {
            Self::KnownLocal | Self::KnownRemote => Some(Counter::FlowHit),
            Self::NewLocal | Self::NewRemote | Self::NewRemoteAt5 | Self::NewRemoteAt95 => {
                Some(Counter::FlowNew)
            }
            Self::Empty | Self::ParseAndSend | Self::NotOurs => None,
        }
    }
}

/// One row of the result.
struct Case {
    hook: At,
    parties: Parties,
    kind: Kind,
    samples: Vec<f64>,
}

impl Case {
    fn packet(&self, source_port: u16) -> Vec<u8> {
        let Parties { client, node, near, far } = self.parties;
        let (source, to, flags) = match self.kind {
            Kind::Empty | Kind::ParseAndSend | Kind::NotOurs => {
                (client, at(near, NOBODY), Tcp::Ack)
            }
            Kind::KnownLocal => (client, at(near, KNOWN), Tcp::Ack),
            Kind::KnownRemote => (node, at(far, KNOWN), Tcp::Ack),
            Kind::NewLocal => (client, at(near, CHAIN), Tcp::Syn),
            Kind::NewRemote => (node, at(far, CHAIN), Tcp::Syn),
            Kind::NewRemoteAt5 => (node, at(far, FILLED[0].0), Tcp::Syn),
            Kind::NewRemoteAt95 => (node, at(far, FILLED[1].0), Tcp::Syn),
        };
        let known = self.kind.counter() == Some(Counter::FlowHit);
        let source = at(source, if known { FIRST_SOURCE } else { source_port });
        let packet = frame::tcp(&source.to_string(), &to.to_string(), flags);
        frame::with_ttl(packet, u8::MAX)
    }

    fn json(&self) -> Value {
        json!({
            "hook": if self.hook == At::Xdp { "XDP" } else { "tc" },
            "family": if self.parties.near.is_ipv4() { "IPv4" } else { "IPv6" },
            "kind": self.kind.name(),
            "samples": self.samples,
        })
    }
}

/// Programs to hold ours against.
struct Baselines {
    empty_xdp: Baseline,
    empty_tc: Baseline,
    parse_and_send: Baseline,
}

/// The verb.
pub fn measure(args: &Args) -> Result<Value> {
    let mut rig = Rig::with(0, Sizes::default());
    let families = rig.families();
    for parties in families {
        program(&mut rig, parties);
    }
    let baselines = Baselines {
        empty_xdp: baseline::empty_xdp()?,
        empty_tc: baseline::empty_tc()?,
        parse_and_send: baseline::parse_and_send()?,
    };
    let mut cases = Vec::new();
    for hook in [At::Xdp, At::TcIngress] {
        for parties in families {
            let kinds = Kind::ALL.into_iter();
            // tc programs do not send frames back as they are.
            let kinds = kinds.filter(|kind| hook == At::Xdp || *kind != Kind::ParseAndSend);
            cases.extend(kinds.map(|kind| Case { hook, parties, kind, samples: Vec::new() }));
        }
    }
    for round in 0..args.samples {
        for case in &mut cases {
            let first = FIRST_SOURCE + 2 * round * args.calls + u16::from(case.hook == At::Xdp);
            let ports: Vec<u16> = (0..args.calls).map(|call| first + 2 * call).collect();
            sample(&mut rig, &baselines, case, &ports)?;
        }
    }
    let cases: Vec<Value> = cases.iter().map(Case::json).collect();
    Ok(json!({ "runs_a_call": RUNS, "cases": cases }))
}

/// Makes the services that the packets are for.
fn program(rig: &mut Rig, parties: Parties) {
    let family = family_of(parties.near);
    let service = |name: &str, frontend: SocketAddr, backend: SocketAddr| {
        let port = port(name, Protocol::Tcp, family).at(FrontendKind::ExternalIp, frontend);
        let here = backend.ip() == parties.near;
        if here { port.local(backend).build() } else { port.elsewhere(backend).build() }
    };
    let mut services = Vec::new();
    for (place, address) in [("near", parties.near), ("far", parties.far)] {
        let name = |what: u16| format!("{place}-{what}-{family:?}").to_lowercase();
        let known = at(address, KNOWN);
        services.push(service(&name(KNOWN), known, known));
        for link in CHAIN..CHAIN + RUNS {
            services.push(service(&name(link), at(address, link), at(address, link + 1)));
        }
    }
    for (first, _) in FILLED {
        for link in first..first + RUNS {
            let name = format!("far-{link}-{family:?}").to_lowercase();
            services.push(service(&name, at(parties.far, link), at(parties.far, link + 1)));
        }
    }
    rig.program(services);
    fill(rig, parties);
}

/// Takes source ports towards the backends of the filled chains.
fn fill(rig: &Rig, parties: Parties) {
    const PORTS: u16 = limits::SNAT_PORT_LAST - limits::SNAT_PORT_FIRST + 1;
    for (first, share) in FILLED {
        let mut pool = Pool::default();
        let mut random = 1u32;
        for port in 0..u32::from(PORTS) {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if (random >> 8) % 100 < share {
                pool.take(port);
            }
        }
        for link in first..first + RUNS {
            let key = PoolKey {
                backend: parties.far.into(),
                address: parties.node.into(),
                backend_port: Be16::new(link + 1),
                first: limits::SNAT_PORT_FIRST,
                ports: PORTS,
                protocol: Protocol::Tcp.number(),
                pad: 0,
            };
            rig.put_pool(&key, &pool);
        }
    }
}

/// Takes one sample: the mean over calls from the given source ports.
fn sample(rig: &mut Rig, baselines: &Baselines, case: &mut Case, ports: &[u16]) -> Result<()> {
    let packets: Vec<Vec<u8>> = ports.iter().map(|port| case.packet(*port)).collect();
    let counted = |rig: &Rig| case.kind.counter().map_or(0, |counter| rig.count(counter));
    let before = counted(rig);
    let (hook, kind) = (case.hook, case.kind);
    let took: Result<Vec<Duration>> = rig.on_node(|programs, ifindex| {
        let run = |packet: &Vec<u8>| match (hook, kind) {
            (At::Xdp, Kind::Empty) => run_xdp(baselines.empty_xdp.xdp()?, ifindex, packet),
            (At::Xdp, Kind::ParseAndSend) => {
                run_xdp(baselines.parse_and_send.xdp()?, ifindex, packet)
            }
            (At::Xdp, _) => run_xdp(rig::xdp(programs), ifindex, packet),
            (_, Kind::Empty) => run_tc(baselines.empty_tc.tc()?, ifindex, packet),
            _ => run_tc(rig::classifier(programs, names::TC_INGRESS), ifindex, packet),
        };
        packets.iter().map(run).collect()
    });
    let took = took?;
    let runs = u64::from(RUNS) * ports.len() as u64;
    let seen = counted(rig) - before;
    // The LRU may have taken a known flow in the meantime, which one packet then opens anew.
    let enough = case.kind.counter().is_none() || seen + ports.len() as u64 >= runs;
    ensure!(enough, "{}: only {seen} of {runs} runs did what they should", case.json());
    let total: Duration = took.iter().sum();
    case.samples.push(total.as_nanos() as f64 / took.len() as f64);
    Ok(())
}

fn run_xdp(program: &aya::programs::Xdp, ifindex: u32, packet: &[u8]) -> Result<Duration> {
    let context = rig::xdp_context(ifindex, packet);
    Ok(program.test_run(options(packet, &context))?.duration)
}

fn run_tc(
    program: &aya::programs::SchedClassifier,
    ifindex: u32,
    packet: &[u8],
) -> Result<Duration> {
    let context = rig::tc_context(ifindex);
    let result: TestRunResult = program.test_run(options(packet, &context))?;
    Ok(result.duration)
}

fn options<'a>(packet: &'a [u8], context: &'a [u8]) -> TestRunOptions<'a> {
    TestRunOptions {
        data_in: Some(packet),
        ctx_in: Some(context),
        repeat: RUNS.into(),
        ..Default::default()
    }
}
