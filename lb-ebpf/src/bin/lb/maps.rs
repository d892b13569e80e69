//! Every map, and the question it answers. Sizes here are the defaults; the agent sets its own.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray},
};
use lb_common::{
    Address, Family, Ipv4, Ipv6, V4, V6,
    affinity::{Affinity, AffinityKey},
    backend::Backend,
    counter::Counter,
    device::Device,
    flow::{Flow, FlowKey, FlowKeyOf, FlowOf},
    frontend::{Frontend, FrontendKey, FrontendKeyOf},
    limits,
    service::{NameCell, Service},
    socket::{Origin, UdpPeer, UdpPeerKey},
    source_range::SourceRange,
};

/// Which service answers at this IPv4 address and port?
#[map]
static FRONTENDS_V4: HashMap<FrontendKey<Ipv4>, Frontend> =
    HashMap::with_max_entries(limits::FRONTENDS, 0);

/// Which service answers at this IPv6 address and port?
#[map]
static FRONTENDS_V6: HashMap<FrontendKey<Ipv6>, Frontend> =
    HashMap::with_max_entries(limits::FRONTENDS, 0);

/// Is this address the node's own, and do NodePorts answer there?
#[map]
pub static NODE_ADDRESSES: HashMap<Address, u32> =
    HashMap::with_max_entries(limits::NODE_ADDRESSES, 0);

/// What is this service, and where are its lists?
#[map]
pub static SERVICES: Array<Service> = Array::with_max_entries(limits::SERVICES, BPF_F_MMAPABLE);

/// Which backend stands at this position of a list?
#[map]
pub static SLOTS: Array<u32> = Array::with_max_entries(limits::SLOTS, BPF_F_MMAPABLE);

/// Where is this backend?
#[map]
pub static BACKENDS: Array<Backend> = Array::with_max_entries(limits::BACKENDS, BPF_F_MMAPABLE);

/// What is this service called? Only people ask.
#[map]
static NAMES: Array<NameCell> = Array::with_max_entries(limits::NAME_CELLS, BPF_F_MMAPABLE);

/// What becomes of this IPv4 flow's packets?
#[map]
static FLOWS_V4: LruHashMap<FlowKey<Ipv4>, Flow<Ipv4>> =
    LruHashMap::with_max_entries(limits::FLOWS, 0);

/// What becomes of this IPv6 flow's packets?
#[map]
static FLOWS_V6: LruHashMap<FlowKey<Ipv6>, Flow<Ipv6>> =
    LruHashMap::with_max_entries(limits::FLOWS, 0);

/// Which backend does this client stay with?
#[map]
pub static AFFINITY: LruHashMap<AffinityKey, Affinity> =
    LruHashMap::with_max_entries(limits::AFFINITIES, 0);

/// May this client use this service's load-balancer VIPs?
#[map]
pub static SOURCE_RANGES: LpmTrie<SourceRange, u32> =
    LpmTrie::with_max_entries(limits::SOURCE_RANGES, BPF_F_NO_PREALLOC);

/// Where does this unconnected UDP socket's datagram go, and whom does the answer show?
#[map]
pub static UDP_PEERS: LruHashMap<UdpPeerKey, UdpPeer> =
    LruHashMap::with_max_entries(limits::UDP_PEERS, 0);

/// What did this connected socket ask for?
#[btf_map]
pub static SOCKET_ORIGIN: SkStorage<Origin> = SkStorage::new();

/// Do we sit on this device, and with which address do flows leave by it?
#[map]
pub static DEVICES: HashMap<u32, Device> = HashMap::with_max_entries(limits::DEVICES, 0);

/// Room for what does not fit the stack. One row, one a CPU.
#[map]
static SCRATCH_V4: PerCpuArray<Scratch<V4>> = PerCpuArray::with_max_entries(1, 0);

/// As `SCRATCH_V4`.
#[map]
static SCRATCH_V6: PerCpuArray<Scratch<V6>> = PerCpuArray::with_max_entries(1, 0);

/// Both halves of a flow under construction. Two IPv6 halves with their keys take 200 bytes, and
/// a program has 512 for everything. The programs that use it run in softirq on one CPU, one after
/// the other, so nobody else writes here meanwhile.
#[repr(C)]
pub struct Scratch<F: Family> {
    /// The half whose packet is at hand.
    pub flow: FlowOf<F>,
    /// Key of the other half.
    pub other_key: FlowKeyOf<F>,
    /// The other half.
    pub other: FlowOf<F>,
}

/// How often did this happen?
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::ALL.len() as u32, 0);

/// The maps a family has of its own.
pub trait Tables: Family {
    /// Its frontends.
    fn frontends() -> &'static HashMap<FrontendKeyOf<Self>, Frontend>;
    /// Its flows.
    fn flows() -> &'static LruHashMap<FlowKeyOf<Self>, FlowOf<Self>>;
    /// Its scratch room.
    fn scratch() -> &'static PerCpuArray<Scratch<Self>>;
}

impl Tables for V4 {
    #[inline(always)]
    fn frontends() -> &'static HashMap<FrontendKey<Ipv4>, Frontend> {
        &FRONTENDS_V4
    }

    #[inline(always)]
    fn flows() -> &'static LruHashMap<FlowKey<Ipv4>, Flow<Ipv4>> {
        &FLOWS_V4
    }

    #[inline(always)]
    fn scratch() -> &'static PerCpuArray<Scratch<V4>> {
        &SCRATCH_V4
    }
}

impl Tables for V6 {
    #[inline(always)]
    fn frontends() -> &'static HashMap<FrontendKey<Ipv6>, Frontend> {
        &FRONTENDS_V6
    }

    #[inline(always)]
    fn flows() -> &'static LruHashMap<FlowKey<Ipv6>, Flow<Ipv6>> {
        &FLOWS_V6
    }

    #[inline(always)]
    fn scratch() -> &'static PerCpuArray<Scratch<V6>> {
        &SCRATCH_V6
    }
}
