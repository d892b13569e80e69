use super::*;

const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

#[track_caller]
fn ignored(text: &str) -> Vec<String> {
    let read = KubeProxy::parse(&format!("{HEAD}{text}")).unwrap();
    read.ignored.iter().map(|one| format!("{} = {}", one.field, one.value)).collect()
}

#[test]
fn what_is_set_and_ignored_is_listed_and_nothing_else() {
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(ignored(text), expected);
    }
    check("", &[]);
    check("mode: iptables\nhostnameOverride: n1\nnodePortAddresses: [primary]\n", &[]);
    check("clusterCIDR: 10.244.0.0/16\n", &["clusterCIDR = `10.244.0.0/16`"]);
    check("conntrack: {maxPerCore: 65536, min: null}\n", &["conntrack.maxPerCore = 65536"]);
    check("ipvs: {excludeCIDRs: [10.0.0.0/8]}\n", &["ipvs.excludeCIDRs = [`10.0.0.0/8`]"]);
    check("iptables: {masqueradeAll: true}\n", &["iptables.masqueradeAll = true"]);
    check("featureGates: {A: true, B: false}\n", &["featureGates = {A: true, B: false}"]);
    check("attic: 3\niptables: {attic: [x]}\n", &["attic = 3", "iptables.attic = [`x`]"]);
}

#[test]
fn defaults_and_empty_values_ask_for_nothing() {
    let all = FIELDS.iter().filter(|field| !["apiVersion", "kind"].contains(&field.path));
    for field in all.clone().filter(|field| !field.default.is_empty()) {
        let nested = field.path.replace('.', ": {");
        let closing = "}".repeat(field.path.matches('.').count());
        let text = format!("{nested}: {}{closing}\n", field.default);
        assert_eq!(ignored(&text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(ignored("conntrack: {tcpEstablishedTimeout: 24h0m0s}\n"), Vec::<String>::new());
    assert_eq!(ignored("clientConnection: {qps: 0, burst: 0, contentType: ''}\n").len(), 0);
}

#[test]
fn what_kubeadm_writes_is_understood() {
    let text = include_str!("kubeadm.yaml");
    let read = KubeProxy::parse(text).unwrap();
    let ignored: Vec<_> = read.ignored.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(ignored, ["clusterCIDR"]);
    let kubeconfig = read.text("clientConnection.kubeconfig");
    assert_eq!(kubeconfig, Some("/var/lib/kube-proxy/kubeconfig.conf"));
    assert_eq!(read.text("hostnameOverride"), None);
    assert_eq!(read.switch("iptables.localhostNodePorts"), None);
    assert_eq!(read.list("nodePortAddresses"), [""; 0]);
}

#[test]
fn a_field_of_the_wrong_shape_is_named() {
    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let faults = KubeProxy::parse(&format!("{HEAD}{text}")).unwrap_err();
        let faults: Vec<_> =
            faults.iter().map(|(at, why)| (at.as_deref().unwrap_or("-"), &**why)).collect();
        assert_eq!(faults, expected, "{text}");
    }
    check("mode: 3\n", &[("mode", "is 3, not a text")]);
    check(
        "bindAddressHardFail: 'yes'\nconntrack: 7\n",
        &[
            ("bindAddressHardFail", "is `yes`, not true or false"),
            ("conntrack", "is 7, not a section"),
        ],
    );
    check("nodePortAddresses: all\n", &[("nodePortAddresses", "is `all`, not a list of texts")]);
    check("nodePortAddresses: [1]\n", &[("nodePortAddresses", "is [1], not a list of texts")]);
    check(
        "iptables: {syncPeriod: 30}\n",
        &[("iptables.syncPeriod", "is 30, not a duration like 1h30m")],
    );
}

#[test]
fn another_kind_of_object_is_refused_by_its_type_alone() {
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let faults = KubeProxy::parse(text).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|(at, _)| at.as_deref().unwrap_or("-")).collect();
        assert_eq!(fields, expected, "{faults:?}");
    }
    check("apiVersion: v1\nkind: ConfigMap\ndata: {mode: 3}\n", &["apiVersion", "kind"]);
    check(&HEAD.replace("v1alpha1", "v1"), &["apiVersion"]);
    check("mode: 3\n", &["apiVersion", "kind"]);
    check("", &["-"]);
    check("[]", &["-"]);
    check("a: [", &["-"]);
}

#[test]
fn a_file_that_is_not_there_is_a_fault_of_the_whole() {
    let faults = KubeProxy::read(Path::new("/nonexistent/config.conf")).unwrap_err();
    assert!(matches!(&faults[..], [(None, reason)] if reason.contains("cannot be read")));
}
