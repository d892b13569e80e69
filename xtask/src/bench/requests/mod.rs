//! Requests a second and how long each takes: directly to a server, and through a service that leads
//! to it, carried by kube-proxy's iptables rules, by its nftables rules and by sluice, in turn, so that
//! whatever else goes on at the machine meets all of them. The service that is called is the last of
//! few and of many.
//!
//! `stage.rs` makes the clusters, `tables.rs` says what was found.

mod endurance;
mod shares;
mod stage;
mod tables;

use std::{thread, time::Duration};

use anyhow::{Result, bail};
use lb_testbed::{Loaded, Pattern};

use self::{
    shares::Ticks,
    stage::{Stage, Way, Who, join},
    tables::Found,
};
use super::{
    Measured,
    peers::Peer,
    programs::Programs,
    services::{self, Family},
};
use crate::interrupt::Interrupt;

/// What is thrown away before the first round.
const WARM_UP: Duration = Duration::from_millis(100);
/// Where the other variant of iptables is measured too.
const BOTH_VARIANTS: u32 = 1_000;

/// How much is measured.
struct Extent {
    families: &'static [Family],
    /// Numbers of services, ascending, and which patterns are measured there.
    sizes: &'static [(u32, &'static [Pattern])],
    rounds: u32,
    /// Where a budget is held against what is found.
    deciding_rounds: u32,
    call: Duration,
}

impl Extent {
    /// The fewest and the most services, where the budgets are.
    fn ends(&self) -> [Option<u32>; 2] {
        [self.sizes.first(), self.sizes.last()].map(|size| size.map(|(services, _)| *services))
    }

    fn rounds(&self, cell: Cell) -> u32 {
        let decides =
            cell.pattern == Pattern::Connect && self.ends().contains(&Some(cell.services));
        if decides { self.deciding_rounds } else { self.rounds }
    }
}

const ALL_PATTERNS: &[Pattern] =
    &[Pattern::Connect, Pattern::KeepAlive, Pattern::Datagram, Pattern::Bulk];

const QUICK: Extent = Extent {
    families: &[Family::V4],
    sizes: &[(10, &[Pattern::Connect]), (1_000, &[Pattern::Connect])],
    rounds: 5,
    deciding_rounds: 5,
    call: Duration::from_millis(300),
};

const FULL: Extent = Extent {
    families: &[Family::V4, Family::V6],
    sizes: &[
        (10, ALL_PATTERNS),
        (1_000, &[Pattern::Connect]),
        (10_000, ALL_PATTERNS),
        (30_000, &[Pattern::Connect]),
    ],
    rounds: 5,
    deciding_rounds: 11,
    call: Duration::from_millis(250),
};

/// What is measured by one series of rounds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Cell {
    pattern: Pattern,
    way: Way,
    family: Family,
    services: u32,
}

/// Measures.
pub fn measure(programs: &Programs, quick: bool, interrupt: &Interrupt) -> Result<Vec<Measured>> {
    let extent = if quick { QUICK } else { FULL };
    let mut everybody = vec![
        Who::Direct,
        Who::Peer(Peer::Iptables),
        Who::Peer(Peer::Nftables),
        Who::Sluice,
        Who::DirectDelivery,
    ];
    if !quick {
        everybody.push(Who::Peer(Peer::IptablesNft));
    }
    for who in &everybody {
        if let Who::Peer(peer) = who
            && let Some(missing) = peer.missing()
        {
            bail!("{missing}");
        }
    }
    let stages = everybody.into_iter().map(|who| Stage::raise(who, programs));
    let mut stages = stages.collect::<Result<Vec<_>>>()?;
    let (mut found, mut shares) = (Vec::new(), Ticks::default());
    let mut endurance = None;
    for (services, patterns) in extent.sizes {
        fill(&mut stages, *services, extent.families)?;
        let before = Ticks::of(stages.iter().flat_map(Stage::servers))?;
        for pattern in *patterns {
            for family in extent.families {
                for way in Way::ALL {
                    let (pattern, family, services) = (*pattern, *family, *services);
                    let cell = Cell { pattern, way, family, services };
                    found.extend(rounds(&stages, cell, &extent, interrupt)?);
                }
            }
        }
        let after = Ticks::of(stages.iter().flat_map(Stage::servers))?;
        shares = shares.plus(before, after);
        if !quick && endurance.is_none() {
            endurance = Some(endurance::measure(&stages, interrupt)?);
        }
    }
    Ok(tables::of(&found, &extent, shares).into_iter().chain(endurance).collect())
}

/// Brings everybody to so many services, all at the same time.
fn fill(stages: &mut [Stage], services: u32, families: &[Family]) -> Result<()> {
    let measured = match stages.first() {
        Some(stage) => stage.services()?,
        None => Vec::new(),
    };
    let list = services::list(services, families, &measured);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for stage in stages.iter_mut().filter(|stage| takes_part(stage.who, services)) {
            threads.push(scope.spawn(|| stage.hold(&list)));
        }
        threads.into_iter().try_for_each(join)
    })
}

/// Whether somebody is measured with so many services at all.
fn takes_part(who: Who, services: u32) -> bool {
    who != Who::Peer(Peer::IptablesNft) || services == BOTH_VARIANTS
}

/// Calls of everybody in turn, and again.
fn rounds(
    stages: &[Stage],
    cell: Cell,
    extent: &Extent,
    interrupt: &Interrupt,
) -> Result<Vec<Found>> {
    let Cell { pattern, way, family, services } = cell;
    // Delivery is nothing but what happens to packets for pods of the node.
    let concerned = |who| who != Who::DirectDelivery || way == Way::NodePortNear;
    let called: Vec<&Stage> = stages
        .iter()
        .filter(|stage| takes_part(stage.who, services) && concerned(stage.who))
        .collect();
    let mut samples: Vec<Vec<Loaded>> = vec![Vec::new(); called.len()];
    for stage in &called {
        stage.call(way, family, pattern, WARM_UP)?;
    }
    for round in 0..extent.rounds(cell) as usize {
        for turn in 0..called.len() {
            interrupt.check()?;
            // Who goes first takes turns too.
            let whose = (round + turn) % called.len();
            samples[whose].push(called[whose].call(way, family, pattern, extent.call)?);
        }
    }
    let found = called.iter().zip(samples);
    Ok(found.map(|(stage, samples)| Found { cell, who: stage.who, samples }).collect())
}
