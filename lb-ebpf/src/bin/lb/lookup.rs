//! Reading and writing maps without `unsafe` at the place of use.
//!
//! References into a map stay valid for the whole run of a program: the kernel frees an element
//! only after a grace period. What can happen is that it is changed, or given to another key,
//! while we look. That is why values are copied out, and whoever changes one in place writes
//! single aligned words that mean something by themselves.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, Queue, lpm_trie::Key},
    helpers::generated::{bpf_spin_lock, bpf_spin_unlock},
    programs::SockAddrContext,
};
use lb_common::{
    Family,
    affinity::{Affinity, AffinityKey},
    flow::{FlowKeyOf, FlowOf, Hop},
    limits,
    pool::{Pool, PoolKey},
    run::Run,
    service::{Service, ServiceSettings},
    socket::Origin,
    source_range::{FULL_PREFIX, SourceRange},
};

use crate::maps::{
    BLANK_POOL, FIB, ICMP_CLOCK, LOCKS, POOL_AT, POOLS, SERVICES, SOCKET_ORIGIN, SOURCE_RANGES,
    Scratch, Tables,
};
use crate::route::FibParams;

/// A copy of a hash map's value.
#[inline(always)]
pub fn get<K, V: Copy, const N: usize, const F: usize>(
    map: &HashMap<K, V, N, F>,
    key: &K,
) -> Option<V> {
    // SAFETY: the element is readable (see the module's header) and copied at once.
    map.get_ptr(key).map(|value| unsafe { *value })
}

/// A reference to an LRU map's value; the next packet of another key may change it.
#[inline(always)]
pub fn find<'a, K, V, const N: usize>(map: &'a LruHashMap<K, V, N>, key: &K) -> Option<&'a V> {
    // SAFETY: the element stays readable for the program's run (see the module's header).
    map.get_ptr(key).map(|value| unsafe { &*value })
}

/// A flow's entry in its table, to be read and, now and then, changed in place.
#[derive(Clone, Copy)]
pub struct Entry<F: Family>(*mut FlowOf<F>);

impl<F: Tables> Entry<F> {
    /// The entry of a key.
    #[inline(always)]
    pub fn find(key: &FlowKeyOf<F>) -> Option<Self> {
        F::flows().get_ptr_mut(key).map(Self)
    }

    /// Its value. Once the flow has been ended, the kernel may give the element to another.
    #[inline(always)]
    pub fn flow(&self) -> &FlowOf<F> {
        // SAFETY: the element stays readable for the program's run (see the module's header).
        unsafe { &*self.0 }
    }

    /// Notes when the flow was seen and what of it, each with one store: an insertion in place of
    /// this would cost ten times as much.
    #[inline(always)]
    pub fn refresh(&self, jiffies: u32, seconds: u32, state: u8) {
        // SAFETY: inside the element; aligned, and each word means something by itself.
        unsafe {
            core::ptr::write_volatile(&raw mut (*self.0).seen_jiffies, jiffies);
            core::ptr::write_volatile(&raw mut (*self.0).seen_s, seconds);
            core::ptr::write_volatile(&raw mut (*self.0).state, state);
        }
    }

    /// Notes what was seen of the flow, and when, apart from the time that says for how long the
    /// next hop is believed.
    #[inline(always)]
    pub fn note(&self, seconds: u32, state: u8) {
        // SAFETY: as in `refresh`.
        unsafe {
            core::ptr::write_volatile(&raw mut (*self.0).seen_s, seconds);
            core::ptr::write_volatile(&raw mut (*self.0).state, state);
        }
    }

    /// Notes where the flow's packets leave. Most often it is what stands there already; if not,
    /// another CPU that looks meanwhile may send one packet astray, as happens to packets under way
    /// when a route changes.
    #[inline(always)]
    pub fn remember(&self, hop: &Hop) {
        let rest = u32::from(hop.fits) | u32::from(hop.tos) << 16 | u32::from(hop.xdp) << 24;
        // SAFETY: inside the element, and each word aligned; the last three fields are one.
        unsafe {
            let place = &raw mut (*self.0).hop;
            core::ptr::write_volatile(&raw mut (*place).ethernet[0], hop.ethernet[0]);
            core::ptr::write_volatile(&raw mut (*place).ethernet[1], hop.ethernet[1]);
            core::ptr::write_volatile(&raw mut (*place).ethernet[2], hop.ethernet[2]);
            core::ptr::write_volatile((&raw mut (*place).fits).cast(), rest);
            core::ptr::write_volatile(&raw mut (*place).ifindex, hop.ifindex);
        }
    }

    /// Forgets where the flow's packets leave.
    #[inline(always)]
    pub fn forget_hop(&self) {
        // SAFETY: inside the element, and aligned.
        unsafe { core::ptr::write_volatile(&raw mut (*self.0).hop.ifindex, 0) };
    }

    /// Notes when the kernel's neighbour table last had a part in sending a packet of the flow.
    #[inline(always)]
    pub fn show(&self, now: u8) {
        // SAFETY: inside the element; a byte by itself.
        unsafe { core::ptr::write_volatile(&raw mut (*self.0).shown, now) };
    }

