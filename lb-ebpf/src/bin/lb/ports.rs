//! Source ports of ours: taking them from pools, giving them back.
//!
//! Which pool is meant stands in a room of this CPU's own, so that the functions here take only
//! numbers: called and not inlined, they are verified once, and what they do under a lock is
//! together in one place.

use lb_common::{Be16, Family, pool::PoolKey};

use crate::{lookup, settings};

/// Instead of a port: none is free.
pub const NONE: u32 = 0;
/// Instead of a port: there is no room for another pool.
pub const NO_POOL: u32 = 1 << 16;

/// Says which pool is meant from now on: that of an address of ours towards a backend.
#[inline(always)]
pub fn towards<F: Family>(
    backend: F::Address,
    backend_port: Be16,
    address: F::Address,
    protocol: u8,
) -> Option<()> {
    let (first, ports) = settings::snat_ports();
    *lookup::pool_key()? = PoolKey {
        backend: F::widen(backend),
        address: F::widen(address),
        backend_port,
        first,
        ports,
        protocol,
        pad: 0,
    };
    Some(())
}

/// Takes a port: the one that is wanted if it is of the range and free, else the next free one.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn take_port(wanted: u32) -> u32 {
    let Some(key) = lookup::pool_key() else { return NO_POOL };
    let (first, ports) = range();
    let Some(pool) = lookup::pool(key) else { return NO_POOL };
    let wanted = wanted.wrapping_sub(first);
    let taken = pool.locked(|pool| {
        if wanted < ports && pool.take(wanted) { Some(wanted) } else { pool.take_next(ports) }
    });
    taken.map_or(NONE, |port| first + port)
}

/// Gives a port back. One that is not of the range, which may have been another, is nobody's.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn give_port(port: u32) -> u32 {
    let Some(key) = lookup::pool_key() else { return 0 };
    let (first, ports) = range();
    let port = port.wrapping_sub(first);
    if port < ports
        && let Some(pool) = lookup::existing_pool(key)
    {
        pool.locked(|pool| pool.give(port));
    }
    0
}

/// The next port in turn, free or not: who holds it is going to be asked.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn next_port() -> u32 {
    let Some(key) = lookup::pool_key() else { return NONE };
    let (first, ports) = range();
    lookup::existing_pool(key).map_or(NONE, |pool| first + pool.locked(|pool| pool.step(ports)))
}

#[inline(always)]
fn range() -> (u32, u32) {
    let (first, ports) = settings::snat_ports();
    (first.into(), ports.into())
}
