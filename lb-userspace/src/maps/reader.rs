//! Looking at pinned tables, for people: nothing here changes anything, and no agent is needed.

use std::path::Path;

use aya::maps::{Map, MapData, PerCpuArray};
use lb_common::{
    Ipv4, Ipv6,
    affinity::{Affinity, AffinityKey},
    backend::Backend,
    counter::Counter,
    flow::{Flow, FlowKey},
    names,
    pool::{Pool, PoolKey},
    run::Run,
    service::Service,
    socket::{UdpPeer, UdpPeerKey},
};

use super::{
    Error, KernelTables, PoolFill, Tables,
    flows::fullest_first,
    hash::{Hash, io_error},
};
use crate::{
    kernel::sys::{self, Access},
    plan::{Contents, RowName},
};

/// What a hash table holds.
pub type Entries<K, V> = Vec<(K, V)>;

/// Pinned tables, opened for looking.
pub struct Reader<'a> {
    folder: &'a Path,
    batch: bool,
}

impl<'a> Reader<'a> {
    /// Tables pinned in a folder; each is opened when it is asked for.
    pub fn new(folder: &'a Path) -> Self {
        Self { folder, batch: sys::batch_supported() }
    }

    /// Everything that is planned.
    ///
    /// # Errors
    ///
    /// A table is missing, or the kernel refused.
    pub fn contents(&self) -> Result<Contents, Error> {
        KernelTables::open(self.folder, Access::Read, self.batch)?.contents()
    }

    /// The flows of IPv4.
    ///
    /// # Errors
    ///
    /// As for [`Self::contents`].
    pub fn flows_v4(&self) -> Result<Entries<FlowKey<Ipv4>, Flow<Ipv4>>, Error> {
        Hash::open(self.folder, names::FLOWS_V4, self.batch)?.read()
    }

    /// The flows of IPv6.
    ///
    /// # Errors
    ///
    /// As for [`Self::contents`].
    pub fn flows_v6(&self) -> Result<Entries<FlowKey<Ipv6>, Flow<Ipv6>>, Error> {
        Hash::open(self.folder, names::FLOWS_V6, self.batch)?.read()
    }

    /// How full the source ports towards each backend elsewhere are, the fullest first.
    ///
    /// # Errors
    ///
    /// As for [`Self::contents`].
    pub fn pools(&self) -> Result<Vec<PoolFill>, Error> {
        let pools: Hash<PoolKey, Pool> = Hash::open(self.folder, names::POOLS, self.batch)?;
        Ok(fullest_first(&pools.read()?))
    }

    /// The clients that stay with a backend.
    ///
    /// # Errors
    ///
    /// As for [`Self::contents`].
    pub fn affinity(&self) -> Result<Entries<AffinityKey, Affinity>, Error> {
        Hash::open(self.folder, names::AFFINITY, self.batch)?.read()
    }

    /// How many ends of conversations of unconnected UDP sockets are remembered.
    ///
    /// # Errors
    ///
    /// As for [`Self::contents`].
    pub fn udp_peers(&self) -> Result<usize, Error> {
        let peers: Hash<UdpPeerKey, UdpPeer> =
            Hash::open(self.folder, names::UDP_PEERS, self.batch)?;
        Ok(peers.read()?.len())
    }

    /// All counters, summed over the CPUs.
    ///
    /// # Errors
    ///
    /// As for [`Self::contents`].
    pub fn counters(&self) -> Result<Vec<(Counter, u64)>, Error> {
        Counters::open(self.folder)?.read()
    }
}

/// The counters, held open for who reads them again and again.
pub struct Counters(PerCpuArray<MapData, u64>);

impl Counters {
    /// Opens the table pinned in a folder.
    ///
    /// # Errors
    ///
    /// It is missing or of another shape.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        MapData::from_pin(folder.join(names::COUNTERS))
            .and_then(Map::from_map_data)
            .and_then(TryInto::try_into)
            .map(Self)
            .map_err(|source| Error::Open { table: names::COUNTERS, source })
    }

    /// All of them, summed over the CPUs.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn read(&self) -> Result<Vec<(Counter, u64)>, Error> {
        let value = |counter: &Counter| {
            let values = self.0.get(&counter.index(), 0).map_err(|error| Error::Entries {
                operation: "reading",
                entries: 1,
                table: names::COUNTERS,
                source: io_error(error),
            })?;
            Ok((*counter, values.iter().sum()))
        };
        Counter::ALL.iter().map(value).collect()
    }
}

impl Contents {
    /// The backend rows in one of a service's lists, in order.
    pub fn list(&self, run: Run) -> Vec<u32> {
        let start = run.offset() as usize;
        let slots = self.slots.get(start..start + run.length() as usize);
        slots.unwrap_or_default().to_vec()
    }

    /// A service's name, if its row has one.
    pub fn name_of(&self, service: &Service) -> Option<RowName> {
        let start = service.name.offset() as usize;
        RowName::decode(self.names.get(start..start + service.name.length() as usize)?)
    }

    /// A backend's row.
    pub fn backend(&self, index: u32) -> Option<&Backend> {
        let found = self.backends.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.backends.get(found).map(|(_, backend)| backend)
    }

    /// A service's row.
    pub fn service(&self, index: u32) -> Option<&Service> {
        let found = self.services.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.services.get(found).map(|(_, service)| service)
    }
}