    /// Notes in the client's direction that the backend has answered.
    #[inline(always)]
    pub fn set_answered(&self) {
        // SAFETY: inside the element; a byte by itself.
        unsafe { core::ptr::write_volatile(&raw mut (*self.0).answered, 1) };
    }

    /// Notes in the answer's direction what the backend waits for.
    #[inline(always)]
    pub fn set_wait(&self, wait: u32) {
        // SAFETY: inside the element, and aligned.
        unsafe { core::ptr::write_volatile(&raw mut (*self.0).end, wait) };
    }

    /// Moves the flow with this id on to a later [`lb_common::flow::life`]. Of those who try, one
    /// gets the life it had before; nobody, if the element is another flow's by now.
    #[inline(always)]
    pub fn advance(&self, id: u32, to: u32) -> Option<u32> {
        let lock = LOCKS.get_ptr_mut(id & (limits::LOCKS - 1))?;
        // SAFETY: a lock in a map's value, held over nothing but loads and stores inside the
        // element, which are aligned.
        unsafe {
            bpf_spin_lock(lock.cast());
            let same = core::ptr::read_volatile(&raw const (*self.0).id) == id;
            let from = core::ptr::read_volatile(&raw const (*self.0).end);
            let moves = same && from < to;
            if moves {
                core::ptr::write_volatile(&raw mut (*self.0).end, to);
            }
            bpf_spin_unlock(lock.cast());
            moves.then_some(from)
        }
    }
}

/// What became of an entry that was to be new.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// It is in the table.
    In,
    /// The key was there: of several CPUs that try, one succeeds.
    Held,
    /// There was no room.
    Full,
}

/// Enters a flow's half if its key is not there.
#[inline(always)]
pub fn enter<F: Tables>(key: &FlowKeyOf<F>, half: &FlowOf<F>) -> Entered {
    const EEXIST: i32 = 17;
    match F::flows().insert(key, half, BPF_NOEXIST.into()) {
        Ok(()) => Entered::In,
        Err(error) if error == -EEXIST => Entered::Held,
        Err(_) => Entered::Full,
    }
}

/// Removes a flow's half.
#[inline(always)]
pub fn erase<F: Tables>(key: &FlowKeyOf<F>) {
    // Whoever ends a flow is the only one to remove its halves, so it is there.
    _ = F::flows().remove(key);
}

/// This CPU's note of the pool at hand.
#[inline(always)]
pub fn pool_key() -> Option<&'static mut PoolKey> {
    let key = POOL_AT.get_ptr_mut(0)?;
    // SAFETY: as in `scratch`.
    Some(unsafe { &mut *key })
}

/// The pool of a key, made if it is not there yet and there is room.
#[inline(always)]
pub fn pool(key: &PoolKey) -> Option<PoolAt> {
    if let Some(pool) = POOLS.get_ptr_mut(key) {
        return Some(PoolAt(pool));
    }
    let blank = BLANK_POOL.get_ptr(0)?.cast::<Pool>();
    // SAFETY: a row as large as a pool, of plain data, that nobody writes; the kernel copies it,
    // and leaves out the lock.
    let blank = unsafe { &*blank };
    // Another CPU may have been faster: then theirs is found.
    _ = POOLS.insert(key, blank, BPF_NOEXIST.into());
    POOLS.get_ptr_mut(key).map(PoolAt)
}

/// The pool of a key, if there is one.
#[inline(always)]
pub fn existing_pool(key: &PoolKey) -> Option<PoolAt> {
    POOLS.get_ptr_mut(key).map(PoolAt)
}

/// A pool in its table.
#[derive(Clone, Copy)]
pub struct PoolAt(*mut Pool);

impl PoolAt {
    /// Does something with the pool while nobody else does. `work` may call nothing that is not
    /// inlined: the verifier admits no call while a lock is held.
    #[inline(always)]
    pub fn locked<T>(self, work: impl FnOnce(&mut Pool) -> T) -> T {
        // SAFETY: the element stays for the program's run (see the module's header), the lock is
        // its own, and whoever changes the rest holds it.
        unsafe {
            bpf_spin_lock((&raw mut (*self.0).lock).cast());
            let result = work(&mut *self.0);
            bpf_spin_unlock((&raw mut (*self.0).lock).cast());
            result
        }
    }
}

/// The oldest token of a queue, taken out.
#[inline(always)]
pub fn pop<T, const N: usize>(queue: &Queue<T, N>) -> Option<T> {
    queue.pop().ok().flatten()
}

/// The oldest token of a queue.
#[inline(always)]
pub fn peek<T, const N: usize>(queue: &Queue<T, N>) -> Option<T> {
    queue.peek().ok().flatten()
}

/// Puts a token at the end of a queue, if there is room.
#[inline(always)]
pub fn push<T, const N: usize>(queue: &Queue<T, N>, token: &T) -> bool {
    queue.push(token, 0).is_ok()
}

/// Writes a value, whether or not the key is there.
#[inline(always)]
pub fn put<K, V, const N: usize>(map: &LruHashMap<K, V, N>, key: &K, value: &V) -> Option<()> {
    map.insert(key, value, BPF_ANY.into()).ok()
}

