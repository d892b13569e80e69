//! kube-proxy's nftables rules as input of `nft -f`, as it sends them: a command a line.
//!
//! A packet that opens a connection is looked up in a map, by address, protocol and port or, for the
//! node's own addresses, by protocol and port. The map leads to the service's chain, which draws an
//! endpoint's chain from a small map. Cost does not grow with the number of services.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    super::services::{Endpoint, Family, Port, Service, Site},
    digest, port_name,
};

/// Who carries this mark leaves with an address of the node.
const MARK: &str = "0x4000";
/// Letters and digits before the readable part of a chain's name.
const ID_LENGTH: usize = 8;

/// Words that differ between families.
struct Words {
    /// Of tables and of addresses in packets.
    family: &'static str,
    /// Type of addresses in sets.
    address: &'static str,
}

fn words(family: Family) -> Words {
    match family {
        Family::V4 => Words { family: "ip", address: "ipv4_addr" },
        Family::V6 => Words { family: "ip6", address: "ipv6_addr" },
    }
}

/// What hooks in, and the maps that services are entered in.
pub fn foundation(site: &Site) -> String {
    let Words { family, address } = words(site.family());
    let table = format!("{family} kube-proxy");
    // Made and removed first, so that it is new afterwards whether there was one or not.
    let mut text = format!("add table {table}\ndelete table {table}\nadd table {table}\n");
    let key = format!("{address} . inet_proto . inet_service");
    for (set, kind) in [("cluster-ips", address), ("nodeport-ips", address)] {
        let _ = writeln!(text, "add set {table} {set} {{ type {kind} ; }}");
    }
    for (map, kind) in [
        ("firewall-ips", key.as_str()),
        ("no-endpoint-nodeports", "inet_proto . inet_service"),
        ("no-endpoint-services", &key),
        ("service-ips", &key),
        ("service-nodeports", "inet_proto . inet_service"),
    ] {
        let _ = writeln!(text, "add map {table} {map} {{ type {kind} : verdict ; }}");
    }
    for (chain, hook) in CHAINS {
        let hook = hook.map_or_else(String::new, |hook| format!(" {{ type {hook} ; }}"));
        let _ = writeln!(text, "add chain {table} {chain}{hook}");
    }
    let Site { node, cluster_ips, .. } = site;
    let by_key = format!("{family} daddr . meta l4proto . th dport vmap");
    let by_port = format!("{family} daddr @nodeport-ips meta l4proto . th dport vmap");
    let own = [
        ("cluster-ips-check", format!("{family} daddr @cluster-ips reject")),
        ("cluster-ips-check", format!("{family} daddr {{ {cluster_ips} }} drop")),
        ("firewall-check", format!("{by_key} @firewall-ips")),
        ("nodeport-endpoints-check", format!("{by_port} @no-endpoint-nodeports")),
        ("service-endpoints-check", format!("{by_key} @no-endpoint-services")),
        ("reject-chain", "reject".to_owned()),
        ("services", format!("{by_key} @service-ips")),
        ("services", format!("{by_port} @service-nodeports")),
        ("mark-for-masquerade", format!("mark set mark or {MARK}")),
        ("masquerading", format!("mark and {MARK} == 0 return")),
        ("masquerading", format!("mark set mark xor {MARK}")),
        ("masquerading", "masquerade fully-random".to_owned()),
    ];
    let jumps = JUMPS.map(|(chain, rule)| (chain, rule.to_owned()));
    for (chain, rule) in own.iter().chain(&jumps) {
        let _ = writeln!(text, "add rule {table} {chain} {rule}");
    }
    let _ = writeln!(text, "add element {table} nodeport-ips {{ {node} }}");
    text
}

/// Chains, and where those that the kernel calls hook in.
const CHAINS: [(&str, Option<&str>); 16] = [
    ("filter-prerouting-pre-dnat", Some("filter hook prerouting priority -110")),
    ("filter-output-pre-dnat", Some("filter hook output priority -110")),
    ("filter-forward", Some("filter hook forward priority 0")),
    ("filter-input", Some("filter hook input priority 0")),
    ("filter-output", Some("filter hook output priority 0")),
    ("nat-prerouting", Some("nat hook prerouting priority -100")),
    ("nat-output", Some("nat hook output priority -100")),
    ("nat-postrouting", Some("nat hook postrouting priority 100")),
    ("services", None),
    ("cluster-ips-check", None),
    ("firewall-check", None),
    ("nodeport-endpoints-check", None),
    ("service-endpoints-check", None),
    ("reject-chain", None),
    ("mark-for-masquerade", None),
    ("masquerading", None),
];

