//! The node this agent serves.

use std::sync::Arc;

/// What eligibility depends on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Its name; endpoints with this `nodeName` are local.
    pub name: Arc<str>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
}
