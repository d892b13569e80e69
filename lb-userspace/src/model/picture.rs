//! Everything the sources of objects know at one moment.

use std::{collections::BTreeMap, sync::Arc};

use super::{EndpointSlice, Service, ServiceName};

/// A complete picture: what is not in it does not exist. Objects that did not change between two
/// pictures are the same allocation in both, so a reader may compare pointers first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Picture {
    /// Services by name.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
    /// EndpointSlices by the Service they belong to, whether or not that exists.
    pub slices: BTreeMap<ServiceName, Vec<Arc<EndpointSlice>>>,
}
