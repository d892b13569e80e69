//! What should be: Services, EndpointSlices and the node as values, and what follows from them.
//!
//! Pure: no clock, no file, no kernel, no Kubernetes client. [`watch`](crate::watch) makes these
//! values, [`plan`](crate::plan) turns what follows from them into table content.

mod endpoint;
mod node;
mod port;
mod rejection;
mod service;

pub use endpoint::{Conditions, Endpoint, EndpointSlice, Hints, SlicePort};
pub use node::Node;
pub use port::{Backend, Frontend, FrontendKind, PortId, ServicePort};
pub use rejection::Rejection;
pub use service::{IpFamily, Port, Service, ServiceName, ServiceType, TrafficPolicy};
