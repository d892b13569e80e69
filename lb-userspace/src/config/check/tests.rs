use std::{fs, path::PathBuf};

use clap::Parser;

use super::*;
use crate::config::Source;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    agent: RawAgent,
}

fn typed(flags: &[&str]) -> RawAgent {
    Command::parse_from(["sluice"].iter().chain(flags)).agent
}

/// With flags that a start needs.
fn checked(flags: &[&str]) -> Result<Config, Problems> {
    let folder = std::env::temp_dir();
    let needed = ["--manifests", folder.to_str().unwrap(), "--node-name", "n1"];
    check(&typed(&[&needed, flags].concat()), &Surroundings::default())
}

/// A pod's surroundings.
fn pod() -> Surroundings {
    let node_name = Some("from-environment".to_owned());
    Surroundings { node_name, host_name: Some("host".into()), in_cluster: true, ipv6: true }
}

/// A file that goes with the value.
struct Written(PathBuf);

impl Written {
    fn new(name: &str, content: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sluice-config-{}-{name}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn configuration(name: &str, content: &str) -> Self {
        let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
        Self::new(name, &format!("{head}{content}"))
    }

    fn flag(&self) -> String {
        format!("--config={}", self.0.display())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[track_caller]
fn refused(result: Result<Config, Problems>, expected: &[&str]) {
    let Problems(problems) = result.unwrap_err();
    let found: Vec<_> = problems.iter().map(|problem| problem.setting.as_str()).collect();
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
    assert_eq!(config.healthz, Some("0.0.0.0:10256".parse().unwrap()));
    assert_eq!(config.metrics, Some("127.0.0.1:10249".parse().unwrap()));
    assert!(!config.bind_hard_fail && !config.verbose && config.remarks.is_empty());
}

#[test]
fn every_problem_is_found_at_once() {
    let file = Written::configuration("all", "nodePortAddresses: [eth0]\nlogging: {format: xml}\n");
    refused(
        checked(&[
            "--xdp=fast",
            "--service-cidr=10.0.0.0",
            "--max-flows=0",
            "--pin-path=pins",
            "--metrics-bind-address=here",
            &file.flag(),
        ]),
        &[
            "--xdp",
            "--service-cidr",
            "--config: nodePortAddresses",
            "--metrics-bind-address",
            "--pin-path",
            "--max-flows",
            "--config: logging.format",
        ],
    );
}

#[test]
fn each_setting_has_its_bounds() {
    #[track_caller]
    fn check(flag: &str, setting: &str) {
        refused(checked(&[flag]), &[setting]);
    }
    check("--service-cidr=10.0.0.0/8,192.168.0.0/16", "--service-cidr");
    for range in ["32767-30000", "30000"] {
        check(&format!("--service-node-port-range={range}"), "--service-node-port-range");
    }
    check("--service-node-port-range=20000-32767", "--snat-ports");
    for range in ["20000-30000", "1000-29999", "0-9", "10000"] {
        check(&format!("--snat-ports={range}"), "--snat-ports");
    }
    check("--nodeport-addresses=primary,eth0", "--nodeport-addresses");
    check("--max-slots=4294967295", "--max-slots");
    check("--healthz-bind-address=:80", "--healthz-bind-address");
    check("--kubeconfig=/dev/null", "--kubeconfig");
    check("--config=/nonexistent", "--config /nonexistent");
}

#[test]
fn lists_are_split_at_commas() {
    let config = checked(&["--interfaces=eth*,vxlan0", "--service-cidr=10.96.0.0/12,fd00::/108"]);
    let config = config.unwrap();
    assert_eq!(config.interfaces.unwrap(), ["eth*", "vxlan0"]);
    assert_eq!(config.service_cidrs.len(), 2);
}

#[test]
fn servers_are_switched_off_by_an_empty_address_or_zero() {
    for nothing in ["--metrics-bind-address=", "--metrics-bind-address=0"] {
        assert_eq!(checked(&[nothing]).unwrap().metrics, None);
    }
}

/// What of the settings can come from a flag, the file and the environment.
#[track_caller]
fn settled(file: &str, flags: &[&str], expected: &str) {
    let file = Written::configuration("settled", file);
    let around = pod();
    let config = check(&typed(&[flags, &[&file.flag()]].concat()), &around).unwrap();
    let listen = |address: Option<SocketAddr>| address.map_or("-".into(), |a| a.to_string());
    let found = format!(
        "{} {} {} {} {:?} {}",
        config.node_name,
        listen(config.healthz),
        listen(config.metrics),
        config.bind_hard_fail,
        config.log_format,
        config.verbose,
    );
    assert_eq!(found, expected);
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_environment() {
    let defaults = "from-environment [::]:10256 127.0.0.1:10249 false Text false";
    settled("", &[], defaults);
    settled(
        "hostnameOverride: ''\nhealthzBindAddress: ''\nmetricsBindAddress: ''\n",
        &[],
        defaults,
    );
    let file = "hostnameOverride: from-file\nhealthzBindAddress: 127.0.0.1:1\n\
                metricsBindAddress: '[::1]'\nbindAddressHardFail: true\n\
                logging: {format: json, verbosity: 4}\n";
    settled(file, &[], "from-file 127.0.0.1:1 [::1]:10249 true Json true");
    let flags = [
        "--hostname-override=typed",
        "--healthz-bind-address=",
        "--metrics-bind-address=127.0.0.1:2",
        "--bind-address-hard-fail=false",
        "--log-format=text",
    ];
    settled(file, &flags, "typed - 127.0.0.1:2 false Text true");
}

#[test]
fn node_port_addresses_are_those_of_the_flag_the_file_or_its_mode() {
    #[track_caller]
    fn check(file: &str, flags: &[&str], expected: (bool, bool, usize, bool)) {
        let file = Written::configuration("addresses", file);
        let addresses = checked(&[flags, &[&file.flag()]].concat()).unwrap().node_port_addresses;
        let NodePortAddresses { all, primary, networks, never_loopback } = addresses;
        assert_eq!((all, primary, networks.len(), never_loopback), expected);
    }
    check("", &[], (true, false, 0, false));
    check("nodePortAddresses: []\n", &[], (true, false, 0, false));
    check("mode: nftables\n", &[], (false, true, 0, false));
    check("mode: ipvs\n", &[], (true, false, 0, false));
    check("mode: nftables\nnodePortAddresses: [192.0.2.0/24]\n", &[], (false, false, 1, false));
    let written = "nodePortAddresses: [primary]\niptables: {localhostNodePorts: false}\n";
    check(written, &[], (false, true, 0, true));
    check(written, &["--nodeport-addresses=all"], (true, false, 0, true));
    check("mode: nftables\niptables: {localhostNodePorts: false}\n", &[], (false, true, 0, false));
}

#[test]
fn the_source_is_what_a_flag_says_else_the_file_else_the_pods_cluster() {
    let there = Written::new("kubeconfig", "");
    let path = there.0.to_str().unwrap();
    let naming = |path: &str| format!("clientConnection: {{kubeconfig: {path}}}\n");
    let settled = |content: &str, flags: &[&str], around: &Surroundings| {
        let file = Written::configuration("source", content);
        check(&typed(&[flags, &["--node-name=n1", &file.flag()]].concat()), around)
    };
    let kubernetes = |path: Option<&str>| Source::Kubernetes { kubeconfig: path.map(Into::into) };
    let alone = Surroundings::default();

    assert_eq!(settled("", &[], &pod()).unwrap().source, kubernetes(None));
    refused(settled("", &[], &alone), &["--manifests"]);
    let flag = format!("--kubeconfig={path}");
    assert_eq!(settled("", &[&flag], &alone).unwrap().source, kubernetes(Some(path)));
    assert_eq!(settled(&naming(path), &[], &pod()).unwrap().source, kubernetes(Some(path)));
    let folder = std::env::temp_dir();
    let flag = format!("--manifests={}", folder.display());
    let config = settled(&naming("/nonexistent"), &[&flag], &alone).unwrap();
    assert_eq!(config.source, Source::Manifests(folder));

    let config = settled(&naming("/nonexistent"), &[], &pod()).unwrap();
    assert_eq!(config.source, kubernetes(None));
    assert!(config.remarks[0].contains("/nonexistent"), "{:?}", config.remarks);
    refused(settled(&naming("/nonexistent"), &[], &alone), &["--config"]);
}

#[test]
fn what_the_file_says_without_effect_is_said_once_and_together() {
    let file = Written::configuration(
        "remarks",
        "clusterCIDR: 10.244.0.0/16\nconntrack: {min: 7}\nattic: 1\n",
    );
    let remarks = checked(&[&file.flag()]).unwrap().remarks;
    let [remark] = &remarks[..] else { panic!("{remarks:?}") };
    let lines: Vec<_> = remark.lines().collect();
    assert_eq!(lines.len(), 4, "{remark}");
    for (line, part) in lines.iter().zip([file.0.to_str().unwrap(), "attic", "clusterCIDR", "min"])
    {
        assert!(line.contains(part), "{remark}");
    }
}

#[test]
fn a_wrong_field_is_named_with_its_file() {
    let file = Written::configuration("wrong", "mode: 1\n");
    let setting = format!("--config {}: mode", file.0.display());
    refused(checked(&[&file.flag()]), &[&setting]);
}
