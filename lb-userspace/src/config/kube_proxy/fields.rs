//! Every field of `KubeProxyConfiguration`, and what becomes of it.
//!
//! The source of the page docs/configuration.md as well, so reasons are written for operators.

use super::value::Shape::{self, Any, Duration, List, Number, Switch, Text};

/// A field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name, with those of the sections it is in.
    pub path: &'static str,
    /// What it must look like.
    pub shape: Shape,
    /// What kube-proxy takes it for if it is not set; empty where that is nothing.
    pub default: &'static str,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It has this effect.
    Honoured(&'static str),
    /// It has none, for this reason.
    Ignored(&'static str),
}

use Fate::{Honoured, Ignored};

const NO_CONNTRACK: &str = "the kernel's connection tracking is not used and not changed";
const NO_RULES: &str = "no rules are made, so nothing is marked in packets";
const AT_ONCE: &str = "each change is written when it is heard of, nothing is written in rounds";
const NO_MASQUERADE: &str = "clients of a ClusterIP are processes of this node, and an endpoint \
                             sees their own address";
const BY_CGROUP: &str = "a process of this node is known by its cgroup, not by address or device";
const WATCHES: &str = "the agent has a few watches open and asks for nothing else";
const IPVS: &str = "there is no IPVS";
const WINDOWS: &str = "for Windows";

const fn field(path: &'static str, shape: Shape, default: &'static str, fate: Fate) -> Field {
    Field { path, shape, default, fate }
}

/// In the order of the reference page of kube-proxy.
pub const FIELDS: &[Field] = &[
    field("apiVersion", Text, "", Honoured("must be kubeproxy.config.k8s.io/v1alpha1")),
    field("kind", Text, "", Honoured("must be KubeProxyConfiguration")),
    field("featureGates", Any, "", Ignored("they switch parts of kube-proxy's own code")),
    field(
        "clientConnection.kubeconfig",
        Text,
        "",
        Honoured(
            "as `--kubeconfig`; where there is no such file, and the pod has credentials of its \
             service account, those are used and the log says so",
        ),
    ),
    field("clientConnection.acceptContentTypes", Text, "", Ignored("the agent reads JSON")),
    field(
        "clientConnection.contentType",
        Text,
        "application/vnd.kubernetes.protobuf",
        Ignored("the agent reads JSON"),
    ),
    field("clientConnection.qps", Number, "5", Ignored(WATCHES)),
    field("clientConnection.burst", Number, "10", Ignored(WATCHES)),
    field("logging.format", Text, "text", Honoured("`text` or `json`, as `--log-format`")),
    field("logging.flushFrequency", Any, "5s", Ignored("every line is written at once")),
    field("logging.verbosity", Number, "0", Honoured("4 and above are `--verbose`")),
    field("logging.vmodule", Any, "", Ignored("it names source files of kube-proxy")),
    field("logging.options", Any, "", Ignored("it is about kube-proxy's buffers")),
    field("hostnameOverride", Text, "", Honoured("as `--node-name`")),
    field(
        "bindAddress",
        Text,
        "0.0.0.0",
        Ignored("the node's primary addresses are those of its Node object, else of its routes"),
    ),
    field("healthzBindAddress", Text, "0.0.0.0:10256", Honoured("as `--healthz-bind-address`")),
    field("metricsBindAddress", Text, "127.0.0.1:10249", Honoured("as `--metrics-bind-address`")),
    field("bindAddressHardFail", Switch, "false", Honoured("as `--bind-address-hard-fail`")),
    field("enableProfiling", Switch, "false", Ignored("no profiles are served")),
    field("showHiddenMetricsForVersion", Text, "", Ignored("no metric is hidden")),
    field(
        "mode",
        Text,
        "iptables",
        Honoured("`nftables` makes `primary` the default of nodePortAddresses, as there"),
    ),
    field("iptables.masqueradeBit", Number, "14", Ignored(NO_RULES)),
    field("iptables.masqueradeAll", Switch, "false", Ignored(NO_MASQUERADE)),
    field(
        "iptables.localhostNodePorts",
        Switch,
        "true",
        Honoured("`false` keeps NodePorts from loopback addresses, unless mode is another one"),
    ),
    field(
        "iptables.snatNodeInternalIP",
        Switch,
        "false",
        Ignored("the source is the address that the device it leaves by has"),
    ),
    field("iptables.syncPeriod", Duration, "30s", Ignored(AT_ONCE)),
    field("iptables.minSyncPeriod", Duration, "1s", Ignored(AT_ONCE)),
    field("ipvs.syncPeriod", Duration, "30s", Ignored(AT_ONCE)),
    field("ipvs.minSyncPeriod", Duration, "1s", Ignored(AT_ONCE)),
    field("ipvs.scheduler", Text, "", Ignored(IPVS)),
    field("ipvs.excludeCIDRs", List, "", Ignored(IPVS)),
    field("ipvs.strictARP", Switch, "false", Ignored("no device ever gets a Service's address")),
    field("ipvs.tcpTimeout", Duration, "", Ignored(IPVS)),
    field("ipvs.tcpFinTimeout", Duration, "", Ignored(IPVS)),
    field("ipvs.udpTimeout", Duration, "", Ignored(IPVS)),
    field("nftables.masqueradeBit", Number, "14", Ignored(NO_RULES)),
    field("nftables.masqueradeAll", Switch, "false", Ignored(NO_MASQUERADE)),
    field("nftables.syncPeriod", Duration, "30s", Ignored(AT_ONCE)),
    field("nftables.minSyncPeriod", Duration, "1s", Ignored(AT_ONCE)),
    field("winkernel.networkName", Text, "", Ignored(WINDOWS)),
    field("winkernel.sourceVip", Text, "", Ignored(WINDOWS)),
    field("winkernel.enableDSR", Switch, "false", Ignored(WINDOWS)),
    field("winkernel.rootHnsEndpointName", Text, "", Ignored(WINDOWS)),
    field("winkernel.forwardHealthCheckVip", Switch, "false", Ignored(WINDOWS)),
    field("detectLocalMode", Text, "ClusterCIDR", Ignored(BY_CGROUP)),
    field("detectLocal.bridgeInterface", Text, "", Ignored(BY_CGROUP)),
    field("detectLocal.interfaceNamePrefix", Text, "", Ignored(BY_CGROUP)),
    field("clusterCIDR", Text, "", Ignored(BY_CGROUP)),
    field("nodePortAddresses", List, "", Honoured("as `--nodeport-addresses`")),
    field(
        "oomScoreAdj",
        Number,
        "-999",
        Ignored("the pod's priority class gives one; the data path goes on without the agent"),
    ),
    field("conntrack.maxPerCore", Number, "32768", Ignored(NO_CONNTRACK)),
    field("conntrack.min", Number, "131072", Ignored(NO_CONNTRACK)),
    field("conntrack.tcpEstablishedTimeout", Duration, "24h", Ignored(NO_CONNTRACK)),
    field("conntrack.tcpCloseWaitTimeout", Duration, "1h", Ignored(NO_CONNTRACK)),
    field("conntrack.tcpBeLiberal", Switch, "false", Ignored(NO_CONNTRACK)),
    field("conntrack.udpTimeout", Duration, "", Ignored(NO_CONNTRACK)),
    field("conntrack.udpStreamTimeout", Duration, "", Ignored(NO_CONNTRACK)),
    field("configSyncPeriod", Duration, "15m", Ignored("changes come by watch, without a period")),
    field("portRange", Text, "", Ignored("kube-proxy does not use it either")),
    field("udpIdleTimeout", Duration, "250ms", Ignored("there is no userspace mode")),
    field("resourceContainer", Text, "/kube-proxy", Ignored("the agent stays in its cgroup")),
    field("windowsRunAsService", Switch, "false", Ignored(WINDOWS)),
];
