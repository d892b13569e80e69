//! Services as a folder of manifests.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use super::services::{Family, Port, Service};

/// A folder of manifests.
pub struct Manifests(PathBuf);

impl Manifests {
    /// In a folder that goes with something else.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let folder = folder.join("manifests");
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Writes these in place of those before.
    pub fn write(&self, services: &[Service]) -> io::Result<()> {
        let mut text = String::new();
        for service in services {
            document(&mut text, service);
            slices(&mut text, service);
        }
        fs::write(self.0.join("services.yaml"), text)
    }
}

fn document(text: &mut String, service: &Service) {
    let Service { name, cluster_ips, ports, .. } = service;
    let kind = match ports.iter().any(|port| port.node_port.is_some()) {
        true => "NodePort",
        false => "ClusterIP",
    };
    let _ = write!(
        text,
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  type: {kind}\n  \
         clusterIP: \"{}\"\n  clusterIPs: [",
        cluster_ips[0],
    );
    for (position, address) in cluster_ips.iter().enumerate() {
        let _ = write!(text, "{}\"{address}\"", if position == 0 { "" } else { ", " });
    }
    text.push_str("]\n  ports:\n");
    for port in ports {
        let Port { number, node_port, .. } = port;
        let (name, protocol) = named(port);
        let _ =
            writeln!(text, "    - name: {name}\n      port: {number}\n      protocol: {protocol}");
        if let Some(node_port) = node_port {
            let _ = writeln!(text, "      nodePort: {node_port}");
        }
    }
}

/// A slice holds endpoints of one family that are called at the same port.
fn slices(text: &mut String, service: &Service) {
    for (family, kind) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
        let mut rest: Vec<_> = service.endpoints(family).collect();
        while let Some(first) = rest.first() {
            let port = first.address.port();
            let (here, others) = rest.into_iter().partition(|one| one.address.port() == port);
            rest = others;
            let here: Vec<_> = here;
            let name = &service.name;
            let _ = write!(
                text,
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  \
                 name: {name}-{}-{port}\n  labels:\n    kubernetes.io/service-name: {name}\n\
                 addressType: {kind}\nports:\n",
                kind.to_lowercase(),
            );
            for asked in &service.ports {
                let (name, protocol) = named(asked);
                let _ =
                    writeln!(text, "  - name: {name}\n    port: {port}\n    protocol: {protocol}");
            }
            text.push_str("endpoints:\n");
            for one in here {
                let (address, node) = (one.address.ip(), one.node);
                let _ = writeln!(text, "  - addresses: [\"{address}\"]\n    nodeName: {node}");
            }
        }
    }
}

fn named(port: &Port) -> (String, String) {
    let protocol = port.protocol.name();
    (format!("{protocol}-{}", port.number), protocol.to_uppercase())
}
