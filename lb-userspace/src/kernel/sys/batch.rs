//! Many entries of a hash table in one call.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use aya::Pod;

use super::{bpf, command};

/// Attributes of the batch commands.
#[repr(C)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// How far a batch came, and why it came no further.
pub type Outcome = (usize, io::Result<()>);

/// Inserts or replaces entries, in order, as far as it can.
///
/// The sizes of `K` and `V` are the map's key and value size; the caller has checked that.
pub fn update_batch<K: Pod, V: Pod>(map: BorrowedFd<'_>, keys: &[K], values: &[V]) -> Outcome {
    let count = keys.len().min(values.len());
    write(command::MAP_UPDATE_BATCH, map, keys.as_ptr() as u64, values.as_ptr() as u64, count)
}

/// Removes entries, in order, as far as it can; it stops at one that is not there.
pub fn delete_batch<K: Pod>(map: BorrowedFd<'_>, keys: &[K]) -> Outcome {
    write(command::MAP_DELETE_BATCH, map, keys.as_ptr() as u64, 0, keys.len())
}

fn write(command: libc::c_int, map: BorrowedFd<'_>, keys: u64, values: u64, n: usize) -> Outcome {
    let mut attributes = Batch {
        from: 0,
        to: 0,
        keys,
        values,
        count: n as u32,
        map: map.as_raw_fd() as u32,
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: `Batch` is laid out as these attributes are; both callers borrow slices of at least
    // `n` elements of the map's own sizes over the call, and the kernel only reads them.
    let result = unsafe { bpf(command, &mut attributes) }.map(|_| ());
    let done = if result.is_ok() { n } else { n.min(attributes.count as usize) };
    (done, result)
}

/// What the kernel uses to find its place again: a bucket number or a key, 64 bytes hold either.
type Cursor = [u64; 8];

/// Entries asked for at once, of ordinary and of large values; a bucket of a hash table never holds
/// nearly as many.
const fn stride<V>() -> usize {
    if size_of::<V>() < 1_024 { 4_096 } else { 256 }
}

/// All entries of a hash table. While others write, an entry may be missed or met twice.
///
/// The sizes of `K` and `V` are the map's key and value size; the caller has checked that.
pub fn read_all<K, V>(map: BorrowedFd<'_>) -> io::Result<Vec<(K, V)>>
where
    K: Pod + Default,
    V: Pod + Default,
{
    let stride = stride::<V>();
    let mut keys = vec![K::default(); stride];
    let mut values = vec![V::default(); stride];
    let mut found = Vec::new();
    let (mut from, mut to): (Cursor, Cursor) = Default::default();
    let mut first = true;
    loop {
        let mut attributes = Batch {
            from: if first { 0 } else { from.as_ptr() as u64 },
            to: to.as_mut_ptr() as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: stride as u32,
            map: map.as_raw_fd() as u32,
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: `Batch` is laid out as these attributes are; keys and values have room for
        // `count` elements of the map's sizes, both cursors for a key; plain data has no invalid
        // bit pattern.
        let result = unsafe { bpf(command::MAP_LOOKUP_BATCH, &mut attributes) };
        let last = match result {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        let count = stride.min(attributes.count as usize);
        found.extend(keys.iter().copied().zip(values.iter().copied()).take(count));
        if last {
            return Ok(found);
        }
        (from, first) = (to, false);
    }
}
