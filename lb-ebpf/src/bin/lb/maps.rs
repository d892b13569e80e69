//! Every map, and the question it answers. Sizes here are the defaults; the agent sets its own.
//!
//! All are BTF maps, so that `bpftool map dump` shows their rows field by field.

use crate::route::FibParams;
use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, Queue, SkStorage},
    macros::btf_map,
};
use lb_common::{
    Address, Family, V4, V6,
    affinity::{Affinity, AffinityKey},
    backend::Backend,
    counter::Counter,
    device::Device,
    flow::{FlowKeyOf, FlowOf, TokenOf},
    fragment::{FragmentKey, Ports},
    frontend::{Frontend, FrontendKeyOf},
    limits,
    pool::{Lock, Pool, PoolKey},
    service::{NameCell, Service},
    socket::{Origin, UdpPeer, UdpPeerKey},
    source_range::SourceRange,
};
use lb_ebpf::wait::Age;

const SERVICES_SIZE: usize = limits::SERVICES as usize;
const SLOTS_SIZE: usize = limits::SLOTS as usize;
const BACKENDS_SIZE: usize = limits::BACKENDS as usize;
const NAMES_SIZE: usize = limits::NAME_CELLS as usize;
const FRONTENDS_SIZE: usize = limits::FRONTENDS as usize;
const FLOWS_SIZE: usize = limits::FLOWS as usize;
const COUNTERS_SIZE: usize = Counter::ALL.len();
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;
const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

type Frontends<F> = HashMap<FrontendKeyOf<F>, Frontend, FRONTENDS_SIZE>;
type Flows<F> = HashMap<FlowKeyOf<F>, FlowOf<F>, FLOWS_SIZE>;
type Provisional<F> = Queue<TokenOf<F>, { limits::PROVISIONAL as usize }>;
/// Tokens of flows that have ended may be left over in it: as many as flows, and once more.
type Confirmed<F> = Queue<TokenOf<F>, FLOWS_SIZE>;
type ScratchRoom<F> = PerCpuArray<Scratch<F>, 1>;

/// Which service answers at this IPv4 address and port?
#[btf_map]
static FRONTENDS_V4: Frontends<V4> = Frontends::<V4>::new();

/// Which service answers at this IPv6 address and port?
#[btf_map]
static FRONTENDS_V6: Frontends<V6> = Frontends::<V6>::new();

/// Is this address the node's own, and do NodePorts answer there?
#[btf_map]
pub static NODE_ADDRESSES: HashMap<Address, u32, { limits::NODE_ADDRESSES as usize }> =
    HashMap::new();

/// Does this address belong to a Service and to nobody else?
#[btf_map]
pub static VIPS: HashMap<Address, u32, { 2 * FRONTENDS_SIZE }, NO_PREALLOC> = HashMap::new();

/// What is this service, and where are its lists?
#[btf_map]
pub static SERVICES: Array<Service, SERVICES_SIZE, MMAPABLE> = Array::new();

/// Which backend stands at this position of a list?
#[btf_map]
pub static SLOTS: Array<u32, SLOTS_SIZE, MMAPABLE> = Array::new();

/// Where is this backend?
#[btf_map]
pub static BACKENDS: Array<Backend, BACKENDS_SIZE, MMAPABLE> = Array::new();

/// What is this service called? Only people ask.
#[btf_map]
static NAMES: Array<NameCell, NAMES_SIZE, MMAPABLE> = Array::new();

/// What becomes of this IPv4 flow's packets?
#[btf_map]
static FLOWS_V4: Flows<V4> = Flows::<V4>::new();

/// What becomes of this IPv6 flow's packets?
#[btf_map]
static FLOWS_V6: Flows<V6> = Flows::<V6>::new();

/// Which ports did the first fragment of this datagram have?
#[btf_map]
pub static FRAGMENTS: LruHashMap<FragmentKey, Ports, { limits::FRAGMENTS as usize }> =
    LruHashMap::new();

/// When may this CPU make the next ICMP error?
#[btf_map]
pub static ICMP_CLOCK: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Which IPv4 flow is not confirmed yet, oldest first?
#[btf_map]
static PROVISIONAL_V4: Provisional<V4> = Provisional::<V4>::new();

/// Which IPv6 flow is not confirmed yet, oldest first?
#[btf_map]
static PROVISIONAL_V6: Provisional<V6> = Provisional::<V6>::new();

/// Which IPv4 flow was not looked at for longest?
#[btf_map]
static CONFIRMED_V4: Confirmed<V4> = Confirmed::<V4>::new();

/// Which IPv6 flow was not looked at for longest?
#[btf_map]
static CONFIRMED_V6: Confirmed<V6> = Confirmed::<V6>::new();

/// Which source ports towards this backend are taken? Made as they are needed: most backends of a
/// large cluster are never called through this node.
#[btf_map]
pub static POOLS: HashMap<PoolKey, Pool, { limits::POOLS as usize }, NO_PREALLOC> = HashMap::new();

