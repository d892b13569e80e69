//! The only vocabulary for changing the kernel's tables.

use lb_common::{
    Address, Ipv4, Ipv6,
    backend::Backend,
    device::Device,
    frontend::{Frontend, FrontendKey},
    run::Run,
    service::{NameCell, Service, ServiceSettings},
    source_range::SourceRange,
};

/// One change of one table. Operations are values: a plan can be printed, tested and refused.
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    /// Writes a whole row of `BACKENDS` that nothing names yet, or that is being retired.
    PutBackend {
        /// The row.
        index: u32,
        /// Its content.
        backend: Backend,
    },
    /// Writes slots of a run that nothing names yet.
    WriteSlots {
        /// Position of the first.
        offset: u32,
        /// Backend indices.
        backends: Vec<u32>,
    },
    /// Writes a name that nothing names yet.
    WriteName {
        /// Position of the first cell.
        offset: u32,
        /// The name, padded.
        cells: Vec<NameCell>,
    },
    /// Writes a whole row of `SERVICES` that no frontend names: a new one, or one being cleared.
    PutService {
        /// The row.
        index: u32,
        /// Its content.
        service: Service,
    },
    /// Switches one of a service's lists with one release store.
    PublishRun {
        /// Row of `SERVICES`.
        service: u32,
        /// Which list.
        list: List,
        /// The new run.
        run: Run,
    },
    /// Changes flags and affinity timeout with one store.
    SetSettings {
        /// Row of `SERVICES`.
        service: u32,
        /// The new settings.
        settings: ServiceSettings,
    },
    /// Changes a backend's flags with one store.
    SetBackendFlags {
        /// Row of `BACKENDS`.
        index: u32,
        /// The new flags.
        flags: u16,
    },
    /// Ends what clients remember of a backend, with one store.
    SetBackendMembership {
        /// Row of `BACKENDS`.
        index: u32,
        /// Another than before.
        membership: u16,
    },
    /// Notes the weight that a backend has in the lists, with one store.
    SetBackendWeight {
        /// Row of `BACKENDS`.
        index: u32,
        /// The new weight.
        weight: u16,
    },
    /// Adds a frontend or hands it to another service.
    PutFrontend {
        /// Where.
        at: FrontendAt,
        /// Whose.
        frontend: Frontend,
    },
    /// Removes a frontend.
    RemoveFrontend {
        /// Where.
        at: FrontendAt,
    },
    /// Admits a client network to a service's load-balancer VIPs.
    PutSourceRange {
        /// Significant bits, counted as [`lb_common::source_range::prefix_length`] does.
        prefix_length: u32,
        /// Service and network.
        range: SourceRange,
    },
    /// Takes the admission back.
    RemoveSourceRange {
        /// As it was put.
        prefix_length: u32,
        /// As it was put.
        range: SourceRange,
    },
    /// Adds an address of the node, or changes its flags.
    PutNodeAddress {
        /// The address.
        address: Address,
        /// [`lb_common::frontend::node_address`].
        flags: u32,
    },
    /// The node lost an address.
    RemoveNodeAddress {
        /// The address.
        address: Address,
    },
    /// Tells the programs about a device they sit on.
    PutDevice {
        /// Its ifindex.
        ifindex: u32,
        /// What they need to know.
        device: Device,
    },
    /// The programs no longer sit there.
    RemoveDevice {
        /// Its ifindex.
        ifindex: u32,
    },
}

impl Op {
    /// Every [`Self::name`].
    pub const NAMES: [&'static str; 17] = [
        "put_backend",
        "write_slots",
        "write_name",
        "put_service",
        "publish_run",
        "set_settings",
        "set_backend_flags",
        "set_backend_membership",
        "set_backend_weight",
        "put_frontend",
        "remove_frontend",
        "put_source_range",
        "remove_source_range",
        "put_node_address",
        "remove_node_address",
        "put_device",
        "remove_device",
    ];

    /// What it does, as metrics know it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PutBackend { .. } => "put_backend",
            Self::WriteSlots { .. } => "write_slots",
            Self::WriteName { .. } => "write_name",
            Self::PutService { .. } => "put_service",
            Self::PublishRun { .. } => "publish_run",
            Self::SetSettings { .. } => "set_settings",
            Self::SetBackendFlags { .. } => "set_backend_flags",
            Self::SetBackendMembership { .. } => "set_backend_membership",
            Self::SetBackendWeight { .. } => "set_backend_weight",
            Self::PutFrontend { .. } => "put_frontend",
            Self::RemoveFrontend { .. } => "remove_frontend",
            Self::PutSourceRange { .. } => "put_source_range",
            Self::RemoveSourceRange { .. } => "remove_source_range",
            Self::PutNodeAddress { .. } => "put_node_address",
            Self::RemoveNodeAddress { .. } => "remove_node_address",
            Self::PutDevice { .. } => "put_device",
            Self::RemoveDevice { .. } => "remove_device",
        }
    }
}

/// One of a service's two lists of backends, or the hash table over one of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum List {
    /// [`Service::cluster`].
    Cluster,
    /// [`Service::local`].
    Local,
    /// [`Service::cluster_hashed`].
    ClusterHashed,
    /// [`Service::local_hashed`].
    LocalHashed,
}

impl List {
    /// All there are, in the order of [`Service::runs`].
    pub const ALL: [Self; 4] = [Self::Cluster, Self::Local, Self::ClusterHashed, Self::LocalHashed];
}

/// The key of a frontend, in its family's table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FrontendAt {
    /// In `FRONTENDS_V4`.
    V4(FrontendKey<Ipv4>),
    /// In `FRONTENDS_V6`.
    V6(FrontendKey<Ipv6>),
}
