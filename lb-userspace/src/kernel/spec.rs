//! What each table looks like, so that neither an object nor a pinned table of another shape is
//! taken for ours.

use aya::maps::{MapInfo, MapType};
use lb_common::{
    Address, Ipv4, Ipv6,
    affinity::{Affinity, AffinityKey},
    backend::Backend,
    counter::Counter,
    device::Device,
    flow::{Flow, FlowKey, Token},
    fragment::{FragmentKey, Ports},
    frontend::{Frontend, FrontendKey},
    limits, names,
    pool::{Lock, Pool, PoolKey},
    service::{NameCell, Service},
    socket::{Origin, UdpPeer, UdpPeerKey},
    source_range::SourceRange,
};

use super::features::MMAPABLE;

/// The map flag `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;

/// How large the tables are to be, in entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sizes {
    /// Rows of `SERVICES`.
    pub services: u32,
    /// Rows of `BACKENDS`.
    pub backends: u32,
    /// Slots.
    pub slots: u32,
    /// Cells of `NAMES`.
    pub name_cells: u32,
    /// Entries of each frontend table.
    pub frontends: u32,
    /// Entries of each flow table.
    pub flows: u32,
    /// Entries of `AFFINITY`.
    pub affinities: u32,
    /// Entries of `UDP_PEERS`.
    pub udp_peers: u32,
    /// Entries of `SOURCE_RANGES`.
    pub source_ranges: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            services: limits::SERVICES,
            backends: limits::BACKENDS,
            slots: limits::SLOTS,
            name_cells: limits::NAME_CELLS,
            frontends: limits::FRONTENDS,
            flows: limits::FLOWS,
            affinities: limits::AFFINITIES,
            udp_peers: limits::UDP_PEERS,
            source_ranges: limits::SOURCE_RANGES,
        }
    }
}

/// Who fills a table, and what goes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// The agent plans its content; the tables refer to each other's rows.
    Planned,
    /// Flows, their tokens and their ports, which the programs keep in step.
    Flows,
    /// What the programs remember, by rows of planned tables.
    Memory,
    /// Nothing that refers to another table.
    Apart,
}

/// The shape of a table.
#[derive(Clone, Copy, Debug)]
pub struct MapSpec {
    /// Its name.
    pub name: &'static str,
    role: Role,
    kind: MapType,
    key_size: u32,
    value_size: u32,
    /// How many entries it has.
    pub max_entries: u32,
    flags: u32,
}

impl MapSpec {
    const fn new<K, V>(
        role: Role,
        name: &'static str,
        kind: MapType,
        max_entries: u32,
        flags: u32,
    ) -> Self {
        let (key_size, value_size) = (size_of::<K>() as u32, size_of::<V>() as u32);
        Self { name, role, kind, key_size, value_size, max_entries, flags }
    }

    /// All tables.
    pub fn all(sizes: &Sizes) -> Vec<Self> {
        [Self::planned(sizes), Self::flows(sizes), Self::others(sizes)].concat()
    }

    fn planned(sizes: &Sizes) -> Vec<Self> {
        use MapType::{Array, Hash, LpmTrie};
        use Role::Planned;
        let Sizes { frontends, source_ranges, .. } = *sizes;
        vec![
            Self::new::<FrontendKey<Ipv4>, Frontend>(
                Planned,
                names::FRONTENDS_V4,
                Hash,
                frontends,
                0,
            ),
            Self::new::<FrontendKey<Ipv6>, Frontend>(
                Planned,
                names::FRONTENDS_V6,
                Hash,
                frontends,
                0,
            ),
            Self::new::<Address, u32>(
                Planned,
                names::NODE_ADDRESSES,
                Hash,
                limits::NODE_ADDRESSES,
                0,
            ),
            // Each is the address of a frontend at least, in one of the two tables.
            Self::new::<Address, u32>(
                Planned,
                names::VIPS,
                Hash,
                frontends.saturating_mul(2),
                NO_PREALLOC,
            ),
            Self::new::<u32, Service>(Planned, names::SERVICES, Array, sizes.services, MMAPABLE),
            Self::new::<u32, u32>(Planned, names::SLOTS, Array, sizes.slots, MMAPABLE),
            Self::new::<u32, Backend>(Planned, names::BACKENDS, Array, sizes.backends, MMAPABLE),
            Self::new::<u32, NameCell>(Planned, names::NAMES, Array, sizes.name_cells, MMAPABLE),
            Self::new::<(u32, SourceRange), u32>(
                Planned,
                names::SOURCE_RANGES,
                LpmTrie,
                source_ranges,
                NO_PREALLOC,
            ),
            Self::new::<u32, Device>(Planned, names::DEVICES, Hash, limits::DEVICES, 0),
        ]
    }

