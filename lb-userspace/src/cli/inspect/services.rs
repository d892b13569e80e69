//! `sluice inspect services`.

use std::collections::BTreeMap;

use anyhow::Result;
use lb_common::{
    frontend::scope,
    service::{Service, flags},
};
use serde::Serialize;

use super::{
    super::table::{self, Row},
    show,
};
use crate::{
    maps::Reader,
    plan::{Contents, FrontendAt},
};

/// A service port in one family.
#[derive(Serialize)]
struct ServiceRow {
    service: String,
    protocol: String,
    family: &'static str,
    index: u32,
    frontends: Vec<Frontend>,
    endpoints: Vec<String>,
    /// In the order of the endpoints.
    weights: Vec<u16>,
    local_endpoints: Vec<String>,
    internal_traffic_policy: &'static str,
    external_traffic_policy: &'static str,
    algorithm: &'static str,
    hash_table_slots: u32,
    affinity_timeout_s: Option<u32>,
    source_ranges: Vec<String>,
}

/// Where it answers.
#[derive(Serialize, Clone)]
struct Frontend {
    kind: &'static str,
    /// None for a NodePort, which answers on the node's own addresses.
    address: Option<String>,
    port: u16,
}

impl Row for ServiceRow {
    const TITLES: &'static [&'static str] = &[
        "SERVICE",
        "PROTOCOL",
        "FRONTENDS",
        "ENDPOINTS",
        "LOCAL",
        "POLICY",
        "ALGORITHM",
        "AFFINITY",
    ];

    fn cells(&self) -> Vec<String> {
        let frontends: Vec<_> = self.frontends.iter().map(Frontend::to_string).collect();
        let endpoints: Vec<_> = (self.endpoints.iter().zip(&self.weights))
            .map(|(endpoint, weight)| match weight {
                1 => endpoint.clone(),
                weight => format!("{endpoint} x{weight}"),
            })
            .collect();
        let mut policy = match (self.internal_traffic_policy, self.external_traffic_policy) {
            ("Cluster", "Cluster") => "Cluster".to_owned(),
            (internal, external) => format!("internal {internal}\nexternal {external}"),
        };
        self.source_ranges.iter().for_each(|range| policy += &format!("\nfrom {range}"));
        vec![
            self.service.clone(),
            self.protocol.clone(),
            frontends.join("\n"),
            endpoints.join("\n"),
            self.local_endpoints.len().to_string(),
            policy,
            match self.hash_table_slots {
                0 => self.algorithm.to_owned(),
                slots => format!("{} ({slots})", self.algorithm),
            },
            self.affinity_timeout_s.map(|seconds| format!("{seconds} s")).unwrap_or_default(),
        ]
    }
}

impl std::fmt::Display for Frontend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.address {
            Some(address) if address.contains(':') => {
                write!(f, "{} [{address}]:{}", self.kind, self.port)
            }
            Some(address) => write!(f, "{} {address}:{}", self.kind, self.port),
            None => write!(f, "{} {}", self.kind, self.port),
        }
    }
}

pub(super) fn run(reader: &Reader<'_>, json: bool) -> Result<()> {
    table::print(&rows(&reader.contents()?), json)
}

fn rows(contents: &Contents) -> Vec<ServiceRow> {
    let mut frontends: BTreeMap<u32, Vec<(u8, Frontend)>> = BTreeMap::new();
    for (at, frontend) in &contents.frontends {
        let shown = Frontend {
            kind: show::frontend_kind(frontend.kind),
            address: address(at),
            port: at.port(),
        };
        frontends.entry(frontend.service).or_default().push((frontend.kind, shown));
    }
    let live = contents.services.iter().filter(|(_, row)| row.settings.flags & flags::LIVE != 0);
    let mut rows: Vec<_> = live
        .map(|(index, service)| {
            let mut own = frontends.remove(index).unwrap_or_default();
            own.sort_by(|(a, one), (b, other)| {
                a.cmp(b).then_with(|| one.address.cmp(&other.address))
            });
            let own = own.into_iter().map(|(_, frontend)| frontend).collect();
            row(contents, *index, service, own)
        })
        .collect();
    rows.sort_by(|a, b| {
        (&a.service, &a.protocol, a.family).cmp(&(&b.service, &b.protocol, b.family))
    });
    rows
}

fn address(at: &FrontendAt) -> Option<String> {
    let scope = match at {
        FrontendAt::V4(key) => key.scope,
        FrontendAt::V6(key) => key.scope,
    };
    if scope == scope::NODE_PORT { None } else { at.address().map(|ip| ip.to_string()) }
}

