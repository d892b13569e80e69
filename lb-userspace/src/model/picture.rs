//! A source's complete view of the cluster, and what differs between two of them.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{EndpointSlice, Service, ServiceName};

/// Everything a source knows, complete: what is not in it does not exist.
///
/// Objects are shared, so that a source which keeps an unchanged object's `Arc` makes the
/// comparison with the last picture a comparison of pointers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Picture {
    /// Services by name.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
    /// EndpointSlices by the Service they belong to, which need not exist.
    pub slices: BTreeMap<ServiceName, Vec<Arc<EndpointSlice>>>,
}

impl Picture {
    /// The Services of which an object differs between the two pictures.
    pub(super) fn differences(&self, other: &Self) -> BTreeSet<ServiceName> {
        let mut names = BTreeSet::new();
        differing_keys(&self.services, &other.services, same, &mut names);
        let same_slices = |a: &Vec<Arc<_>>, b: &Vec<Arc<_>>| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        };
        differing_keys(&self.slices, &other.slices, same_slices, &mut names);
        names
    }
}

fn same<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// Walks two sorted maps side by side: no look-up, and no allocation for what is the same.
fn differing_keys<V>(
    a: &BTreeMap<ServiceName, V>,
    b: &BTreeMap<ServiceName, V>,
    same: impl Fn(&V, &V) -> bool,
    names: &mut BTreeSet<ServiceName>,
) {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) if a.is_shared_with(b) => Ordering::Equal,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let was = if order.is_le() { left.next() } else { None };
        let is = if order.is_ge() { right.next() } else { None };
        match (was, is) {
            (Some((_, a)), Some((_, b))) if same(a, b) => {}
            (Some((name, _)), _) | (_, Some((name, _))) => {
                names.insert(name.clone());
            }
            (None, None) => return,
        }
    }
}
