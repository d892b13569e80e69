//! kube-proxy's rule sets, laid out as kube-proxy lays them out today, made by our own generator from
//! the Services that the manifests of the same cluster are made of: what sluice is measured beside.
//! `iptables.rs` and `nftables.rs` write the text, one rule a line; here is who takes it.
//!
//! What does not bear on the time of a packet or of a change is left out: load balancers' chains,
//! affinity, Services without endpoints.

mod iptables;
mod nftables;

use std::{
    io::{self, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

use super::services::{Family, Port, Service, Site};

/// A peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// kube-proxy's mode `iptables`, by the program's nf_tables variant, which is the one that today's
    /// distributions have by default.
    Iptables,
    /// kube-proxy's mode `nftables`.
    Nftables,
}

/// Text for a program that programs the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The program and its arguments.
    pub command: Vec<&'static str>,
    /// Its standard input.
    pub input: String,
}

impl Peer {
    /// What everybody calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }

    /// The programs it takes, with the packages that have them.
    pub fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Iptables => {
                &[("iptables-nft-restore", "iptables"), ("ip6tables-nft-restore", "iptables")]
            }
            Self::Nftables => &[("nft", "nftables")],
        }
    }

    /// What it makes once, before there are Services: chains that hook in, and what hangs on them.
    pub fn foundation(self, site: &Site) -> Batch {
        match self {
            // Without --noflush: what was there before goes.
            Self::Iptables => restore(site, &[], iptables::foundation(site)),
            Self::Nftables => nft(nftables::foundation(site)),
        }
    }

    /// All Services at once, as after its start.
    pub fn full(self, services: &[Service], site: &Site) -> Batch {
        match self {
            Self::Iptables => restore(site, &NO_FLUSH, iptables::rules(services, services, site)),
            Self::Nftables => nft(nftables::rules(services, site)),
        }
    }

    /// What it sends when the endpoints of one of the services, which are those of after the change,
    /// have changed.
    pub fn change(
        self,
        services: &[Service],
        before: &Service,
        after: &Service,
        site: &Site,
    ) -> Batch {
        let changed = std::slice::from_ref(after);
        match self {
            Self::Iptables => restore(site, &NO_FLUSH, iptables::rules(services, changed, site)),
            Self::Nftables => nft(nftables::change(before, after, site)),
        }
    }
}

/// How kube-proxy calls the program, after the first time too.
const NO_FLUSH: [&str; 2] = ["--noflush", "--counters"];

fn restore(site: &Site, arguments: &[&'static str], input: String) -> Batch {
    let program = match site.family() {
        Family::V4 => "iptables-nft-restore",
        Family::V6 => "ip6tables-nft-restore",
    };
    Batch { command: [&[program], arguments].concat(), input }
}

fn nft(input: String) -> Batch {
    Batch { command: vec!["nft", "-f", "-"], input }
}

impl Batch {
    /// Has the program take it, in the calling thread's network namespace. The time is the program's,
    /// from its start to its end.
    pub fn apply(&self) -> io::Result<Duration> {
        let started = Instant::now();
        let mut child = Command::new(self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        // A program that ends before it has read everything says why.
        let written =
            child.stdin.take().map_or(Ok(()), |mut input| input.write_all(self.input.as_bytes()));
        let output = child.wait_with_output()?;
        let took = started.elapsed();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let program = self.command.join(" ");
            return Err(io::Error::other(format!("{program}: {}: {first}", output.status)));
        }
        written?;
        Ok(took)
    }
}

/// A port of a service, as both peers name it.
fn full_name(service: &Service, port: &Port) -> String {
    format!("default/{}:{}", service.name, port_name(port))
}

fn port_name(port: &Port) -> String {
    format!("{}-{}", port.protocol.name(), port.number)
}

/// So many letters and digits that tell names apart.
fn digest(text: &str, length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = Sha256::digest(text.as_bytes());
    let letter = |position: usize| {
        let bits = u16::from_be_bytes([hash[position * 5 / 8], hash[position * 5 / 8 + 1]]);
        char::from(ALPHABET[usize::from(bits >> (11 - position * 5 % 8)) & 31])
    };
    (0..length).map(letter).collect()
}
