//! From what was typed and written to what is meant, with every problem found at once.

use std::{fmt, net::SocketAddr};

use ipnet::IpNet;
use lb_common::{limits, pool::MOST_PORTS, run::Run};

use super::{
    Config, LogFormat, NodePortAddresses, RawAgent, RawTables, Surroundings, kube_proxy::KubeProxy,
    listen::Server, source,
};
use crate::kernel::{Sizes, XdpMode};

/// One setting that cannot be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The flag, or the file and its field.
    pub setting: String,
    /// What is wrong.
    pub reason: String,
}

/// All settings that cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Problem { setting, reason }) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{setting}: {reason}")?;
        }
        Ok(())
    }
}

/// Collects problems on the way through the settings.
#[derive(Default)]
pub(super) struct Findings(Vec<Problem>);

impl Findings {
    pub(super) fn add(&mut self, setting: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Problem { setting: setting.into(), reason: reason.into() });
    }
}

/// Checks what was typed, and written where that says.
///
/// # Errors
///
/// Every problem there is.
pub fn check(raw: &RawAgent, around: &Surroundings) -> Result<Config, Problems> {
    let mut findings = Findings::default();
    let mut remarks = Vec::new();
    let file = read(raw, &mut remarks, &mut findings);
    let source = source::choose(raw, &file, around, &mut remarks, &mut findings);
    let node_name = node_name(raw, &file, around, &mut findings);
    let xdp = xdp_mode(&raw.xdp, &mut findings);
    let service_cidrs = service_cidrs(&raw.service_cidr, &mut findings);
    let node_ports = node_ports(&raw.service_node_port_range, &mut findings);
    let snat_ports = snat_ports(&raw.snat_ports, node_ports, &mut findings);
    let node_port_addresses = node_port_addresses(raw, &file, &mut findings);
    let listen = |server, findings: &mut _| listen(server, raw, &file, around, findings);
    let healthz = listen(Server::Healthz, &mut findings);
    let metrics = listen(Server::Metrics, &mut findings);
    if !raw.pin_path.is_absolute() || raw.pin_path.to_string_lossy().contains('.') {
        findings.add("--pin-path", "must be an absolute path without a dot, as bpffs has no dots");
    }
    let sizes = sizes(&raw.tables, &mut findings);
    let log_format = log_format(raw, &file, &mut findings);
    if !findings.0.is_empty() {
        return Err(Problems(findings.0));
    }
    let hard_fail = raw.bind_address_hard_fail.or_else(|| file.switch("bindAddressHardFail"));
    Ok(Config {
        source,
        node_name: node_name.into(),
        cgroup: raw.cgroup.clone(),
        interfaces: (!raw.interfaces.is_empty()).then(|| raw.interfaces.clone()),
        pod_interfaces: raw.pod_interfaces.clone(),
        xdp,
        pin_path: raw.pin_path.clone(),
        service_cidrs,
        node_ports,
        snat_ports,
        node_port_addresses,
        external_cluster_ip: raw.external_cluster_ip,
        direct_delivery: raw.direct_delivery,
        healthz,
        metrics,
        bind_hard_fail: hard_fail.unwrap_or_default(),
        allow_kube_proxy: raw.allow_kube_proxy,
        vip_ping: raw.vip_ping,
        reject_unused_ports: raw.reject_unused_ports,
        sizes,
        verbose: raw.verbose || file.number("logging.verbosity") >= VERBOSE,
        log_format,
        remarks,
    })
}

/// The level from which on kube-proxy's verbosity is ours: that of debugging.
const VERBOSE: i64 = 4;

/// Reads the file, if there is to be one.
fn read(raw: &RawAgent, remarks: &mut Vec<String>, findings: &mut Findings) -> KubeProxy {
    let Some(path) = &raw.config else { return KubeProxy::default() };
    match KubeProxy::read(path) {
        Ok(file) => {
            if !file.ignored.is_empty() {
                let lines = file.ignored.iter().map(|ignored| format!("\n  {ignored}"));
                let lines: String = lines.collect();
                remarks.push(format!("in {}, without effect here:{lines}", path.display()));
            }
            file
        }
        Err(faults) => {
            for (field, reason) in faults {
                let field = field.map(|field| format!(": {field}")).unwrap_or_default();
                findings.add(format!("--config {}{field}", path.display()), reason);
            }
            KubeProxy::default()
        }
    }
}

fn node_name(
    raw: &RawAgent,
    file: &KubeProxy,
    around: &Surroundings,
    findings: &mut Findings,
) -> String {
    let named = [raw.node_name.as_deref(), file.text("hostnameOverride")];
    let found = [around.node_name.as_deref(), around.host_name.as_deref()];
    let mut names = named.into_iter().chain(found).flatten().map(str::trim);
    match names.find(|name| !name.is_empty()) {
        Some(name) => name.to_owned(),
        None => {
            findings.add("--node-name", "neither NODE_NAME nor the host has one to take instead");
            String::new()
        }
    }
}

fn node_port_addresses(
    raw: &RawAgent,
    file: &KubeProxy,
    findings: &mut Findings,
) -> NodePortAddresses {
    let typed = raw.nodeport_addresses.iter().map(String::as_str).collect::<Vec<_>>();
    let written = file.list("nodePortAddresses");
    let mode = file.text("mode").unwrap_or("iptables");
    let (setting, parts) = if !typed.is_empty() {
        ("--nodeport-addresses", typed)
    } else if !written.is_empty() {
        ("--config: nodePortAddresses", written)
    } else {
        ("", vec![if mode == "nftables" { "primary" } else { "all" }])
    };
    let mut addresses = NodePortAddresses::default();
    for part in parts {
        if !addresses.add(part) {
            let known = "neither a network nor one of primary, localhost, all";
            findings.add(setting, format!("`{part}` is {known}"));
        }
    }
    addresses.never_loopback =
        mode == "iptables" && file.switch("iptables.localhostNodePorts") == Some(false);
    addresses
}