/// What a new pool looks like. (A value with a lock in it cannot stand on the stack, nor be a part
/// of the scratch room.)
#[btf_map]
pub static BLANK_POOL: Array<BlankPool, 1> = Array::new();

/// The pool at hand; not on the stack for the same reason as `SCRATCH_V4`.
#[btf_map]
pub static POOL_AT: PerCpuArray<PoolKey, 1> = PerCpuArray::new();

/// Who ends this flow? By its id.
#[btf_map]
pub static LOCKS: Array<Lock, { limits::LOCKS as usize }> = Array::new();

/// Which backend does this client stay with?
#[btf_map]
pub static AFFINITY: LruHashMap<AffinityKey, Affinity, { limits::AFFINITIES as usize }> =
    LruHashMap::new();

/// May this client use this service's load-balancer VIPs?
#[btf_map]
pub static SOURCE_RANGES: LpmTrie<SourceRange, u32, { limits::SOURCE_RANGES as usize }> =
    LpmTrie::new();

/// Where does this unconnected UDP socket's datagram go, and whom does the answer show?
#[btf_map]
pub static UDP_PEERS: LruHashMap<UdpPeerKey, UdpPeer, { limits::UDP_PEERS as usize }> =
    LruHashMap::new();

/// What did this connected socket ask for?
#[btf_map]
pub static SOCKET_ORIGIN: SkStorage<Origin> = SkStorage::new();

/// Do we sit on this device, and with which address do flows leave by it?
#[btf_map]
pub static DEVICES: HashMap<u32, Device, { limits::DEVICES as usize }> = HashMap::new();

/// Room for what does not fit the stack. One row, one a CPU.
#[btf_map]
static SCRATCH_V4: ScratchRoom<V4> = ScratchRoom::<V4>::new();

/// As `SCRATCH_V4`.
#[btf_map]
static SCRATCH_V6: ScratchRoom<V6> = ScratchRoom::<V6>::new();

/// A question to the kernel's FIB; not on the stack for the same reason as `SCRATCH_V4`.
#[btf_map]
pub static FIB: PerCpuArray<FibParams, 1> = PerCpuArray::new();

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
    /// Key of the half whose packet is at hand.
    pub key: FlowKeyOf<F>,
    /// First key of a flow that is being ended, or asked about.
    pub ending: FlowKeyOf<F>,
    /// The other key of that flow.
    pub ending_answer: FlowKeyOf<F>,
    /// The [id](lb_common::flow::Flow::id) of a known flow that its packet is to leave.
    pub stale: u32,
    /// How old the packet is that opens the flow.
    pub age: Age,
    /// Of a flow that is being closed: what its backend may wait for.
    pub wait: u32,
    /// Device that a flow to a backend elsewhere leaves by.
    pub ifindex: u32,
    /// What became of the new flow.
    pub opened: u32,
}

/// As large as a [`Pool`], and zero.
pub type BlankPool = [u64; size_of::<Pool>() / 8];

/// How often did this happen?
#[btf_map]
pub static COUNTERS: PerCpuArray<u64, COUNTERS_SIZE> = PerCpuArray::new();

/// The maps a family has of its own.
pub trait Tables: Family {
    /// Its frontends.
    fn frontends() -> &'static Frontends<Self>;
    /// Its flows.
    fn flows() -> &'static Flows<Self>;
    /// Tokens of its flows that are not confirmed yet.
    fn provisional() -> &'static Provisional<Self>;
    /// Tokens of its confirmed flows.
    fn confirmed() -> &'static Confirmed<Self>;
    /// Its scratch room.
    fn scratch() -> &'static ScratchRoom<Self>;
}

impl Tables for V4 {
    #[inline(always)]
    fn frontends() -> &'static Frontends<V4> {
        &FRONTENDS_V4
    }

    #[inline(always)]
    fn flows() -> &'static Flows<V4> {
        &FLOWS_V4
    }

    #[inline(always)]
    fn provisional() -> &'static Provisional<V4> {
        &PROVISIONAL_V4
    }

    #[inline(always)]
    fn confirmed() -> &'static Confirmed<V4> {
        &CONFIRMED_V4
    }

    #[inline(always)]
    fn scratch() -> &'static ScratchRoom<V4> {
        &SCRATCH_V4
    }
}

impl Tables for V6 {
    #[inline(always)]
    fn frontends() -> &'static Frontends<V6> {
        &FRONTENDS_V6
    }

    #[inline(always)]
    fn flows() -> &'static Flows<V6> {
        &FLOWS_V6
    }

    #[inline(always)]
    fn provisional() -> &'static Provisional<V6> {
        &PROVISIONAL_V6
    }

    #[inline(always)]
    fn confirmed() -> &'static Confirmed<V6> {
        &CONFIRMED_V6
    }

    #[inline(always)]
    fn scratch() -> &'static ScratchRoom<V6> {
        &SCRATCH_V6
    }
}
