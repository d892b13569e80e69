//! A folder of pins of its own, with loaded programs, that leaves nothing behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use lb_userspace::{
    kernel::{
        OBJECT, Pins, Programs, Settings, Sizes, environment, remove_everything, rights,
        sys::Access,
    },
    maps::KernelTables,
    model::{Backend, Frontend, FrontendKind, IpFamily, PortId, ServiceName, ServicePort},
};

/// See the module.
pub struct Room {
    pub pins: Pins,
}

impl Room {
    /// An empty folder. `name` tells the rooms of one run apart.
    pub fn new(name: &str) -> Self {
        rights::check().unwrap();
        let root = PathBuf::from(format!("/sys/fs/bpf/sluice-test-{}-{name}", process::id()));
        environment::ensure_bpffs(&root).unwrap();
        let pins = Pins::new(&root);
        pins.prepare().unwrap();
        Self { pins }
    }

    pub fn load(&self, sizes: Sizes) -> Programs {
        self.load_with(OBJECT, 0, sizes)
    }

    /// The programs of an object, with flags of [`lb_common::settings::flags`].
    pub fn load_with(&self, object: &[u8], flags: u32, sizes: Sizes) -> Programs {
        let settings =
            Settings { sizes, flags, node_ports: (30_000, 32_767), snat_ports: (10_000, 29_999) };
        Programs::load(object, &settings, &self.pins).unwrap()
    }

    pub fn tables(&self, batch: bool) -> KernelTables {
        KernelTables::open(&self.pins.maps(), Access::Write, batch).unwrap()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        remove_everything(&self.pins).unwrap();
        assert!(!self.pins.root().exists());
    }
}

/// Small tables, quick to make.
pub fn small() -> Sizes {
    Sizes {
        services: 1_024,
        backends: 4_096,
        slots: 16_384,
        name_cells: 4_096,
        frontends: 2_048,
        flows: 1_024,
        affinities: 1_024,
        udp_peers: 1_024,
        source_ranges: 256,
    }
}

/// A service with one port, 80, at a ClusterIP and a NodePort, and `endpoints` backends.
pub fn service(number: u8, endpoints: u8) -> (ServiceName, Vec<ServicePort>) {
    let name = ServiceName::new("default", &format!("web-{number}"));
    let frontend = |kind, address, port| Frontend { kind, address, port };
    let backend = |last| Backend {
        address: [10, 1, number, last].into(),
        port: 8080,
        local: false,
        in_cluster: true,
        in_local: false,
        weight: 1,
    };
    let port = ServicePort {
        id: PortId {
            service: name.clone(),
            port: "http".into(),
            protocol: lb_common::Protocol::Tcp,
            family: IpFamily::V4,
        },
        created_s: None,
        frontends: vec![
            frontend(FrontendKind::ClusterIp, Some([10, 96, 0, number].into()), 80),
            frontend(FrontendKind::NodePort, None, 30_000 + u16::from(number)),
        ],
        backends: (1..=endpoints).map(backend).collect(),
        internal_local: false,
        external_local: false,
        hash_cluster: false,
        hash_local: false,
        affinity_timeout_s: None,
        source_ranges: vec!["192.0.2.0/24".parse().unwrap()],
    };
    (name, vec![port])
}

/// A cgroup of its own.
pub struct Cgroup(PathBuf);

impl Cgroup {
    pub fn new(name: &str) -> Self {
        let root = environment::find_cgroup2().unwrap();
        let path = root.join(format!("sluice-test-{}-{name}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).unwrap();
    }
}