/// How the chains that the kernel calls lead to the others.
const JUMPS: [(&str, &str); 11] = [
    ("filter-prerouting-pre-dnat", "ct state new jump firewall-check"),
    ("filter-output-pre-dnat", "ct state new jump firewall-check"),
    ("filter-forward", "ct state new jump service-endpoints-check"),
    ("filter-forward", "ct state new jump cluster-ips-check"),
    ("filter-input", "ct state new jump nodeport-endpoints-check"),
    ("filter-input", "ct state new jump service-endpoints-check"),
    ("filter-output", "ct state new jump service-endpoints-check"),
    ("filter-output", "ct state new jump cluster-ips-check"),
    ("nat-prerouting", "jump services"),
    ("nat-output", "jump services"),
    ("nat-postrouting", "jump masquerading"),
];

/// All services at once.
pub fn rules(services: &[Service], site: &Site) -> String {
    let mut text = String::new();
    for service in services {
        for port in &service.ports {
            chains(&mut text, service, port, site);
            elements(&mut text, service, port, site);
        }
    }
    text
}

/// One service whose endpoints have changed: all its chains again. Those of endpoints that have gone
/// are emptied now and removed later, when nothing can be in them.
pub fn change(before: &Service, after: &Service, site: &Site) -> String {
    let family = site.family();
    let table = format!("{} kube-proxy", words(family).family);
    let mut text = String::new();
    for port in &after.ports {
        chains(&mut text, after, port, site);
        let names = |service: &Service| -> BTreeSet<String> {
            service.endpoints(family).map(|one| endpoint_chain(service, port, one)).collect()
        };
        for gone in names(before).difference(&names(after)) {
            let _ = writeln!(text, "flush chain {table} {gone}");
        }
    }
    text
}

fn chains(text: &mut String, service: &Service, port: &Port, site: &Site) {
    let Some(address) = service.cluster_ip(site.family()) else { return };
    let family = words(site.family()).family;
    let table = format!("{family} kube-proxy");
    let begin = |text: &mut String, chain: &str| {
        let _ = write!(text, "add chain {table} {chain}\nflush chain {table} {chain}\n");
    };
    let protocol = port.protocol.name();
    let mut drawn = String::new();
    let mut count = 0;
    for endpoint in service.endpoints(site.family()) {
        let chain = endpoint_chain(service, port, endpoint);
        begin(text, &chain);
        let Endpoint { address: to, .. } = endpoint;
        let _ = write!(
            text,
            "add rule {table} {chain} {family} saddr {} jump mark-for-masquerade\n\
             add rule {table} {chain} meta l4proto {protocol} dnat to {to}\n",
            to.ip(),
        );
        let _ = write!(drawn, "{}{count} : goto {chain}", if count == 0 { "" } else { ", " });
        count += 1;
    }
    let name = readable(service, port);
    begin(text, &format!("service-{name}"));
    let _ = write!(
        text,
        "add rule {table} service-{name} {family} daddr {address} {family} saddr != {} jump \
         mark-for-masquerade\n\
         add rule {table} service-{name} numgen random mod {count} vmap {{ {drawn} }}\n",
        site.pods,
    );
    if port.node_port.is_some() {
        begin(text, &format!("external-{name}"));
        let _ = write!(
            text,
            "add rule {table} external-{name} jump mark-for-masquerade\n\
             add rule {table} external-{name} goto service-{name}\n",
        );
    }
}

fn elements(text: &mut String, service: &Service, port: &Port, site: &Site) {
    let Some(address) = service.cluster_ip(site.family()) else { return };
    let table = format!("{} kube-proxy", words(site.family()).family);
    let (name, protocol) = (readable(service, port), port.protocol.name());
    let number = port.number;
    let _ = write!(
        text,
        "add element {table} cluster-ips {{ {address} }}\n\
         add element {table} service-ips {{ {address} . {protocol} . {number} : goto service-{name} }}\n",
    );
    if let Some(node_port) = port.node_port {
        let _ = writeln!(
            text,
            "add element {table} service-nodeports {{ {protocol} . {node_port} : goto external-{name} }}",
        );
    }
}

/// What the names of a service's chains end in.
fn readable(service: &Service, port: &Port) -> String {
    hashed(&path(service, port))
}

