//! What `sluice inspect services --json` says: where each service port answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// The namespace of the examples.
const NAMESPACE: &str = "default/";

/// The service ports of one node.
#[derive(Debug)]
pub struct Tables(Vec<Row>);

#[derive(Debug, Deserialize)]
struct Row {
    service: String,
    family: String,
    frontends: Vec<Frontend>,
    endpoints: Vec<SocketAddr>,
}

#[derive(Debug, Deserialize)]
struct Frontend {
    kind: String,
    address: Option<IpAddr>,
    port: u16,
}

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Whether an address is of it.
    pub fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }

    /// The loopback address.
    pub fn localhost(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }
}

impl Tables {
    /// From the command's output.
    pub fn read(json: &str) -> Result<Self> {
        let rows = serde_json::from_str(json).context("cannot read what `sluice inspect` says")?;
        Ok(Self(rows))
    }

    /// Whether a Service is in them with any of its ports.
    pub fn has(&self, service: &str) -> bool {
        self.0.iter().any(|row| {
            let name = row.service.strip_prefix(NAMESPACE).unwrap_or(&row.service);
            name.split(':').next() == Some(service)
        })
    }

    /// The port of a service port's frontend of some kind, and its address unless it answers on
    /// the node's own.
    pub fn frontend(
        &self,
        service: &str,
        family: Family,
        kind: &str,
    ) -> Result<(Option<IpAddr>, u16)> {
        let frontend = self
            .row(service, family)
            .and_then(|row| row.frontends.iter().find(|frontend| frontend.kind == kind))
            .with_context(|| format!("{service} has no {kind} of {}", family.name()))?;
        Ok((frontend.address, frontend.port))
    }

    /// How many endpoints a service port has.
    pub fn endpoints(&self, service: &str, family: Family) -> usize {
        self.row(service, family).map_or(0, |row| row.endpoints.len())
    }

    /// Service ports, and all their endpoints.
    pub fn size(&self) -> (usize, usize) {
        (self.0.len(), self.0.iter().map(|row| row.endpoints.len()).sum())
    }

    fn row(&self, service: &str, family: Family) -> Option<&Row> {
        self.0.iter().find(|row| {
            row.family == family.name() && row.service.strip_prefix(NAMESPACE) == Some(service)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"[
        {"service": "default/web", "protocol": "TCP", "family": "IPv4", "index": 3,
         "frontends": [{"kind": "ClusterIP", "address": "10.96.0.9", "port": 80},
                       {"kind": "NodePort", "address": null, "port": 30000}],
         "endpoints": ["10.244.1.2:8080", "10.244.2.2:8080"]},
        {"service": "default/two:http", "protocol": "TCP", "family": "IPv6", "index": 4,
         "frontends": [{"kind": "ExternalIP", "address": "2001:db8::1", "port": 80}],
         "endpoints": []}]"#;

    #[test]
    fn frontends_are_found_by_service_family_and_kind() {
        let tables = Tables::read(JSON).unwrap();
        let find = |service, family, kind| tables.frontend(service, family, kind).ok();
        let cluster_ip = Some("10.96.0.9".parse().unwrap());
        assert_eq!(find("web", Family::V4, "ClusterIP"), Some((cluster_ip, 80)));
        assert_eq!(find("web", Family::V4, "NodePort"), Some((None, 30000)));
        assert_eq!(find("web", Family::V6, "ClusterIP"), None);
        assert_eq!(find("web", Family::V4, "ExternalIP"), None);
        assert_eq!(find("two", Family::V6, "ExternalIP"), None);
        assert!(find("two:http", Family::V6, "ExternalIP").is_some());
        assert_eq!(tables.endpoints("web", Family::V4), 2);
        assert_eq!(tables.size(), (2, 2));
    }

    #[test]
    fn a_service_is_there_with_any_of_its_ports() {
        let tables = Tables::read(JSON).unwrap();
        assert_eq!(
            ["web", "two", "tw", "http"].map(|one| tables.has(one)),
            [true, true, false, false]
        );
    }
}
