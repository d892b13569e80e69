//! kube-proxy's iptables rules as input of `iptables-restore`.
//!
//! A packet that opens a connection walks KUBE-SERVICES rule by rule until one names its destination,
//! goes through that service's KUBE-SVC chain, where each endpoint's chain but the last is entered with
//! a probability, and is rewritten in KUBE-SEP. A call of a NodePort finds none of the ClusterIPs,
//! and then walks KUBE-NODEPORTS.

use std::fmt::Write as _;

use super::{
    super::services::{Endpoint, Family, Port, Service, Site},
    digest, full_name,
};

/// With more endpoints than these the rules of endpoints go without comments.
const MANY_ENDPOINTS: usize = 1_000;
/// Who carries this mark leaves with an address of the node.
const MARK: &str = "0x4000";
/// Letters and digits in the name of a chain.
const ID_LENGTH: usize = 16;

/// Chains, and how the kernel's own ones lead to them.
pub fn foundation(site: &Site) -> String {
    let mut text = String::from("*filter\n");
    for chain in FILTER_CHAINS {
        let _ = writeln!(text, ":{chain} - [0:0]");
    }
    text.push_str(":KUBE-FIREWALL - [0:0]\n");
    for (chain, only_new, to, why) in FILTER_JUMPS {
        let state = if only_new { "-m conntrack --ctstate NEW " } else { "" };
        let _ = writeln!(text, "-A {chain} {state}-m comment --comment \"{why}\" -j {to}");
    }
    if site.family() == Family::V4 {
        text.push_str(
            "-A KUBE-FIREWALL -m comment --comment \"nobody else is localhost\" -d 127.0.0.0/8 \
             ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP\n",
        );
    }
    text.push_str("COMMIT\n*nat\n");
    for chain in NAT_CHAINS {
        let _ = writeln!(text, ":{chain} - [0:0]");
    }
    for (chain, to) in
        [("PREROUTING", "SERVICES"), ("OUTPUT", "SERVICES"), ("POSTROUTING", "POSTROUTING")]
    {
        let _ = writeln!(text, "-A {chain} -m comment --comment \"services\" -j KUBE-{to}");
    }
    text.push_str("COMMIT\n");
    text
}

const FILTER_CHAINS: [&str; 5] = [
    "KUBE-NODEPORTS",
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-FORWARD",
    "KUBE-PROXY-FIREWALL",
];
const NAT_CHAINS: [&str; 4] =
    ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"];

/// From where, only for what opens a connection, to where, why.
const FILTER_JUMPS: [(&str, bool, &str, &str); 12] = [
    ("INPUT", true, "KUBE-PROXY-FIREWALL", "source ranges of load balancers"),
    ("INPUT", false, "KUBE-NODEPORTS", "health check ports"),
    ("INPUT", true, "KUBE-EXTERNAL-SERVICES", "services seen from outside"),
    ("INPUT", false, "KUBE-FIREWALL", "localhost"),
    ("FORWARD", true, "KUBE-PROXY-FIREWALL", "source ranges of load balancers"),
    ("FORWARD", false, "KUBE-FORWARD", "what is passed on"),
    ("FORWARD", true, "KUBE-SERVICES", "services"),
    ("FORWARD", true, "KUBE-EXTERNAL-SERVICES", "services seen from outside"),
    ("OUTPUT", true, "KUBE-PROXY-FIREWALL", "source ranges of load balancers"),
    ("OUTPUT", true, "KUBE-SERVICES", "services"),
    ("OUTPUT", false, "KUBE-FIREWALL", "localhost"),
    ("OUTPUT", true, "KUBE-EXTERNAL-SERVICES", "services seen from outside"),
];

/// All chains that every synchronization writes anew, with a rule a service, and the chains of those
/// services that have changed since the last one.
pub fn rules(services: &[Service], changed: &[Service], site: &Site) -> String {
    let family = site.family();
    let endpoints: usize = services.iter().map(|one| one.endpoints(family).count()).sum();
    let commented = endpoints <= MANY_ENDPOINTS;
    let (mut chains, mut rules) = (String::new(), every_time());
    for service in services {
        for port in &service.ports {
            way_in(&mut rules, service, port, family);
        }
    }
    for service in changed {
        for port in &service.ports {
            ladder(&mut chains, &mut rules, service, port, site, commented);
        }
    }
    // Where NodePorts answer: at every address of the node, but in IPv6 not at localhost.
    let not_here = if family == Family::V6 { " ! -d ::1/128" } else { "" };
    let _ = writeln!(
        rules,
        "-A KUBE-SERVICES -m comment --comment \"node ports; the last rule\" -m addrtype \
         --dst-type LOCAL{not_here} -j KUBE-NODEPORTS",
    );
    let declared: String = NAT_CHAINS.map(|chain| format!(":{chain} - [0:0]\n")).concat();
    format!("{}*nat\n{declared}{chains}{rules}COMMIT\n", filter())
}