    fn flows(sizes: &Sizes) -> Vec<Self> {
        use MapType::{Array, Hash, Queue};
        use Role::Flows;
        let flows = sizes.flows;
        let provisional = limits::provisional(flows);
        vec![
            Self::new::<FlowKey<Ipv4>, Flow<Ipv4>>(Flows, names::FLOWS_V4, Hash, flows, 0),
            Self::new::<FlowKey<Ipv6>, Flow<Ipv6>>(Flows, names::FLOWS_V6, Hash, flows, 0),
            Self::new::<(), Token<Ipv4>>(Flows, names::PROVISIONAL_V4, Queue, provisional, 0),
            Self::new::<(), Token<Ipv6>>(Flows, names::PROVISIONAL_V6, Queue, provisional, 0),
            Self::new::<(), Token<Ipv4>>(Flows, names::CONFIRMED_V4, Queue, flows, 0),
            Self::new::<(), Token<Ipv6>>(Flows, names::CONFIRMED_V6, Queue, flows, 0),
            Self::new::<PoolKey, Pool>(Flows, names::POOLS, Hash, limits::POOLS, NO_PREALLOC),
            Self::new::<u32, Lock>(Flows, names::LOCKS, Array, limits::LOCKS, 0),
        ]
    }

    fn others(sizes: &Sizes) -> Vec<Self> {
        use MapType::{LruHash, PerCpuArray, SkStorage};
        use Role::{Apart, Memory};
        let Sizes { affinities, udp_peers, .. } = *sizes;
        let counters = Counter::ALL.len() as u32;
        vec![
            Self::new::<AffinityKey, Affinity>(Memory, names::AFFINITY, LruHash, affinities, 0),
            Self::new::<UdpPeerKey, UdpPeer>(Memory, names::UDP_PEERS, LruHash, udp_peers, 0),
            Self::new::<i32, Origin>(Apart, names::SOCKET_ORIGIN, SkStorage, 0, NO_PREALLOC),
            Self::new::<FragmentKey, Ports>(Apart, names::FRAGMENTS, LruHash, limits::FRAGMENTS, 0),
            Self::new::<u32, u64>(Apart, names::COUNTERS, PerCpuArray, counters, 0),
        ]
    }

    /// Whether the agent plans this table's content; the programs fill the others.
    pub fn is_planned(&self) -> bool {
        self.role == Role::Planned
    }

    /// Whether it belongs to the flows, of which none may be without the others.
    pub fn is_of_flows(&self) -> bool {
        self.role == Role::Flows
    }

    /// Whether its entries name rows of planned tables.
    pub fn names_rows(&self) -> bool {
        self.role != Role::Apart
    }

    /// How a table differs from this shape; `None`: it does not.
    pub fn difference(&self, info: &MapInfo) -> Option<String> {
        let found = (info.key_size(), info.value_size(), info.max_entries(), info.map_flags());
        let wanted = (self.key_size, self.value_size, self.max_entries, self.flags);
        let kind = info.map_type().unwrap_or(MapType::Unspecified);
        if kind == self.kind && found == wanted {
            return None;
        }
        let show = |kind, (key, value, entries, flags)| {
            format!("{kind:?} of {entries} entries, {key} to {value} bytes, flags {flags:#x}")
        };
        Some(format!("{} instead of {}", show(kind, found), show(self.kind, wanted)))
    }
}