fn endpoint_chain(service: &Service, port: &Port, endpoint: &Endpoint) -> String {
    let to = endpoint.address;
    // Colons end the name of a chain.
    let address = to.ip().to_string().replace(':', ".");
    let name = format!("{}__{address}/{}", path(service, port), to.port());
    format!("endpoint-{}", hashed(&name))
}

fn path(service: &Service, port: &Port) -> String {
    format!("default/{}/{}/{}", service.name, port.protocol.name(), port_name(port))
}

/// Names may be cut, so they are told apart by what comes first.
fn hashed(name: &str) -> String {
    format!("{}-{name}", digest(name, ID_LENGTH))
}

#[cfg(test)]
mod tests {
    use super::{super::super::services::Protocol, *};

    fn service() -> Service {
        let endpoint =
            |address: &str| Endpoint { address: address.parse().unwrap(), node: "node1" };
        Service {
            name: "web".to_owned(),
            cluster_ips: vec!["10.96.0.10".parse().unwrap(), "fd00:96::10".parse().unwrap()],
            ports: vec![Port { number: 80, protocol: Protocol::Tcp, node_port: Some(30_000) }],
            endpoints: ["10.244.1.2:8080", "10.244.2.2:8080", "[fd00:244:1::2]:8080"]
                .map(endpoint)
                .into(),
        }
    }

    /// The lines that begin like this, without that.
    #[track_caller]
    fn check(text: &str, begin: &str, expected: &[&str]) {
        let found: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(begin)).collect();
        assert_eq!(found, expected, "{text}");
    }

    fn chain(service: &Service, position: usize) -> String {
        endpoint_chain(service, &service.ports[0], &service.endpoints[position])
    }

    #[test]
    fn a_service_is_entered_in_the_maps() {
        let text = rules(&[service()], &Site::of("192.168.50.11".parse().unwrap()));
        let name = readable(&service(), &service().ports[0]);
        check(
            &text,
            "add element ip kube-proxy ",
            &[
                "cluster-ips { 10.96.0.10 }",
                &format!("service-ips {{ 10.96.0.10 . tcp . 80 : goto service-{name} }}"),
                &format!("service-nodeports {{ tcp . 30000 : goto external-{name} }}"),
            ],
        );
    }

    #[test]
    fn one_of_the_endpoints_is_drawn() {
        let text = rules(&[service()], &Site::of("192.168.50.11".parse().unwrap()));
        let (service, name) = (service(), readable(&service(), &service().ports[0]));
        let (first, second) = (chain(&service, 0), chain(&service, 1));
        check(
            &text,
            &format!("add rule ip kube-proxy service-{name} "),
            &[
                "ip daddr 10.96.0.10 ip saddr != 10.244.0.0/16 jump mark-for-masquerade",
                &format!("numgen random mod 2 vmap {{ 0 : goto {first}, 1 : goto {second} }}"),
            ],
        );
        check(
            &text,
            &format!("add rule ip kube-proxy external-{name} "),
            &["jump mark-for-masquerade", &format!("goto service-{name}")],
        );
        check(
            &text,
            &format!("add rule ip kube-proxy {second} "),
            &[
                "ip saddr 10.244.2.2 jump mark-for-masquerade",
                "meta l4proto tcp dnat to 10.244.2.2:8080",
            ],
        );
    }

    #[test]
    fn colons_stay_out_of_names() {
        let text = rules(&[service()], &Site::of("fd00:50::11".parse().unwrap()));
        let chain = chain(&service(), 2);
        assert!(chain.ends_with("-default/web/tcp/tcp-80__fd00.244.1..2/8080"), "{chain}");
        check(
            &text,
            &format!("add rule ip6 kube-proxy {chain} "),
            &[
                "ip6 saddr fd00:244:1::2 jump mark-for-masquerade",
                "meta l4proto tcp dnat to [fd00:244:1::2]:8080",
            ],
        );
    }

    #[test]
    fn an_endpoint_that_has_gone_is_no_longer_drawn_and_its_chain_emptied() {
        let (before, mut after) = (service(), service());
        after.endpoints.remove(0);
        let text = change(&before, &after, &Site::of("192.168.50.11".parse().unwrap()));
        let (gone, stays) = (chain(&before, 0), chain(&before, 1));
        let draws = format!("numgen random mod 1 vmap {{ 0 : goto {stays} }}");
        assert!(text.contains(&draws), "{text}");
        assert_eq!(text.lines().last(), Some(format!("flush chain ip kube-proxy {gone}").as_str()));
        assert_eq!(text.matches(&gone).count(), 1, "{text}");
        check(&text, "add element", &[]);
    }
}
