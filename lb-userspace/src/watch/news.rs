//! What a source hands over.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use crate::model::{Picture, Rejection, ServiceName};

/// A source's view of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    /// Everything that is there.
    pub picture: Arc<Picture>,
    /// Everything that was refused.
    pub rejections: Arc<[Rejection]>,
    /// False while there is something that could never be read since the start: what it would say
    /// is unknown, so nothing may be taken down because it is missing from the picture.
    pub complete: bool,
    /// What set off the changes since the last news.
    pub triggers: Vec<Trigger>,
}

/// When the control plane saw what changed a Service's endpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trigger {
    /// The Service.
    pub service: ServiceName,
    /// The moment, by the control plane's clock.
    pub at: SystemTime,
}

/// The own Node object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeNews {
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// `status.addresses` of type InternalIP, in order.
    pub internal_ips: Vec<IpAddr>,
    /// It is to receive traffic from load balancers: not being deleted, nor marked for removal by
    /// the cluster autoscaler.
    pub eligible: bool,
    /// There is such an object. When it is gone the rest is as it was last.
    pub exists: bool,
}
