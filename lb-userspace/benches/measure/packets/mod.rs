//! What a packet costs: the kernel runs a program on it again and again and tells how long a run
//! took on average (`BPF_PROG_TEST_RUN`). The packet is not put back to what it was between two
//! runs, so each kind of packet is chosen such that what a program makes of it is again a packet of
//! that kind:
//!
//! * **not ours**: no program touches it.
//! * **known flow**, and its answers, fragments and ICMP errors: the frontend is the backend's own
//!   address and port, so the rewriting, which is done in full, leaves the same bytes. What flows to
//!   backends elsewhere are given for a source is the client's own address, with a port of the range
//!   that is given out there. What does change is the time to live, which is why no call makes more
//!   than [`RUNS`] runs.
//! * **new flow**: a chain of services, each one's backend being the next one's frontend, so that
//!   every run meets another service and opens another flow; every call starts from a source port
//!   that its hook has not met before. No backend answers, so on the way the room of provisional
//!   flows fills up, and each new flow also ends an old one, as it must in the long run on any busy
//!   node.
//! * **source ports taken**: the same with a backend elsewhere, towards which so much of the source
//!   ports is taken beforehand, here and there.
//!
//! * **run once**: what is made into its own answer is no such packet any more. Each run is a call
//!   of its own, and finds colder caches; beside it stands the empty program, run as often.
//!
//! That each program did in each run what it was to do is checked against its own counters; only the
//! answers of backends here are not counted.
//!
//! What is left of errors: the kernel's loop around the program is in every figure, the empty
//! program's included, so differences are sharper than ratios; the first of a call's runs meets
//! cold caches, the others warm ones, which flatters everything but the new flows; a new flow
//! elsewhere keeps its source port where it is free; and nothing is sent:
//! what the kernel does with a packet afterwards is not in these figures.

mod work;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::{
    TestRun, TestRunOptions,
    programs::{TestRunResult, Xdp},
};
use lb_common::{
    Be16, Family as _, Protocol, V4, V6,
    counter::Counter,
    device::{Device, flags as device_flags},
    limits, names,
    pool::{Pool, PoolKey},
    settings::flags,
};
use lb_userspace::{
    kernel::{Programs, Sizes},
    model::FrontendKind,
    plan::Op,
};
use serde_json::{Value, json};

use self::work::{
    CHAIN, DATAGRAMS, FILLED, FIRST_SOURCE, Given, HASHED, KNOWN, Place, SERVED, Work,
};
use crate::{
    baseline,
    raw::Raw,
    rig::{self, At, Parties, Rig, at},
    service::{family_of, port},
};

/// Runs a call, and services of a chain: fewer than the largest time to live.
const RUNS: u16 = 250;

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

/// One row of the result.
struct Case {
    hook: At,
    parties: Parties,
    work: Work,
    samples: Vec<f64>,
}

impl Case {
    fn json(&self) -> Value {
        json!({
            "hook": match self.hook {
                At::Xdp => "XDP",
                At::TcIngress => "tc",
                At::TcEgress => "tc egress",
                At::FromPod => "tc of a pod",
                At::ToPod => "tc egress of a pod",
                At::Reply => "tc of a pod, its answers",
            },
            "family": if self.parties.near.is_ipv4() { "IPv4" } else { "IPv6" },
            "kind": self.work.name(),
            "samples": self.samples,
        })
    }
}

/// Programs to hold ours against.
struct Baselines {
    empty_xdp: Raw,
    empty_tc: Raw,
    parse_and_send: Raw,
}

