//! From what was typed to what is meant, with every problem found at once.

use std::{fmt, path::PathBuf};

use ipnet::IpNet;
use lb_common::{limits, pool::MOST_PORTS, run::Run};

use super::{Config, NodePortAddresses, RawAgent, RawTables};
use crate::kernel::{Sizes, XdpMode};

/// One setting that cannot be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The flag.
    pub flag: &'static str,
    /// What is wrong.
    pub reason: String,
}

/// All settings that cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Problem { flag, reason }) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{flag}: {reason}")?;
        }
        Ok(())
    }
}

/// Collects problems on the way through the settings.
#[derive(Default)]
struct Findings(Vec<Problem>);

impl Findings {
    fn add(&mut self, flag: &'static str, reason: impl Into<String>) {
        self.0.push(Problem { flag, reason: reason.into() });
    }
}

/// Checks what was typed.
///
/// # Errors
///
/// Every problem there is.
pub fn check(raw: &RawAgent) -> Result<Config, Problems> {
    let mut findings = Findings::default();
    let manifests = manifests(raw, &mut findings);
    let node_name = node_name(raw, &mut findings);
    let xdp = xdp_mode(&raw.xdp, &mut findings);
    let service_cidrs = service_cidrs(&raw.service_cidr, &mut findings);
    let node_ports = node_ports(&raw.service_node_port_range, &mut findings);
    let snat_ports = snat_ports(&raw.snat_ports, node_ports, &mut findings);
    let mut node_port_addresses = NodePortAddresses::default();
    for part in &raw.nodeport_addresses {
        if !node_port_addresses.add(part) {
            let known = "neither a network nor one of primary, localhost, all";
            findings.add("--nodeport-addresses", format!("`{part}` is {known}"));
        }
    }
    if !raw.pin_path.is_absolute() || raw.pin_path.to_string_lossy().contains('.') {
        findings.add("--pin-path", "must be an absolute path without a dot, as bpffs has no dots");
    }
    let sizes = sizes(&raw.tables, &mut findings);
    if !findings.0.is_empty() {
        return Err(Problems(findings.0));
    }
    Ok(Config {
        manifests,
        node_name: node_name.into(),
        cgroup: raw.cgroup.clone(),
        interfaces: (!raw.interfaces.is_empty()).then(|| raw.interfaces.clone()),
        xdp,
        pin_path: raw.pin_path.clone(),
        service_cidrs,
        node_ports,
        snat_ports,
        node_port_addresses,
        external_cluster_ip: raw.external_cluster_ip,
        sizes,
        verbose: raw.verbose,
        log_format: raw.log_format,
    })
}

fn manifests(raw: &RawAgent, findings: &mut Findings) -> PathBuf {
    match &raw.manifests {
        None => findings.add("--manifests", "name a folder of manifests"),
        Some(folder) if !folder.is_dir() => {
            findings.add("--manifests", format!("{} is not a folder", folder.display()));
        }
        Some(_) => (),
    }
    raw.manifests.clone().unwrap_or_default()
}

fn node_name(raw: &RawAgent, findings: &mut Findings) -> String {
    let host = || {
        let system = nix::sys::utsname::uname().ok()?;
        system.nodename().to_str().map(str::to_owned)
    };
    match raw.node_name.clone().or_else(host) {
        Some(name) if !name.is_empty() => name,
        _ => {
            findings.add("--node-name", "the host has no name to take instead");
            String::new()
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
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        agent: RawAgent,
    }

    fn checked(flags: &[&str]) -> Result<Config, Problems> {
        let folder = std::env::temp_dir();
        let folder = folder.to_str().unwrap();
        let line = ["sluice", "--manifests", folder, "--node-name", "n1"];
        check(&Command::parse_from(line.iter().chain(flags)).agent)
    }

    #[track_caller]
    fn refused(flags: &[&str], expected: &[&str]) {
        let Problems(problems) = checked(flags).unwrap_err();
        let found: Vec<_> = problems.iter().map(|problem| problem.flag).collect();
        assert_eq!(found, expected, "{problems:?}");
    }

    #[test]
    fn the_defaults_are_those_of_the_limits() {
        let config = checked(&[]).unwrap();
        assert_eq!(config.sizes, Sizes::default());
        assert_eq!(config.node_ports, (limits::NODE_PORT_FIRST, limits::NODE_PORT_LAST));
        assert_eq!(config.snat_ports, (limits::SNAT_PORT_FIRST, limits::SNAT_PORT_LAST));
        assert_eq!(config.service_cidrs, ["10.96.0.0/12".parse().unwrap()]);
        assert!(config.node_port_addresses.all && config.interfaces.is_none());
    }

    #[test]
    fn every_problem_is_found_at_once() {
        refused(
            &["--xdp=fast", "--service-cidr=10.0.0.0", "--max-flows=0", "--pin-path=pins"],
            &["--xdp", "--service-cidr", "--pin-path", "--max-flows"],
        );
    }

    #[test]
    fn each_setting_has_its_bounds() {
        refused(&["--service-cidr=10.0.0.0/8,192.168.0.0/16"], &["--service-cidr"]);
        refused(&["--service-node-port-range=32767-30000"], &["--service-node-port-range"]);
        refused(&["--service-node-port-range=20000-32767"], &["--snat-ports"]);
        refused(&["--snat-ports=20000-30000"], &["--snat-ports"]);
        refused(&["--snat-ports=1000-29999"], &["--snat-ports"]);
        refused(&["--snat-ports=0-9"], &["--snat-ports"]);
        refused(&["--service-node-port-range=30000"], &["--service-node-port-range"]);
        refused(&["--nodeport-addresses=primary,eth0"], &["--nodeport-addresses"]);
        refused(&["--max-slots=4294967295"], &["--max-slots"]);
    }

    #[test]
    fn lists_are_split_at_commas() {
        let config =
            checked(&["--interfaces=eth*,vxlan0", "--service-cidr=10.96.0.0/12,fd00::/108"]);
        let config = config.unwrap();
        assert_eq!(config.interfaces.unwrap(), ["eth*", "vxlan0"]);
        assert_eq!(config.service_cidrs.len(), 2);
    }
}
