//! kube-proxy's rule sets, laid out as kube-proxy lays them out today, made by our own generator from
//! the Services that the manifests of the same cluster are made of: what sluice is measured beside.
//! `iptables.rs` and `nftables.rs` write the text, one rule a line; here is who takes it.
//!
//! What does not bear on the time of a packet or of a change is left out: load balancers' chains,
//! affinity, Services without endpoints.

mod iptables;
mod nftables;

use std::{
    env,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

use super::services::{Family, Port, Service, Site};

/// A peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Peer {
    /// kube-proxy's mode `iptables`, by the program's legacy variant, which takes seconds where the
    /// other one takes minutes.
    Iptables,
    /// The same by the program's nf_tables variant.
    IptablesNft,
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
            Self::IptablesNft => "iptables, nf_tables variant",
            Self::Nftables => "nftables",
        }
    }

    /// Says how to get it, if this machine lacks its programs.
    pub fn missing(self) -> Option<String> {
        let package = if self == Self::Nftables { "nftables" } else { "iptables" };
        let families = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        let programs = families.map(|address| self.foundation(&Site::of(address)).command[0]);
        let path = env::var_os("PATH").unwrap_or_default();
        let there = |program: &&str| env::split_paths(&path).any(|dir| dir.join(program).is_file());
        let missing = programs.iter().find(|program| !there(program))?;
        Some(format!("{missing} is missing, try: apt-get install {package}"))
    }

    /// What it makes once, before there are Services: chains that hook in, and what hangs on them.
    pub fn foundation(self, site: &Site) -> Batch {
        // Without --noflush: what was there before goes.
        self.batch(
            site,
            false,
            match self {
                Self::Iptables | Self::IptablesNft => iptables::foundation(site),
                Self::Nftables => nftables::foundation(site),
            },
        )
    }

    /// All Services at once, as after its start. Parts of a list may be given one after another to
    /// nftables, which keeps those it has.
    pub fn full(self, services: &[Service], site: &Site) -> Batch {
        self.batch(
            site,
            true,
            match self {
                Self::Iptables | Self::IptablesNft => iptables::rules(services, services, site),
                Self::Nftables => nftables::rules(services, site),
            },
        )
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
        self.batch(
            site,
            true,
            match self {
                Self::Iptables | Self::IptablesNft => iptables::rules(services, changed, site),
                Self::Nftables => nftables::change(before, after, site),
            },
        )
    }

    fn batch(self, site: &Site, keep: bool, input: String) -> Batch {
        let program = match (self, site.family()) {
            (Self::Iptables, Family::V4) => "iptables-legacy-restore",
            (Self::Iptables, Family::V6) => "ip6tables-legacy-restore",
            (Self::IptablesNft, Family::V4) => "iptables-nft-restore",
            (Self::IptablesNft, Family::V6) => "ip6tables-nft-restore",
            (Self::Nftables, _) => return Batch { command: vec!["nft", "-f", "-"], input },
        };
        let mut command = vec![program, WAIT];
        if keep {
            command.extend(["--noflush", "--counters"]);
        }
        Batch { command, input }
    }
}

/// How long one waits for another, in seconds: they share a lock, though not a namespace.
const WAIT: &str = "--wait=600";

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
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", self.command[0]))
            })?;
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

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn names_are_told_apart_by_letters_of_their_hash() {
        assert_eq!(digest("", 8), "4OYMIQUY");
        assert_eq!(digest("ns1/svc1:p80tcp", 16), "XPGD46QRK7WJZT7O");
    }
}
