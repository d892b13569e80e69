//! What the agent does for flows, which the programs keep by themselves: running the program that
//! looks for those that are over, and looking after the pools of source ports.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use lb_common::{
    names,
    pool::{Pool, PoolKey},
};

use super::{Error, hash::Hash};
use crate::kernel::sys;

/// Runs of the sweeping program in one call.
const RUNS: u32 = 64;
/// Calls of one sweep: more than any table has tokens for.
const CALLS: u32 = 1 << 14;

/// How full the source ports towards one backend are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PoolFill {
    /// Ports that are taken.
    pub taken: u32,
    /// Ports there are.
    pub ports: u32,
    /// The backend.
    pub backend: SocketAddr,
    /// Our address, which the backend sees.
    pub address: IpAddr,
    /// IANA number of the protocol.
    pub protocol: u8,
}

impl PoolFill {
    fn of(key: &PoolKey, pool: &Pool) -> Self {
        Self {
            taken: pool.taken,
            ports: key.ports.into(),
            backend: SocketAddr::new(key.backend.into(), key.backend_port.get()),
            address: key.address.into(),
            protocol: key.protocol,
        }
    }
}

/// See the module.
pub struct FlowTables {
    sweep: OwnedFd,
    pools: Hash<PoolKey, Pool>,
    /// Pools of which no port was taken at the last look.
    idle: HashSet<PoolKey>,
}

impl FlowTables {
    /// Opens the tables pinned in a folder; `sweep` is the program.
    ///
    /// # Errors
    ///
    /// One is missing or of another shape.
    pub fn open(folder: &Path, sweep: OwnedFd, batch: bool) -> Result<Self, Error> {
        let pools = Hash::open(folder, names::POOLS, batch)?;
        Ok(Self { sweep, pools, idle: HashSet::new() })
    }

    /// Looks at every flow once, and removes those that are over: some thousands a call.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn sweep(&self) -> io::Result<()> {
        for _ in 0..CALLS {
            if sys::run_program(self.sweep.as_fd(), RUNS)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Every pool, the fullest first; and gives back the room of pools that nobody has used between
    /// two calls, and of those of another range of ports.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn tend_pools(&mut self, range: (u16, u16)) -> Result<Vec<PoolFill>, Error> {
        let (first, last) = range;
        let ports = last.saturating_sub(first).saturating_add(1);
        let (ours, others): (Vec<_>, Vec<_>) = self
            .pools
            .read()?
            .into_iter()
            .partition(|(key, _)| (key.first, key.ports) == (first, ports));
        let idle = ours.iter().filter(|(_, pool)| pool.taken == 0).map(|(key, _)| *key);
        let (idle, newly_idle): (Vec<_>, Vec<_>) = idle.partition(|key| self.idle.contains(key));
        self.idle = newly_idle.into_iter().collect();
        let dropped: Vec<_> = others.iter().map(|(key, _)| *key).chain(idle).collect();
        // A port that is taken at this very moment is taken all the same: its flow's entry is.
        self.pools.remove(&dropped)?;
        Ok(fullest_first(&ours))
    }
}

/// How full pools are, the fullest first.
pub(super) fn fullest_first(pools: &[(PoolKey, Pool)]) -> Vec<PoolFill> {
    let mut fills: Vec<_> = pools.iter().map(|(key, pool)| PoolFill::of(key, pool)).collect();
    let share = |fill: &PoolFill| (u64::from(fill.taken) << 16) / u64::from(fill.ports.max(1));
    fills.sort_by(|a, b| share(b).cmp(&share(a)).then(a.cmp(b)));
    fills
}
