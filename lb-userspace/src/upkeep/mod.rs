//! What is done now and then, whatever happens: flows that are over are looked for, and the source
//! ports that are left are watched. Run by [`agent`](crate::agent) on a thread of its own, as the
//! calls may take a while.
//!
//! Nothing depends on it: while no agent runs, every new flow looks at a few others.

mod metrics;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use tracing::{debug, info, warn};

pub use self::metrics::Metrics;
use crate::maps::{FlowTables, PoolFill};

/// Between two looks at all flows: short beside the shortest timeout.
const SWEEP: Duration = Duration::from_secs(5);
/// Sweeps between two looks at the pools, which takes a copy of each.
const POOLS: u32 = 6;

/// Works until the other end of `until` is gone. `range`: first and last source port.
pub fn run(mut tables: FlowTables, range: (u16, u16), metrics: &Metrics, until: &Receiver<()>) {
    let mut scarce = BTreeSet::new();
    for round in 1u32.. {
        if until.recv_timeout(SWEEP) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        if let Err(error) = tables.sweep() {
            warn!("looking for flows that are over: {error}");
        }
        if round.is_multiple_of(POOLS) {
            match tables.tend_pools(range) {
                Ok(pools) => {
                    metrics.saw(&pools);
                    scarce = tell(&pools, scarce);
                }
                Err(error) => debug!("looking at source ports: {error}"),
            }
        }
    }
}

/// Says once of which backends source ports become scarce, and when that is over.
fn tell(pools: &[PoolFill], before: BTreeSet<SocketAddr>) -> BTreeSet<SocketAddr> {
    let now: BTreeSet<_> = pools
        .iter()
        .filter(|pool| is_scarce(pool, before.contains(&pool.backend)))
        .map(|pool| pool.backend)
        .collect();
    for pool in pools.iter().filter(|pool| now.contains(&pool.backend)) {
        if !before.contains(&pool.backend) {
            let PoolFill { taken, ports, backend, .. } = pool;
            warn!(
                "{taken} of {ports} source ports towards {backend} are taken: clients outside are \
                 refused when all are; give more endpoints, or a wider --snat-ports"
            );
        }
    }
    for backend in before.difference(&now) {
        info!("source ports towards {backend} are no longer scarce");
    }
    now
}

/// Nine in ten are taken; and, once that was so, still four in five.
fn is_scarce(pool: &PoolFill, was: bool) -> bool {
    let share = if was { 80 } else { 90 };
    u64::from(pool.taken) * 100 >= u64::from(pool.ports) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_scarce_from_nine_in_ten_until_below_four_in_five() {
        #[track_caller]
        fn check(taken: u32, was: bool, expected: bool) {
            let backend: SocketAddr = "192.0.2.1:80".parse().unwrap();
            let pool =
                PoolFill { taken, ports: 1_000, backend, address: backend.ip(), protocol: 6 };
            let before = was.then_some(backend).into_iter().collect();
            assert_eq!(tell(&[pool], before).contains(&backend), expected);
        }
        check(899, false, false);
        check(900, false, true);
        check(800, true, true);
        check(799, true, false);
    }
}
