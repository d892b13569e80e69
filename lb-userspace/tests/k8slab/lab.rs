//! An API server in the cluster's control place, and kubectl beside it.

use std::{
    ffi::OsString,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use lb_testbed::{Agent, AgentOptions, CONTROL, Cluster, Families, Launcher, Worker, spawn};
use serde_json::{Value, json};

use crate::watched::{CALLER, HTTP, SLUICE, until_within};

/// Where the programs are.
const PLACE: &str = "SLUICE_K8SLAB";
/// What the DaemonSet's ServiceAccount shows.
const AGENT_TOKEN: &str = "token-of-the-agents";
const AGENT: &str = "system:serviceaccount:kube-system:sluice";
const AGENT_GROUPS: &str = "system:serviceaccounts,system:authenticated";
const ADMIN: &str = "token-of-an-admin=admin,system:masters";
/// What an operator applies.
const MANIFESTS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kustomize/overlays/standard");
const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEER: &str = "http://127.0.0.1:2380";
/// How long a program may take to start.
const STARTING: Duration = Duration::from_secs(60);

/// See the module. The fields are dropped in this order.
pub struct Lab {
    _servers: Vec<Worker>,
    _etcd: Program,
    folder: PathBuf,
    programs: PathBuf,
    flags: Vec<&'static str>,
    pub cluster: Cluster,
}

/// A program that ends with the value.
pub struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, which is all that is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Lab {
    /// Two nodes, with the pods `one`, `two`, `three` and the caller on the first, and `four` on
    /// the second; etcd, and no API server yet.
    pub fn new(flags: &[&'static str]) -> Self {
        let programs = programs();
        let launcher = Launcher::beside_tests().unwrap();
        let cluster = Cluster::builder(launcher).families(Families::V4).nodes(2).with_control();
        let mut cluster = cluster.build().unwrap();
        let pods = [("node1", "one"), ("node1", "two"), ("node1", "three"), ("node2", "four")];
        let mut servers = Vec::new();
        for (node, pod) in pods {
            cluster.add_pod(node, pod).unwrap();
            servers.push(cluster.serve(pod, &[HTTP], &[]).unwrap());
        }
        cluster.add_pod("node1", CALLER).unwrap();
        let folder = cluster.folder().to_owned();
        let data = folder.join("etcd");
        let etcd = run(
            &cluster,
            &programs.join("etcd"),
            "etcd",
            &[
                "--data-dir",
                data.to_str().unwrap(),
                "--unsafe-no-fsync",
                "--experimental-watch-progress-notify-interval=5s",
                "--listen-client-urls",
                ETCD,
                "--advertise-client-urls",
                ETCD,
                "--listen-peer-urls",
                ETCD_PEER,
                "--initial-advertise-peer-urls",
                ETCD_PEER,
                "--initial-cluster",
                &format!("default={ETCD_PEER}"),
            ],
        );
        let flags = flags.to_vec();
        Self { _servers: servers, _etcd: etcd, folder, programs, flags, cluster }
    }

    /// Starts an API server on this port, and waits until it is ready. Its name is that of its log
    /// and its files.
    pub fn start(&self, name: &str, port: u16) -> Program {
        let address = self.cluster.addresses(CONTROL).unwrap()[0].to_string();
        let (port, out) = (port.to_string(), self.out(name));
        let agent = format!("{AGENT_TOKEN}={AGENT},{AGENT_GROUPS}");
        let arguments = [
            "--etcd-servers",
            ETCD,
            "--secure-port",
            &port,
            "--bind-address",
            "0.0.0.0",
            "--advertise-address",
            &address,
            "--san",
            &address,
            "--out-dir",
            out.to_str().unwrap(),
            "--shutdown-watch-termination-grace-period=1s",
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            "--token",
            ADMIN,
            "--token",
            &agent,
            // Every request is logged.
            "-v=3",
        ];
        let all: Vec<&str> = arguments.into_iter().chain(self.flags.iter().copied()).collect();
        let server = run(&self.cluster, &self.programs.join("k8slab"), name, &all);
        let ready = || self.kubeconfig(name).exists() && self.is_ready(name);
        assert!(
            until_within(STARTING, ready).is_some(),
            "{name} is not ready:\n{}",
            self.log(name)
        );
        server
    }

    /// Whether a server says that it is ready.
    pub fn is_ready(&self, name: &str) -> bool {
        let output = self.command(name, &["get", "--raw", "/readyz"]).output().unwrap();
        output.status.success()
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What a server has logged.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default()
    }

    fn command(&self, server: &str, arguments: &[&str]) -> Command {
        let mut all: Vec<OsString> = vec!["--kubeconfig".into(), self.kubeconfig(server).into()];
        all.extend(arguments.iter().map(Into::into));
        let place = self.cluster.place(CONTROL).unwrap();
        self.cluster.launcher().command(&place, "kubectl", all, true).unwrap()
    }

    /// Runs kubectl against a server, with this as its input; returns what it prints.
    #[track_caller]
    pub fn kubectl(&self, server: &str, arguments: &[&str], input: &str) -> String {
        let mut command = self.command(server, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {}: {complaint}", arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Applies objects.
    #[track_caller]
    pub fn apply(&self, server: &str, objects: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.kubectl(
            server,
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            &list.to_string(),
        );
    }

    /// Deletes objects.
    #[track_caller]
    pub fn delete(&self, server: &str, objects: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.kubectl(server, &["delete", "--wait=false", "-f", "-"], &list.to_string());
    }

    /// Applies what an operator applies, and the nodes.
    pub fn install(&self, server: &str) {
        self.kubectl(server, &["apply", "-k", MANIFESTS], "");
        let nodes = self.cluster.nodes().map(|name| {
            let address = self.cluster.addresses(name).unwrap()[0];
            json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                "status": {"addresses": [{"type": "InternalIP", "address": address}]},
            })
        });
        self.apply(server, &nodes.collect::<Vec<_>>());
    }

    /// The kubeconfig of an administrator in the server's place.
    pub fn kubeconfig(&self, server: &str) -> PathBuf {
        self.out(server).join("kubeconfig")
    }

    /// Starts an agent with the ServiceAccount's token.
    pub fn start_agent(&self, node: &str, server: &str, port: u16) -> Agent {
        let mut options = AgentOptions::kubernetes(SLUICE, self.agent_kubeconfig(server, port));
        options.ready_within = Some(STARTING);
        self.cluster.start_agent(node, &options).unwrap()
    }

    /// A kubeconfig with the ServiceAccount's token.
    pub fn agent_kubeconfig(&self, server: &str, port: u16) -> PathBuf {
        let token = self.folder.join("agent-token");
        fs::write(&token, AGENT_TOKEN).unwrap();
        let address = self.cluster.addresses(CONTROL).unwrap()[0];
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {
                "server": format!("https://{address}:{port}"),
                "certificate-authority": self.out(server).join("ca.crt"),
            }}],
            "users": [{"name": "lab", "user": {"tokenFile": token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        });
        let path = self.folder.join("agent-kubeconfig");
        fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// The address of a pod and the name of its node.
    pub fn pod(&self, name: &str) -> (String, String) {
        let node = self.cluster.pods().find(|(pod, _)| *pod == name).unwrap().1;
        (self.cluster.addresses(name).unwrap()[0].to_string(), node.to_owned())
    }
}

/// Starts a program in the control place, with its output in a file of that name.
fn run(cluster: &Cluster, program: &Path, name: &str, arguments: &[&str]) -> Program {
    let place = cluster.place(CONTROL).unwrap();
    let arguments = arguments.iter().map(Into::into).collect();
    let mut command = cluster.launcher().command(&place, program, arguments, true).unwrap();
    let log = cluster.folder().join(format!("{name}.log"));
    let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Program(spawn(command).unwrap())
}

fn programs() -> PathBuf {
    let place = std::env::var_os(PLACE).map(PathBuf::from);
    let there = |place: &PathBuf| ["etcd", "k8slab"].iter().all(|name| place.join(name).is_file());
    let place = place.filter(there);
    place.unwrap_or_else(|| panic!("{PLACE} must name the folder of the programs etcd and k8slab"))
}

/// With the kind and version that kubectl wants to see.
pub fn typed(kind: &str, mut object: Value) -> Value {
    let version = if kind == "EndpointSlice" { "discovery.k8s.io/v1" } else { "v1" };
    (object["kind"], object["apiVersion"]) = (json!(kind), json!(version));
    object
}
