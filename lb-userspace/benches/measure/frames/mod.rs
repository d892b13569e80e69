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

mod stage;

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use lb_common::Protocol;
use lb_testbed::Netns;
use lb_userspace::model::IpFamily;
use serde_json::{Value, json};

use self::stage::{SINK, Stage, pod_of, received, source};
use crate::raw::{
    generator::{Frames, Generator, Sources},
    sink::Fate,
};

/// How often a flow is met on average before anything is counted: hardly one is unknown then.
const VISITS: u32 = 4;
/// How long nothing must have arrived for all to have arrived, and how often to look.
const SETTLED: Duration = Duration::from_millis(5);
const LOOK_EVERY: Duration = Duration::from_micros(200);

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
    /// The same over IPv6
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000])]
    flows_v6: Vec<u32>,
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
    family: IpFamily,
    /// How many flows the kernel remembers, if that is who is to remember them.
    conntrack: Option<u32>,
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
            source: source(self.family),
            to: self.to,
            sources,
        })
    }

    /// Others' rules remember flows in the kernel's own table: beyond its size each packet is one of
    /// a new flow, for which there is no room.
    fn has_room(&self, flows: u32) -> bool {
        self.conntrack.is_none_or(|entries| flows <= entries)
    }

    /// The namespace where its packets end.
    fn end<'a>(&self, stage: &'a Stage) -> Result<&'a Netns> {
        Ok(match self.place {
            Place::Here => stage.cluster.netns(&pod_of(&self.node))?,
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

/// The verb.
pub fn measure(args: &Args) -> Result<Value> {
    lb_testbed::require_rights()?;
    let most = args.flows.iter().chain(&args.flows_v6).copied().max();
    let (mut stage, mut cases) = stage::raise(args, most.context("no number of flows")?)?;
    let mut found = Vec::new();
    for (family, all) in [(IpFamily::V4, &args.flows), (IpFamily::V6, &args.flows_v6)] {
        let (now, others) = cases.into_iter().partition(|case: &Case| case.family == family);
        cases = others;
        found.extend(of_family(args, &mut stage, now, all)?);
    }
    Ok(json!({ "frames": args.frames, "cases": found }))
}

/// Those of one family, with each of these numbers of flows.
fn of_family(
    args: &Args,
    stage: &mut Stage,
    mut cases: Vec<Case>,
    all: &[u32],
) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for &flows in all {
        let mut cases: Vec<_> = cases.iter_mut().filter(|case| case.has_room(flows)).collect();
        stage.end_with(Fate::Answered)?;
        for case in &cases {
            for part in Sources::parts(flows) {
                let Sources::Some { count, .. } = part else { bail!("sources without number") };
                case.generator(stage, part)?.send((VISITS * count).max(100))?;
            }
        }
        stage.end_with(Fate::Dropped)?;
        for _ in 0..args.samples {
            for case in &mut cases {
                let (rate, share) = case.sample(stage, flows, args.frames)?;
                case.rates.push(rate);
                case.shares.push(share);
            }
        }
        for case in &mut cases {
            found.push(json!({
                "who": case.who,
                "v6": case.family == IpFamily::V6,
                "elsewhere": case.place == Place::Elsewhere,
                "flows": flows,
                "rates": std::mem::take(&mut case.rates),
                "shares": std::mem::take(&mut case.shares),
            }));
        }
    }
    Ok(found)
}
