//! Calls that go on: by one client, a connection a call, through a NodePort to a backend elsewhere,
//! until the source ports that stand for the client there have been used again and again. The backend
//! closes first, so it waits out the end of every connection for a minute.

use std::time::Duration;

use anyhow::Result;
use lb_testbed::{Loaded, Pattern};

use super::{
    super::{
        Measured,
        peers::Peer,
        report::{Row, Section},
        samples::{Comparison, Summary},
        services::Family,
    },
    stage::{Stage, Way, Who},
    tables::requests_a_second,
};
use crate::interrupt::Interrupt;

const WHO: [Who; 4] =
    [Who::Direct, Who::Peer(Peer::Iptables), Who::Peer(Peer::Nftables), Who::Sluice];
/// So that nobody's connections are forgotten before its turn comes again.
const CALL: Duration = Duration::from_secs(10);
const ROUNDS: usize = 5;

/// Measures, beside direct.
pub fn measure(stages: &[Stage], interrupt: &Interrupt) -> Result<Measured> {
    let called: Vec<&Stage> = stages.iter().filter(|stage| WHO.contains(&stage.who)).collect();
    let mut samples: Vec<Vec<Loaded>> = vec![Vec::new(); called.len()];
    for _ in 0..ROUNDS {
        for (stage, samples) in called.iter().zip(&mut samples) {
            interrupt.check()?;
            let pattern = Pattern::Connect;
            samples.push(stage.call(Way::NodePortFar, Family::V4, pattern, CALL)?);
        }
    }
    let all = |samples: &[Loaded], of: fn(&Loaded) -> f64| -> Vec<f64> {
        samples.iter().map(of).collect()
    };
    let direct = all(&samples[0], requests_a_second);
    let (mut rates, mut longest) = (Vec::new(), Vec::new());
    for (stage, samples) in called.iter().zip(&samples) {
        let rate = all(samples, requests_a_second);
        let row = Row::new(stage.who.name(), "/s", Summary::of(&rate));
        rates.push(match stage.who {
            Who::Direct => row,
            Who::Sluice => row.beside(Comparison::of(&rate, &direct)),
            _ => row.beside(Comparison::of(&rate, &direct)).describing(),
        });
        let times = all(samples, |loaded| loaded.latency.max_us / 1e3);
        let what = format!("{}, longest", stage.who.name());
        longest.push(Row::new(what, "ms", Summary::of(&times)));
    }
    rates.extend(longest);
    let section = Section {
        title: "Connections without a pause: NodePort, backend elsewhere, IPv4".to_owned(),
        notes: vec![
            format!("{ROUNDS} calls of {CALL:?} each in turn, 4 callers at a time, 10 services"),
            "the backend closes first and waits out the end of each connection; who has used all \
             source ports towards it gives it some that it still waits for, and a connection that \
             looks older than the last one from there loses a second"
                .to_owned(),
        ],
        rows: rates,
        plots: Vec::new(),
    };
    Ok((section, Vec::new()))
}
