//! What the programs remember: flows, source ports and clients, to be looked at and to be aged.

use std::{path::Path, time::Duration};

use aya::{
    Pod,
    maps::{Map, MapData},
};
use lb_common::{
    Family, V4, V6,
    affinity::{Affinity, AffinityKey},
    flow::{Flow, FlowKeyOf, FlowOf, kind},
    limits, names,
    pool::{Pool, PoolKey},
};
use lb_userspace::maps::{FlowTables, PoolFill, Reader};

use super::Rig;
use crate::ageing::age_affinity;

impl Rig {
    /// How many entries the flow tables have.
    pub fn flows(&self) -> usize {
        let reader = Reader::new(&self.maps);
        reader.flows_v4().unwrap().len() + reader.flows_v6().unwrap().len()
    }

    /// What was seen of the answers of each flow, as flags of [`lb_common::flow::state`].
    pub fn states(&self) -> Vec<u8> {
        let reader = Reader::new(&self.maps);
        let is_answer = |kind| matches!(kind, kind::FROM_LOCAL | kind::FROM_REMOTE);
        let (v4, v6) = (reader.flows_v4().unwrap(), reader.flows_v6().unwrap());
        let v4 = v4.iter().map(|(_, flow)| (flow.kind, flow.state));
        let all = v4.chain(v6.iter().map(|(_, flow)| (flow.kind, flow.state)));
        all.filter(|(kind, _)| is_answer(*kind)).map(|(_, state)| state).collect()
    }

    /// Makes every flow look as if its last packet had been so many seconds ago.
    pub fn rest(&self, seconds: u32) {
        change::<V4>(&self.maps.join(names::FLOWS_V4), |flow| rest(flow, seconds));
        change::<V6>(&self.maps.join(names::FLOWS_V6), |flow| rest(flow, seconds));
    }

    /// Makes every flow look as if tc had not sent a packet of it for long.
    pub fn hide(&self) {
        change::<V4>(&self.maps.join(names::FLOWS_V4), hide);
        change::<V6>(&self.maps.join(names::FLOWS_V6), hide);
    }

    /// Takes all flows away, as if this were a node that has seen none of them.
    pub fn forget(&self) {
        forget::<V4>(&self.maps.join(names::FLOWS_V4));
        forget::<V6>(&self.maps.join(names::FLOWS_V6));
    }

    /// How many entries there are without the other half of their flow.
    pub fn halves(&self) -> usize {
        let reader = Reader::new(&self.maps);
        halves::<V4>(&reader.flows_v4().unwrap()) + halves::<V6>(&reader.flows_v6().unwrap())
    }

    /// How full the source ports are, the fullest backend first.
    pub fn pools(&self) -> Vec<PoolFill> {
        Reader::new(&self.maps).pools().unwrap()
    }

    /// Makes a pool of source ports look like this.
    pub fn put_pool(&self, key: &PoolKey, pool: &Pool) {
        let map = Map::HashMap(MapData::from_pin(self.maps.join(names::POOLS)).unwrap());
        let mut pools = aya::maps::HashMap::<_, PoolKey, Pool>::try_from(map).unwrap();
        pools.insert(key, pool, 0).unwrap();
    }

    /// What the agent does now and then.
    pub fn upkeep(&self) -> FlowTables {
        FlowTables::open(&self.maps, self.programs.sweep().unwrap(), true).unwrap()
    }

    /// Makes every client's last new flow look as if it had been that much longer ago.
    pub fn age_affinity(&self, by: Duration) {
        age_affinity(&self.maps, by);
    }

    /// Which clients are remembered, and when they came last.
    pub fn affinity(&self) -> Vec<(AffinityKey, Affinity)> {
        Reader::new(&self.maps).affinity().unwrap()
    }
}

type Flows<F> = aya::maps::HashMap<MapData, FlowKeyOf<F>, FlowOf<F>>;
type Entries<F> = Vec<(FlowKeyOf<F>, FlowOf<F>)>;

fn open<F: Family>(path: &Path) -> (Flows<F>, Entries<F>)
where
    FlowKeyOf<F>: Pod,
    FlowOf<F>: Pod,
{
    let map = Map::HashMap(MapData::from_pin(path).unwrap());
    let flows = Flows::<F>::try_from(map).unwrap();
    let all = flows.iter().map(Result::unwrap).collect();
    (flows, all)
}

fn change<F: Family>(path: &Path, change: impl Fn(&mut FlowOf<F>))
where
    FlowKeyOf<F>: Pod,
    FlowOf<F>: Pod,
{
    let (mut flows, all) = open::<F>(path);
    for (key, mut flow) in all {
        change(&mut flow);
        flows.insert(key, flow, 0).unwrap();
    }
}

fn rest<A>(flow: &mut Flow<A>, seconds: u32) {
    flow.seen_jiffies = flow.seen_jiffies.wrapping_sub(2 * limits::FLOW_REFRESH_MS);
    flow.seen_s = flow.seen_s.wrapping_sub(seconds);
}

fn hide<A>(flow: &mut Flow<A>) {
    flow.shown = flow.shown.wrapping_sub(limits::SHOWN_UNITS);
}

fn forget<F: Family>(path: &Path)
where
    FlowKeyOf<F>: Pod,
    FlowOf<F>: Pod,
{
    let (mut flows, all) = open::<F>(path);
    all.iter().for_each(|(key, _)| flows.remove(key).unwrap());
}

fn halves<F: Family>(flows: &[(FlowKeyOf<F>, FlowOf<F>)]) -> usize {
    let has_other = |key: &FlowKeyOf<F>, flow: &FlowOf<F>| {
        flows.iter().any(|(other_key, other)| {
            (other.id, other.source, other.source_port)
                == (flow.id, key.destination, key.destination_port)
                && (other_key.source, other_key.source_port)
                    == (flow.destination, flow.destination_port)
        })
    };
    flows.iter().filter(|(key, flow)| !has_other(key, flow)).count()
}
