//! What each table looks like, so that neither an object nor a pinned table of another shape is
//! taken for ours.

use aya::maps::{MapInfo, MapType};
use lb_common::{
    Address, Ipv4, Ipv6,
    affinity::{Affinity, AffinityKey},
    backend::Backend,
    counter::Counter,
    device::Device,
    flow::{Flow, FlowKey},
    fragment::{FragmentKey, Ports},
    frontend::{Frontend, FrontendKey},
    limits, names,
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

/// The shape of a table.
#[derive(Clone, Copy, Debug)]
pub struct MapSpec {
    /// Its name.
    pub name: &'static str,
    kind: MapType,
    key_size: u32,
    value_size: u32,
    /// How many entries it has.
    pub max_entries: u32,
    flags: u32,
}

impl MapSpec {
    const fn new<K, V>(name: &'static str, kind: MapType, max_entries: u32, flags: u32) -> Self {
        let (key_size, value_size) = (size_of::<K>() as u32, size_of::<V>() as u32);
        Self { name, kind, key_size, value_size, max_entries, flags }
    }

    /// All tables.
    pub fn all(sizes: &Sizes) -> [Self; 17] {
        use MapType::{Array, Hash, LpmTrie, LruHash, PerCpuArray, SkStorage};
        let Sizes { frontends, flows, .. } = *sizes;
        let counters = Counter::ALL.len() as u32;
        [
            Self::new::<FrontendKey<Ipv4>, Frontend>(names::FRONTENDS_V4, Hash, frontends, 0),
            Self::new::<FrontendKey<Ipv6>, Frontend>(names::FRONTENDS_V6, Hash, frontends, 0),
            Self::new::<Address, u32>(names::NODE_ADDRESSES, Hash, limits::NODE_ADDRESSES, 0),
            // Each is the address of a frontend at least, in one of the two tables.
            Self::new::<Address, u32>(names::VIPS, Hash, frontends.saturating_mul(2), NO_PREALLOC),
            Self::new::<u32, Service>(names::SERVICES, Array, sizes.services, MMAPABLE),
            Self::new::<u32, u32>(names::SLOTS, Array, sizes.slots, MMAPABLE),
            Self::new::<u32, Backend>(names::BACKENDS, Array, sizes.backends, MMAPABLE),
            Self::new::<u32, NameCell>(names::NAMES, Array, sizes.name_cells, MMAPABLE),
            Self::new::<FlowKey<Ipv4>, Flow<Ipv4>>(names::FLOWS_V4, LruHash, flows, 0),
            Self::new::<FlowKey<Ipv6>, Flow<Ipv6>>(names::FLOWS_V6, LruHash, flows, 0),
            Self::new::<FragmentKey, Ports>(names::FRAGMENTS, LruHash, limits::FRAGMENTS, 0),
            Self::new::<AffinityKey, Affinity>(names::AFFINITY, LruHash, sizes.affinities, 0),
            Self::new::<(u32, SourceRange), u32>(
                names::SOURCE_RANGES,
                LpmTrie,
                sizes.source_ranges,
                NO_PREALLOC,
            ),
            Self::new::<UdpPeerKey, UdpPeer>(names::UDP_PEERS, LruHash, sizes.udp_peers, 0),
            Self::new::<i32, Origin>(names::SOCKET_ORIGIN, SkStorage, 0, NO_PREALLOC),
            Self::new::<u32, Device>(names::DEVICES, Hash, limits::DEVICES, 0),
            Self::new::<u32, u64>(names::COUNTERS, PerCpuArray, counters, 0),
        ]
    }

    /// Whether the agent plans this table's content; the programs fill the others.
    pub fn is_planned(&self) -> bool {
        !matches!(self.kind, MapType::LruHash | MapType::SkStorage | MapType::PerCpuArray)
    }

    /// Whether its entries name rows of planned tables.
    pub fn names_rows(&self) -> bool {
        !matches!(self.kind, MapType::SkStorage | MapType::PerCpuArray)
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