fn listen(
    server: Server,
    raw: &RawAgent,
    file: &KubeProxy,
    around: &Surroundings,
    findings: &mut Findings,
) -> Option<SocketAddr> {
    let (flag, typed, field) = match server {
        Server::Healthz => {
            ("--healthz-bind-address", &raw.healthz_bind_address, "healthzBindAddress")
        }
        Server::Metrics => {
            ("--metrics-bind-address", &raw.metrics_bind_address, "metricsBindAddress")
        }
    };
    // A field that is empty is not set, a flag that is empty says no.
    let (setting, text) = match (typed, file.text(field)) {
        (Some(typed), _) => (flag.to_owned(), typed.trim()),
        (None, Some(written)) => (format!("--config: {field}"), written),
        (None, None) => return Some(server.default_address(around.ipv6)),
    };
    server.address(text).unwrap_or_else(|reason| {
        findings.add(setting, reason);
        None
    })
}

fn log_format(raw: &RawAgent, file: &KubeProxy, findings: &mut Findings) -> LogFormat {
    match (raw.log_format, file.text("logging.format")) {
        (Some(typed), _) => typed,
        (None, None | Some("text")) => LogFormat::Text,
        (None, Some("json")) => LogFormat::Json,
        (None, Some(other)) => {
            let reason = format!("`{other}` is none of text, json");
            findings.add("--config: logging.format", reason);
            LogFormat::default()
        }
    }
}

fn xdp_mode(typed: &str, findings: &mut Findings) -> XdpMode {
    match typed {
        "auto" => XdpMode::Auto,
        "native" => XdpMode::Native,
        "generic" => XdpMode::Generic,
        "off" => XdpMode::Off,
        other => {
            findings.add("--xdp", format!("`{other}` is none of auto, native, generic, off"));
            XdpMode::default()
        }
    }
}

fn service_cidrs(typed: &[String], findings: &mut Findings) -> Vec<IpNet> {
    let mut networks: Vec<IpNet> = Vec::new();
    for text in typed {
        match text.parse::<IpNet>() {
            Err(_) => findings.add("--service-cidr", format!("`{text}` is not a network")),
            Ok(network) if networks.iter().any(|other| is_ipv4(other) == is_ipv4(&network)) => {
                findings.add("--service-cidr", format!("{network} is a second one of its family"));
            }
            Ok(network) => networks.push(network.trunc()),
        }
    }
    networks
}

fn is_ipv4(network: &IpNet) -> bool {
    network.addr().is_ipv4()
}

fn node_ports(typed: &str, findings: &mut Findings) -> (u16, u16) {
    ports(typed).unwrap_or_else(|| {
        findings.add("--service-node-port-range", format!("`{typed}` is not like 30000-32767"));
        (limits::NODE_PORT_FIRST, limits::NODE_PORT_LAST)
    })
}

/// The source ports that are ours. What else must not use them and is known only where the agent
/// runs, the start of the agent checks.
fn snat_ports(typed: &str, node_ports: (u16, u16), findings: &mut Findings) -> (u16, u16) {
    const FLAG: &str = "--snat-ports";

    let Some((first, last)) = ports(typed) else {
        findings.add(FLAG, format!("`{typed}` is not like 10000-29999"));
        return (limits::SNAT_PORT_FIRST, limits::SNAT_PORT_LAST);
    };
    if u32::from(last - first) >= MOST_PORTS {
        findings.add(FLAG, format!("{typed} are more than {MOST_PORTS} ports"));
    }
    let (first_node_port, last_node_port) = node_ports;
    if first <= last_node_port && last >= first_node_port {
        let reason = format!(
            "{typed} overlaps --service-node-port-range, {first_node_port}-{last_node_port}"
        );
        findings.add(FLAG, reason);
    }
    (first, last)
}

/// A range of ports as it is typed.
fn ports(typed: &str) -> Option<(u16, u16)> {
    let (first, last) = typed.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (0 < first && first <= last).then_some((first, last))
}

/// The largest table that is admitted: beyond, one table takes gigabytes.
const LARGEST: u32 = 1 << 26;

fn sizes(raw: &RawTables, findings: &mut Findings) -> Sizes {
    let mut bounded = |flag, value: u32, most: u32| {
        if value == 0 || value > most {
            findings.add(flag, format!("{value} is not between 1 and {most}"));
        }
        value
    };
    let services = bounded("--max-services", raw.max_services, Run::OFFSETS / 4);
    Sizes {
        services,
        backends: bounded("--max-backends", raw.max_backends, LARGEST),
        slots: bounded("--max-slots", raw.max_slots, Run::OFFSETS),
        // As many cells a service as by default.
        name_cells: services.saturating_mul(limits::NAME_CELLS / limits::SERVICES),
        frontends: bounded("--max-frontends", raw.max_frontends, LARGEST),
        flows: bounded("--max-flows", raw.max_flows, LARGEST),
        affinities: bounded("--max-affinities", raw.max_affinities, LARGEST),
        udp_peers: bounded("--max-udp-peers", raw.max_udp_peers, LARGEST),
        source_ranges: bounded("--max-source-ranges", raw.max_source_ranges, LARGEST),
    }
}

#[cfg(test)]
mod tests;
