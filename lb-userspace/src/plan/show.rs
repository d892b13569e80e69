//! A plan as text, one operation a line: for logs, `sluice check` and goldens.

use std::{
    collections::BTreeMap,
    fmt::{Display, Formatter, Result},
    net::IpAddr,
};

use lb_common::{
    Protocol, backend,
    frontend::{kind, node_address},
    service::{Service, ServiceSettings, flags},
    source_range::SourceRange,
};

use super::{FrontendAt, List, Op, Plan, RowName};
use crate::model::IpFamily;

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for op in &self.ops {
            writeln!(f, "{op}")?;
        }
        for rejection in &self.rejections {
            writeln!(f, "reject {rejection}")?;
        }
        for backend in &self.severed {
            writeln!(f, "sever {backend}/UDP")?;
        }
        Ok(())
    }
}

impl Display for FrontendAt {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let port = self.port();
        match (self.address(), self.family()) {
            (Some(IpAddr::V6(address)), _) => write!(f, "[{address}]:{port}/")?,
            (Some(address), _) => write!(f, "{address}:{port}/")?,
            (None, IpFamily::V4) => write!(f, "IPv4 NodePort {port}/")?,
            (None, IpFamily::V6) => write!(f, "IPv6 NodePort {port}/")?,
        }
        protocol(self.protocol(), f)
    }
}

impl Display for List {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Local => "local",
            Self::ClusterHashed => "cluster table",
            Self::LocalHashed => "local table",
        })
    }
}

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::PutBackend { index, backend } if backend.flags == 0 => {
                write!(f, "clear backend {index}, generation {}", backend.generation)
            }
            Self::PutBackend { index, backend } => {
                let address = IpAddr::from(backend.address);
                let (port, service) = (backend.port.get(), backend.service);
                write!(f, "put backend {index}, generation {}: ", backend.generation)?;
                write!(f, "{address} port {port} of service {service}")?;
                words(backend.flags.into(), BACKEND_FLAGS, f)?;
                if backend.weight == 1 { Ok(()) } else { write!(f, " weight {}", backend.weight) }
            }
            Self::WriteSlots { offset, backends } => {
                write!(f, "write slots {offset}: ")?;
                slots(backends, f)
            }
            Self::WriteName { offset, cells } => match RowName::decode(cells) {
                Some(name) => write!(f, "write name {offset}: {name}"),
                None => write!(f, "write name {offset}: {cells:?}"),
            },
            Self::PutService { index, service } if *service == Service::default() => {
                write!(f, "clear service {index}")
            }
            Self::PutService { index, service } => {
                let Service { cluster, local, cluster_hashed, local_hashed, name, .. } = service;
                write!(f, "put service {index}: cluster {cluster:?}, local {local:?}, ")?;
                for (list, run) in [("cluster", cluster_hashed), ("local", local_hashed)] {
                    if !run.is_empty() {
                        write!(f, "{list} table {run:?}, ")?;
                    }
                }
                write!(f, "name {}+{},", name.offset(), name.length())?;
                settings(&service.settings, f)
            }
            Self::PublishRun { service, list, run } => {
                write!(f, "publish {list} of service {service}: {run:?}")
            }
            Self::SetSettings { service, settings: new } => {
                write!(f, "set service {service}:")?;
                settings(new, f)
            }
            Self::SetBackendFlags { index, flags } => {
                write!(f, "flag backend {index}:")?;
                words((*flags).into(), BACKEND_FLAGS, f)
            }
            Self::SetBackendMembership { index, membership } => {
                write!(f, "forget backend {index}: membership {membership}")
            }
            Self::SetBackendWeight { index, weight } => {
                write!(f, "weigh backend {index}: {weight}")
            }
            Self::PutFrontend { at, frontend } => {
                let kind = match frontend.kind {
                    kind::CLUSTER_IP => "ClusterIP",
                    kind::NODE_PORT => "NodePort",
                    kind::EXTERNAL_IP => "external IP",
                    _ => "load-balancer VIP",
                };
                write!(f, "put frontend {at}: service {}, {kind}", frontend.service)
            }
            Self::RemoveFrontend { at } => write!(f, "remove frontend {at}"),
            Self::PutSourceRange { prefix_length, range } => {
                write!(f, "admit ")?;
                source_range(*prefix_length, range, f)
            }
            Self::RemoveSourceRange { prefix_length, range } => {
                write!(f, "no longer admit ")?;
                source_range(*prefix_length, range, f)
            }
            Self::PutNodeAddress { address, flags } => {
                write!(f, "put node address {}", IpAddr::from(*address))?;
                words(*flags, &[(node_address::NODE_PORTS, "NodePorts")], f)
            }
            Self::RemoveNodeAddress { address } => {
                write!(f, "remove node address {}", IpAddr::from(*address))
            }
            Self::PutDevice { ifindex, device } => write!(f, "put device {ifindex}: {device:?}"),
            Self::RemoveDevice { ifindex } => write!(f, "remove device {ifindex}"),
        }
    }
}

const BACKEND_FLAGS: &[(u32, &str)] = &[
    (backend::flags::SERVING as u32, "serving"),
    (backend::flags::IN_CLUSTER as u32, "in-cluster"),
    (backend::flags::IN_LOCAL as u32, "in-local"),
    (backend::flags::LOCAL as u32, "here"),
    (backend::flags::LEAVING as u32, "leaving"),
];

const SERVICE_FLAGS: &[(u32, &str)] = &[
    (flags::LIVE, "live"),
    (flags::INTERNAL_LOCAL, "internal-local"),
    (flags::EXTERNAL_LOCAL, "external-local"),
    (flags::SOURCE_RANGES, "source-ranges"),
    (flags::IPV6, "ipv6"),
];

fn settings(settings: &ServiceSettings, f: &mut Formatter<'_>) -> Result {
    f.write_str(" ")?;
    protocol((settings.flags >> flags::PROTOCOL_SHIFT) as u8, f)?;
    words(settings.flags, SERVICE_FLAGS, f)?;
    if settings.flags & flags::AFFINITY != 0 {
        write!(f, " affinity {} s", settings.affinity_timeout_s)?;
    }
    Ok(())
}

/// One by one, or counted where backends stand more than once.
fn slots(backends: &[u32], f: &mut Formatter<'_>) -> Result {
    let mut counts = BTreeMap::<_, usize>::new();
    backends.iter().for_each(|backend| *counts.entry(backend).or_default() += 1);
    if counts.len() == backends.len() {
        return write!(f, "{backends:?}");
    }
    write!(f, "{} of", backends.len())?;
    counts.iter().try_for_each(|(backend, count)| write!(f, " {backend}x{count}"))
}

fn words(set: u32, known: &[(u32, &str)], f: &mut Formatter<'_>) -> Result {
    known.iter().filter(|(flag, _)| set & flag != 0).try_for_each(|(_, word)| write!(f, " {word}"))
}

fn protocol(number: u8, f: &mut Formatter<'_>) -> Result {
    match Protocol::from_number(number) {
        Some(protocol) => write!(f, "{protocol}"),
        None => write!(f, "protocol {number}"),
    }
}

fn source_range(prefix_length: u32, range: &SourceRange, f: &mut Formatter<'_>) -> Result {
    let network = IpAddr::from(range.client);
    let before = if network.is_ipv4() { 32 + 96 } else { 32 };
    let bits = prefix_length.saturating_sub(before);
    write!(f, "{network}/{bits} to service {}", range.service.get())
}