fn filter() -> String {
    let declared: String = FILTER_CHAINS.map(|chain| format!(":{chain} - [0:0]\n")).concat();
    format!(
        "*filter\n{declared}-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n\
         -A KUBE-FORWARD -m comment --comment \"for services\" -m mark --mark {MARK}/{MARK} -j ACCEPT\n\
         -A KUBE-FORWARD -m comment --comment \"known connections\" -m conntrack \
         --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n",
    )
}

/// The mark, and what becomes of who carries it.
fn every_time() -> String {
    format!(
        "-A KUBE-POSTROUTING -m mark ! --mark {MARK}/{MARK} -j RETURN\n\
         -A KUBE-POSTROUTING -j MARK --xor-mark {MARK}\n\
         -A KUBE-POSTROUTING -m comment --comment \"answers come by this node\" \
         -j MASQUERADE --random-fully\n\
         -A KUBE-MARK-MASQ -j MARK --or-mark {MARK}\n",
    )
}

/// The rules that know a port of a service by its addresses.
fn way_in(rules: &mut String, service: &Service, port: &Port, family: Family) {
    let Some(address) = service.cluster_ip(family) else { return };
    let (name, protocol, number) = (full_name(service, port), port.protocol.name(), port.number);
    let id = id(&name, protocol);
    let _ = writeln!(
        rules,
        "-A KUBE-SERVICES -m comment --comment \"{name} cluster IP\" -m {protocol} -p {protocol} \
         -d {address} --dport {number} -j KUBE-SVC-{id}",
    );
    if let Some(node_port) = port.node_port {
        let _ = writeln!(
            rules,
            "-A KUBE-NODEPORTS -m comment --comment {name} -m {protocol} -p {protocol} \
             --dport {node_port} -j KUBE-EXT-{id}",
        );
    }
}

/// The chains that choose an endpoint of a service, and those of the endpoints.
fn ladder(
    chains: &mut String,
    rules: &mut String,
    service: &Service,
    port: &Port,
    site: &Site,
    commented: bool,
) {
    let family = site.family();
    let Some(address) = service.cluster_ip(family) else { return };
    let (name, protocol) = (full_name(service, port), port.protocol.name());
    let id = id(&name, protocol);
    let _ = writeln!(chains, ":KUBE-SVC-{id} - [0:0]");
    if port.node_port.is_some() {
        let _ = writeln!(chains, ":KUBE-EXT-{id} - [0:0]");
        let _ = write!(
            rules,
            "-A KUBE-EXT-{id} -m comment --comment \"{name} from outside\" -j KUBE-MARK-MASQ\n\
             -A KUBE-EXT-{id} -j KUBE-SVC-{id}\n",
        );
    }
    let (pods, number) = (site.pods, port.number);
    let _ = writeln!(
        rules,
        "-A KUBE-SVC-{id} -m comment --comment \"{name} cluster IP\" -m {protocol} -p {protocol} \
         -d {address} --dport {number} ! -s {pods} -j KUBE-MARK-MASQ",
    );
    let comment = |text: String| match commented {
        true => format!(" -m comment --comment \"{text}\""),
        false => String::new(),
    };
    let mut left = service.endpoints(family).count();
    for Endpoint { address: to, .. } in service.endpoints(family) {
        let sep = digest(&format!("{name}{protocol}{to}"), ID_LENGTH);
        let _ = writeln!(chains, ":KUBE-SEP-{sep} - [0:0]");
        let chance = match left {
            1 => String::new(),
            _ => format!(" -m statistic --mode random --probability {:.10}", 1.0 / left as f64),
        };
        left -= 1;
        let (why, whose) = (comment(format!("{name} -> {to}")), comment(name.clone()));
        let from = to.ip();
        let _ = write!(
            rules,
            "-A KUBE-SVC-{id}{why}{chance} -j KUBE-SEP-{sep}\n\
             -A KUBE-SEP-{sep}{whose} -s {from} -j KUBE-MARK-MASQ\n\
             -A KUBE-SEP-{sep}{whose} -m {protocol} -p {protocol} -j DNAT --to-destination {to}\n",
        );
    }
}