/// Writes a value if the key is not there: of several CPUs that try, one succeeds.
#[inline(always)]
pub fn claim<K, V, const N: usize>(map: &LruHashMap<K, V, N>, key: &K, value: &V) -> bool {
    map.insert(key, value, BPF_NOEXIST.into()).is_ok()
}

/// Notes a client's new flow in its affinity, with one store.
#[inline(always)]
pub fn seen<const N: usize>(
    map: &LruHashMap<AffinityKey, Affinity, N>,
    key: &AffinityKey,
    now: u64,
) {
    if let Some(entry) = map.get_ptr_mut(key) {
        // SAFETY: inside the element, and aligned to 8 bytes.
        unsafe { core::ptr::write_volatile(&raw mut (*entry).seen_ns, now) };
    }
}

/// Removes a key.
#[inline(always)]
pub fn remove<K, V, const N: usize>(map: &LruHashMap<K, V, N>, key: &K) {
    // An LRU map may have dropped it already; then there is nothing left to do.
    _ = map.remove(key);
}

/// A copy of an array's row.
#[inline(always)]
pub fn row<V: Copy, const N: usize, const F: usize>(map: &Array<V, N, F>, index: u32) -> Option<V> {
    map.get(index).copied()
}

/// A service's run of the cluster list, or of the local list, read with one load.
#[inline(always)]
pub fn run(service: u32, local: bool) -> Option<Run> {
    let row = SERVICES.get_ptr(service)?;
    // SAFETY: inside the row; one aligned 64-bit volatile load, so the agent's store is met whole
    // or not at all.
    Some(unsafe {
        if local {
            core::ptr::read_volatile(&raw const (*row).local)
        } else {
            core::ptr::read_volatile(&raw const (*row).cluster)
        }
    })
}

/// The hash table of the same list, likewise; empty if there is none.
#[inline(always)]
pub fn hashed_run(service: u32, local: bool) -> Option<Run> {
    let row = SERVICES.get_ptr(service)?;
    // SAFETY: as in `run`.
    Some(unsafe {
        if local {
            core::ptr::read_volatile(&raw const (*row).local_hashed)
        } else {
            core::ptr::read_volatile(&raw const (*row).cluster_hashed)
        }
    })
}

/// A service's flags and affinity timeout, read with one load.
#[inline(always)]
pub fn settings(service: u32) -> Option<ServiceSettings> {
    let row: *const Service = SERVICES.get_ptr(service)?;
    // SAFETY: inside the row; aligned to 8 bytes and as large.
    Some(unsafe { core::ptr::read_volatile(&raw const (*row).settings) })
}

/// Adds to this CPU's value of a per-CPU array.
#[inline(always)]
pub fn add<const N: usize>(map: &PerCpuArray<u64, N>, index: u32, amount: u64) {
    if let Some(value) = map.get_ptr_mut(index) {
        // SAFETY: this CPU's own value, and programs do not move between CPUs while they run.
        unsafe { *value = (*value).wrapping_add(amount) };
    }
}

/// This CPU's next time to make an ICMP error, in nanoseconds.
#[inline(always)]
pub fn icmp_clock() -> Option<&'static mut u64> {
    let clock = ICMP_CLOCK.get_ptr_mut(0)?;
    // SAFETY: as in `add`.
    Some(unsafe { &mut *clock })
}

/// This CPU's scratch room. Not to be handed on as an argument: others look at it, too, and the
/// compiler takes an argument's word that nobody does.
#[inline(always)]
pub fn scratch<F: Tables>() -> Option<&'static mut Scratch<F>> {
    let room = F::scratch().get_ptr_mut(0)?;
    // SAFETY: this CPU's own room, and no other program runs meanwhile (see `Scratch`).
    Some(unsafe { &mut *room })
}

/// This CPU's room for a question to the FIB.
#[inline(always)]
pub fn fib_params() -> Option<&'static mut FibParams> {
    let room = FIB.get_ptr_mut(0)?;
    // SAFETY: as in `scratch`; a question is asked and answered before the next one.
    Some(unsafe { &mut *room })
}

/// Whether a client is in one of its service's source ranges.
#[inline(always)]
pub fn in_source_ranges(range: SourceRange) -> bool {
    SOURCE_RANGES.get(&Key::new(FULL_PREFIX, range)).is_some()
}

/// What a hook's socket asked for when it was connected.
#[inline(always)]
pub fn origin(ctx: &SockAddrContext) -> Option<Origin> {
    // SAFETY: the storage of the hook's own socket: null, or readable for the program's run.
    unsafe { SOCKET_ORIGIN.get_ptr_mut(ctx).as_ref().copied() }
}

/// Remembers what a hook's socket asks for.
#[inline(always)]
pub fn set_origin(ctx: &SockAddrContext, mut origin: Origin) {
    // SAFETY: as in `origin`; the kernel takes the lock of the socket around these hooks.
    unsafe {
        if let Some(stored) = SOCKET_ORIGIN.get_or_insert_ptr_mut(ctx, Some(&mut origin)).as_mut() {
            *stored = origin;
        }
    }
}