/// The verb.
pub fn measure(args: &Args) -> Result<Value> {
    let mut rig = Rig::with(flags::VIP_PING | flags::REJECT_UNUSED_PORTS, Sizes::default());
    let families = rig.families();
    lend_the_clients_addresses(&mut rig, families);
    for parties in families {
        program(&mut rig, parties);
    }
    let baselines = Baselines {
        empty_xdp: baseline::empty_xdp()?,
        empty_tc: baseline::empty_tc()?,
        parse_and_send: baseline::parse_and_send()?,
    };
    let mut cases = Vec::new();
    for hook in [At::Xdp, At::TcIngress, At::TcEgress] {
        for parties in families {
            let works = Work::at(hook).into_iter();
            cases.extend(works.map(|work| Case { hook, parties, work, samples: Vec::new() }));
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
    let programs = rig.on_node(|programs, _| verified(programs))?;
    Ok(json!({ "runs_a_call": RUNS, "cases": cases, "programs": programs }))
}

/// How many instructions the kernel's verifier went through for each program.
fn verified(programs: &mut Programs) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for (name, program) in programs.object().programs() {
        let instructions = program.info()?.verified_instruction_count();
        let instructions = instructions.context("the kernel does not count instructions")?;
        found.push(json!({ "name": name, "verified": instructions }));
    }
    Ok(found)
}

/// Makes the client's addresses those that flows to backends elsewhere are given.
fn lend_the_clients_addresses(rig: &mut Rig, families: [Parties; 2]) {
    let ifindex = rig.on_node(|_, ifindex| ifindex);
    let [v4, v6] = families.map(|parties| parties.client.into());
    let device =
        Device { source_v4: V4::narrow(v4), source_v6: V6::narrow(v6), flags: device_flags::XDP };
    rig.spoil(Op::PutDevice { ifindex, device });
}

/// Makes the services that the packets are for.
fn program(rig: &mut Rig, parties: Parties) {
    let family = family_of(parties.near);
    let service = |name: &str, place: Place, protocol: Protocol, from: u16, to: u16| {
        let (name, address) =
            (format!("{name}-{place:?}-{from}-{family:?}"), work::address(&parties, place));
        let port = port(&name.to_lowercase(), protocol, family);
        let port = port.at(FrontendKind::ExternalIp, at(address, from));
        match place {
            Place::Here => port.local(at(address, to)),
            Place::Elsewhere => port.elsewhere(at(address, to)),
        }
    };
    let mut services = Vec::new();
    for place in [Place::Here, Place::Elsewhere] {
        for (port, protocol) in [(KNOWN, Protocol::Tcp), (DATAGRAMS, Protocol::Udp)] {
            services.push(service("known", place, protocol, port, port).build());
        }
        let filled = FILLED.iter().filter(|_| place == Place::Elsewhere).map(|(first, _)| *first);
        for first in [CHAIN, HASHED].into_iter().chain(filled) {
            for link in first..first + RUNS {
                let service = service("chain", place, Protocol::Tcp, link, link + 1);
                let service = if first == HASHED { service.hashed() } else { service };
                services.push(service.build());
            }
        }
    }
    let served = |name: &str, kind, address| {
        let name = format!("{name}-{family:?}").to_lowercase();
        port(&name, Protocol::Tcp, family).at(kind, SocketAddr::new(address, SERVED))
    };
    let vip = work::vip(parties.near);
    services.push(served("nobody", FrontendKind::LoadBalancer, vip).build());
    let inside = served("inside", FrontendKind::ClusterIp, work::cluster_ip(parties.near));
    services.push(inside.local(at(parties.near, KNOWN)).build());
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
                address: parties.client.into(),
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

/// Takes one sample: the mean over calls, those that open flows from the given source ports.
fn sample(rig: &mut Rig, baselines: &Baselines, case: &mut Case, ports: &[u16]) -> Result<()> {
    let &mut Case { hook, parties, work, .. } = case;
    let given = |port: &u16| work::given(work, hook, &parties, *port);
    let Given { packet, before } = given(&FIRST_SOURCE);
    for (hook, packet) in before {
        rig.run(hook, &packet);
    }
    if hook == At::Xdp
        && matches!(work.counter(), Some(Counter::FlowHit | Counter::FragmentFollowed))
    {
        // XDP leaves a packet of each flow to tc now and then: it has just had one.
        rig.run(At::TcIngress, &packet);
    }
    let packets: Vec<Vec<u8>> = if work.is_new() {
        ports.iter().map(|port| given(port).packet).collect()
    } else {
        vec![packet; ports.len()]
    };
    // One checksum in 65,536 looks like a partial one. XDP leaves the packet to tc, in this run and
    // in the rest of its call, which a median over samples does not notice.
    let counted = |rig: &Rig| {
        let left_to_tc = rig.count(Counter::XdpPartialChecksum);
        work.counter().map_or(0, |counter| rig.count(counter) + left_to_tc)
    };
    let before = counted(rig);
    let took: Result<Vec<Duration>> = rig.on_node(|programs, ifindex| {
        let mut run = |packet: &Vec<u8>| match (hook, work) {
            (At::Xdp, Work::Nothing | Work::NothingOnce) => {
                run_xdp(baselines.empty_xdp.xdp()?, ifindex, packet, work)
            }
            (At::Xdp, Work::ParseAndSend) => {
                run_xdp(baselines.parse_and_send.xdp()?, ifindex, packet, work)
            }
            (At::Xdp, _) => run_xdp(rig::xdp(programs), ifindex, packet, work),
            (_, Work::Nothing | Work::NothingOnce) => {
                run(baselines.empty_tc.tc()?, &rig::tc_context(ifindex), packet, work)
            }
            _ => {
                let name = if hook == At::TcEgress { names::TC_EGRESS } else { names::TC_INGRESS };
                let program = rig::classifier(programs, name);
                run(program, &rig::tc_context(ifindex), packet, work)
            }
        };
        packets.iter().map(&mut run).collect()
    });
    let took = took?;
    let runs = u64::from(RUNS) * ports.len() as u64;
    let seen = counted(rig) - before;
    // A known flow may have been ended in the meantime, which one packet then opens anew.
    let enough = work.counter().is_none() || seen + ports.len() as u64 >= runs;
    ensure!(enough, "{}: only {seen} of {runs} runs did what they should", case.json());
    let total: Duration = took.iter().sum();
    case.samples.push(total.as_nanos() as f64 / took.len() as f64);
    Ok(())
}

fn run_xdp(program: &Xdp, ifindex: u32, packet: &[u8], work: Work) -> Result<Duration> {
    run(program, &rig::xdp_context(ifindex, packet), packet, work)
}

/// One call: the mean over [`RUNS`] runs.
fn run<P>(program: &P, context: &[u8], packet: &[u8], work: Work) -> Result<Duration>
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = TestRunResult>,
{
    let (calls, repeat) = if work.is_once() { (RUNS.into(), 1) } else { (1, RUNS.into()) };
    let mut took = Duration::ZERO;
    for _ in 0..calls {
        let options = TestRunOptions {
            data_in: Some(packet),
            ctx_in: Some(context),
            repeat,
            ..Default::default()
        };
        took += program.test_run(options)?.duration;
    }
    Ok(took / calls)
}