/// What the names of a service's chains end in.
fn id(name: &str, protocol: &str) -> String {
    digest(&format!("{name}{protocol}"), ID_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::{super::super::services, *};
    use services::Protocol;

    /// The lines about chains that begin like this, in order, with the letters of `id` for the
    /// service's own.
    #[track_caller]
    fn check(text: &str, chain: &str, expected: &[&str]) {
        let begin = format!("-A {chain}");
        let found: Vec<_> = text.lines().filter(|line| line.starts_with(&begin)).collect();
        assert_eq!(found, expected, "{text}");
    }

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

    #[test]
    fn a_service_is_found_by_its_cluster_ip_and_its_node_port() {
        let site = Site::of("192.168.50.11".parse().unwrap());
        let text = rules(&[service()], &[service()], &site);
        let id = id("default/web:tcp-80", "tcp");
        check(
            &text,
            "KUBE-SERVICES",
            &[
                &format!(
                    "-A KUBE-SERVICES -m comment --comment \"default/web:tcp-80 cluster IP\" -m tcp \
                     -p tcp -d 10.96.0.10 --dport 80 -j KUBE-SVC-{id}"
                ),
                "-A KUBE-SERVICES -m comment --comment \"node ports; the last rule\" -m addrtype \
                 --dst-type LOCAL -j KUBE-NODEPORTS",
            ],
        );
        check(
            &text,
            "KUBE-NODEPORTS",
            &[&format!(
                "-A KUBE-NODEPORTS -m comment --comment default/web:tcp-80 -m tcp -p tcp \
                 --dport 30000 -j KUBE-EXT-{id}"
            )],
        );
        check(
            &text,
            "KUBE-EXT",
            &[
                &format!(
                    "-A KUBE-EXT-{id} -m comment --comment \"default/web:tcp-80 from outside\" -j \
                     KUBE-MARK-MASQ"
                ),
                &format!("-A KUBE-EXT-{id} -j KUBE-SVC-{id}"),
            ],
        );
    }

    #[test]
    fn endpoints_stand_on_a_ladder_of_chances() {
        let site = Site::of("192.168.50.11".parse().unwrap());
        let mut many = service();
        let first = many.endpoints[0];
        many.endpoints.extend([first, first]);
        for (service, chances) in [
            (service(), vec!["0.5000000000"]),
            (many, vec!["0.2500000000", "0.3333333333", "0.5000000000"]),
        ] {
            let text = rules(std::slice::from_ref(&service), std::slice::from_ref(&service), &site);
            let found: Vec<_> = text
                .split_whitespace()
                .zip(text.split_whitespace().skip(1))
                .filter_map(|(word, next)| (word == "--probability").then_some(next))
                .collect();
            assert_eq!(found, chances);
        }
    }

    #[test]
    fn an_endpoint_that_calls_itself_is_masqueraded() {
        let site = Site::of("fd00:50::11".parse().unwrap());
        let text = rules(&[service()], &[service()], &site);
        let sep = digest("default/web:tcp-80tcp[fd00:244:1::2]:8080", ID_LENGTH);
        let comment = "-m comment --comment \"default/web:tcp-80\"";
        check(
            &text,
            "KUBE-SEP",
            &[
                &format!("-A KUBE-SEP-{sep} {comment} -s fd00:244:1::2 -j KUBE-MARK-MASQ"),
                &format!(
                    "-A KUBE-SEP-{sep} {comment} -m tcp -p tcp -j DNAT --to-destination \
                     [fd00:244:1::2]:8080"
                ),
            ],
        );
    }

    #[test]
    fn who_has_not_changed_keeps_its_chains() {
        let site = Site::of("192.168.50.11".parse().unwrap());
        let services = services::list(300, &[Family::V4], &[service()]);
        let text = rules(&services, &services[299..], &site);
        let count = |begin: &str| text.lines().filter(|line| line.starts_with(begin)).count();
        assert_eq!(count("-A KUBE-SERVICES"), 301);
        assert_eq!((count(":KUBE-SVC"), count("-A KUBE-SVC"), count("-A KUBE-SEP")), (1, 3, 4));
        // With more than a thousand endpoints theirs are the rules without a comment.
        assert!(
            text.lines()
                .filter(|line| line.starts_with("-A KUBE-SEP"))
                .all(|line| !line.contains("comment"))
        );
    }
}
