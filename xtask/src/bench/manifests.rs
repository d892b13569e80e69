//! Manifests of a cluster with many services, of which the measured ones come last.

use std::{
    fmt::Write as _,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// Endpoints of each service that is only there to be there.
pub const ENDPOINTS: u32 = 4;
/// Where ClusterIPs and endpoints of those services are counted from.
const CLUSTER_IPS: u32 = u32::from_be_bytes([10, 96, 16, 0]);
const PODS: u32 = u32::from_be_bytes([10, 128, 0, 0]);

/// A service that is measured. It has one endpoint, so that both sides of a comparison talk to
/// the same server.
pub struct Measured {
    /// Its name.
    pub name: &'static str,
    /// Its ClusterIP.
    pub cluster_ip: IpAddr,
    /// Its NodePort.
    pub node_port: u16,
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// Its node.
    pub node: &'static str,
}

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

    /// Writes so many services in all.
    pub fn write(&self, services: u32, measured: &[Measured]) -> io::Result<()> {
        let mut text = String::new();
        for number in 0..services.saturating_sub(measured.len() as u32) {
            other(&mut text, number);
        }
        for service in measured {
            let Measured { name, cluster_ip, node_port, endpoint, node } = service;
            document(&mut text, name, &cluster_ip.to_string(), Some(*node_port));
            endpoints(&mut text, name, endpoint.port(), [(endpoint.ip().to_string(), *node)]);
        }
        fs::write(self.0.join("services.yaml"), text)
    }
}

fn other(text: &mut String, number: u32) {
    let name = format!("other-{number:05}");
    document(text, &name, &Ipv4Addr::from_bits(CLUSTER_IPS + number).to_string(), None);
    let pods = (number * ENDPOINTS..).take(ENDPOINTS as usize);
    let pods = pods.map(|pod| (Ipv4Addr::from_bits(PODS + pod).to_string(), "elsewhere"));
    endpoints(text, &name, 8080, pods);
}

fn document(text: &mut String, name: &str, cluster_ip: &str, node_port: Option<u16>) {
    let _ = write!(
        text,
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  type: {}\n  \
         clusterIP: {cluster_ip}\n  ports:\n    - port: 80\n      targetPort: 8080\n",
        if node_port.is_some() { "NodePort" } else { "ClusterIP" },
    );
    if let Some(port) = node_port {
        let _ = writeln!(text, "      nodePort: {port}");
    }
}

fn endpoints<'a>(
    text: &mut String,
    service: &str,
    port: u16,
    endpoints: impl IntoIterator<Item = (String, &'a str)>,
) {
    let _ = write!(
        text,
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  \
         name: {service}-1\n  labels:\n    kubernetes.io/service-name: {service}\n\
         addressType: IPv4\nports:\n  - port: {port}\n    protocol: TCP\nendpoints:\n",
    );
    for (address, node) in endpoints {
        let _ = writeln!(text, "  - addresses: [{address}]\n    nodeName: {node}");
    }
}