fn row(contents: &Contents, index: u32, service: &Service, frontends: Vec<Frontend>) -> ServiceRow {
    let set = service.settings.flags;
    let policy = |flag| if set & flag == 0 { "Cluster" } else { "Local" };
    let backends = |run| {
        let mut list = contents.list(run);
        // Those with a weight stand there several times, side by side.
        list.dedup();
        list.into_iter().filter_map(|index| contents.backend(index))
    };
    let endpoints =
        |run| backends(run).map(|backend| show::socket(backend.address, backend.port)).collect();
    let hash_table_slots = service.cluster_hashed.length() + service.local_hashed.length();
    ServiceRow {
        service: show::service(contents, index),
        protocol: show::protocol((set >> flags::PROTOCOL_SHIFT) as u8),
        family: if set & flags::IPV6 == 0 { "IPv4" } else { "IPv6" },
        index,
        frontends,
        endpoints: endpoints(service.cluster),
        weights: backends(service.cluster).map(|backend| backend.weight).collect(),
        local_endpoints: endpoints(service.local),
        internal_traffic_policy: policy(flags::INTERNAL_LOCAL),
        external_traffic_policy: policy(flags::EXTERNAL_LOCAL),
        algorithm: if hash_table_slots == 0 { "random" } else { "maglev" },
        hash_table_slots,
        affinity_timeout_s: (set & flags::AFFINITY != 0)
            .then_some(service.settings.affinity_timeout_s),
        source_ranges: source_ranges(contents, index),
    }
}

fn source_ranges(contents: &Contents, index: u32) -> Vec<String> {
    let own = contents.source_ranges.iter().filter(|(_, range)| range.service.get() == index);
    own.map(|(prefix, range)| {
        let network = std::net::IpAddr::from(range.client);
        let before = lb_common::source_range::prefix_length(0, network.is_ipv6());
        format!("{network}/{}", prefix.saturating_sub(before))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use lb_common::{
        Be16, Be32,
        backend::{self, Backend},
        frontend::{self, FrontendKey, kind},
        run::Run,
        service::ServiceSettings,
        source_range::{SourceRange, prefix_length},
    };

    use super::*;
    use crate::plan::RowName;

    /// One service of two endpoints, the second of them on this node.
    fn contents() -> Contents {
        let names = RowName::decode(&[*b"default/web:http"]).unwrap().encode();
        let set =
            flags::LIVE | flags::EXTERNAL_LOCAL | flags::AFFINITY | 6 << flags::PROTOCOL_SHIFT;
        let service = Service {
            cluster: Run::new(0, 4, 1),
            local: Run::new(4, 1, 1),
            local_hashed: Run::new(5, 2, 1),
            settings: ServiceSettings { flags: set, affinity_timeout_s: 60 },
            name: Run::new(0, 1, 0),
            ..Service::default()
        };
        let backend = |last: u8, weight| Backend {
            address: std::net::IpAddr::from([10, 1, 0, last]).into(),
            port: Be16::new(8080),
            flags: backend::flags::SERVING,
            service: 3,
            weight,
            ..Backend::default()
        };
        let at = |address: u32, port, scope| {
            let (address, port) = (Be32::new(address), Be16::new(port));
            FrontendAt::V4(FrontendKey { address, port, protocol: 6, scope })
        };
        let of = |kind| frontend::Frontend { service: 3, kind, pad: [0; 3] };
        let client = std::net::IpAddr::from([192, 0, 2, 0]).into();
        Contents {
            services: vec![(3, service)],
            backends: vec![(7, backend(1, 3)), (8, backend(2, 1))],
            slots: vec![7, 7, 7, 8, 8, 7, 8],
            names,
            frontends: vec![
                (at(0, 30_080, scope::NODE_PORT), of(kind::NODE_PORT)),
                (at(0x0a60_000a, 80, scope::ADDRESS), of(kind::CLUSTER_IP)),
            ],
            source_ranges: vec![(
                prefix_length(24, false),
                SourceRange { service: Be32::new(3), client },
            )],
            ..Contents::default()
        }
    }

    #[test]
    fn a_service_is_shown_with_everything_that_hangs_on_it() {
        let shown = table::text(&rows(&contents()));
        let expected = [
            "SERVICE PROTOCOL FRONTENDS ENDPOINTS LOCAL POLICY ALGORITHM AFFINITY",
            "default/web:http TCP ClusterIP 10.96.0.10:80 10.1.0.1:8080 x3 1 internal Cluster \
             maglev (2) 60 s",
            "NodePort 30080 10.1.0.2:8080 external Local",
            "from 192.0.2.0/24",
        ];
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(shown.lines().map(words).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn machines_get_the_same_with_empty_values_in_place() {
        let json = serde_json::to_value(rows(&contents())).unwrap();
        let frontends = serde_json::json!([
            { "kind": "ClusterIP", "address": "10.96.0.10", "port": 80 },
            { "kind": "NodePort", "address": null, "port": 30080 },
        ]);
        assert_eq!(json[0]["frontends"], frontends);
        assert_eq!(json[0]["local_endpoints"], serde_json::json!(["10.1.0.2:8080"]));
        assert_eq!(json[0]["weights"], serde_json::json!([3, 1]));
        assert_eq!(json[0]["algorithm"], "maglev");
        assert_eq!(json[0]["family"], "IPv4");
    }

    #[test]
    fn a_row_that_is_not_live_is_not_shown() {
        let mut contents = contents();
        contents.services[0].1.settings.flags &= !flags::LIVE;
        assert!(rows(&contents).is_empty());
    }
}
