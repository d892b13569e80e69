//! Time that passes for what the tables remember of clients.

use std::{path::Path, time::Duration};

use aya::maps::{HashMap, Map, MapData};
use lb_common::{
    affinity::{Affinity, AffinityKey},
    names,
};

/// Makes every client's last new flow look as if it had been that much longer ago, in the tables
/// that are pinned in a folder.
pub fn age_affinity(maps: &Path, by: Duration) {
    let map = MapData::from_pin(maps.join(names::AFFINITY)).unwrap();
    let mut entries: HashMap<_, AffinityKey, Affinity> = Map::LruHashMap(map).try_into().unwrap();
    let all: Vec<_> = entries.iter().map(Result::unwrap).collect();
    for (key, mut entry) in all {
        entry.seen_ns -= by.as_nanos() as u64;
        entries.insert(key, entry, 0).unwrap();
    }
}
