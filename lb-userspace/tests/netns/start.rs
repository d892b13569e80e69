//! Starts that cannot succeed: each says why, ends with its own status, and leaves nothing behind.
//! And one that looks as if it could not.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use lb_testbed::AgentOptions;

use crate::stage::{SLUICE, Stage, complaint, service, until_logged};

/// Settings that cannot be.
const WRONG_USAGE: i32 = 64;
/// A start that failed.
const FAILED: i32 = 1;

/// What every agent needs to be told.
fn flags<'a>(stage: &'a Stage, cgroup: &'a str, pins: &'a str) -> Vec<&'a str> {
    let node = ["agent", "--node-name", "node1", "--manifests", stage.manifests()];
    node.into_iter().chain(["--cgroup", cgroup, "--pin-path", pins]).collect()
}

#[track_caller]
fn check(output: &Output, status: i32, parts: &[&str], pins: &str) {
    let (code, text) = complaint(output);
    assert_eq!(code, Some(status), "{text}");
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
    assert!(!Path::new(pins).exists(), "{pins} is left behind after: {text}");
}

fn text(path: std::path::PathBuf) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_is_missing_is_named_and_nothing_is_left_behind() {
    let stage = Stage::new(1);
    let cgroup = text(stage.cluster.node_cgroup("node1").unwrap());
    let pins = text(stage.cluster.pins("node1").unwrap());
    let folder = stage.cluster.folder();
    let elsewhere = text(folder.join("pins"));
    let nowhere = text(folder.join("none"));
    let run = |cgroup: &str, pins: &str| stage.sluice("node1", &flags(&stage, cgroup, pins));

    check(&run(stage.manifests(), &pins), FAILED, &[stage.manifests(), "cgroup2"], &pins);
    check(&run(&nowhere, &pins), FAILED, &[&nowhere, "cgroup2"], &pins);
    check(&run(&cgroup, &elsewhere), FAILED, &[&elsewhere, "bpf filesystem"], &elsewhere);

    // From a place where everybody may execute it.
    let anybodys = folder.join("sluice");
    fs::copy(SLUICE, &anybodys).unwrap();
    let mut unprivileged = Command::new(anybodys);
    unprivileged.args(flags(&stage, &cgroup, &pins)).uid(65534).gid(65534);
    let parts = ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"];
    check(&unprivileged.output().unwrap(), FAILED, &parts, &pins);
}

#[test]
fn settings_that_cannot_be_are_all_named_at_once() {
    let stage = Stage::new(1);
    let cgroup = text(stage.cluster.node_cgroup("node1").unwrap());
    let pins = text(stage.cluster.pins("node1").unwrap());
    for (wrong, parts) in [
        (&["--xdp", "fast", "--service-cidr", "ten"][..], &["--xdp", "fast", "--service-cidr"][..]),
        (&["--max-backends", "0"], &["--max-backends", "0"]),
        (&["--max-backends", "many"], &["--max-backends", "many"]),
        (&["--nodeport-addresses", "some"], &["--nodeport-addresses", "some"]),
        (&["--service-node-port-range", "5-4"], &["--service-node-port-range", "5-4"]),
        (&["--service-node-port-range", "20000-40000"], &["--service-node-port-range", "10000"]),
        (&["--no-such-flag"], &["--no-such-flag"]),
    ] {
        let arguments = [&flags(&stage, &cgroup, &pins), wrong].concat();
        check(&stage.sluice("node1", &arguments), WRONG_USAGE, parts, &pins);
    }
    let gone = text(stage.cluster.folder().join("gone"));
    let arguments = ["agent", "--manifests", &gone, "--pin-path", &pins];
    check(&stage.sluice("node1", &arguments), WRONG_USAGE, &["--manifests", &gone], &pins);
    check(&stage.sluice("node1", &["agent"]), WRONG_USAGE, &["--manifests"], &pins);
}

#[test]
fn a_second_agent_is_kept_out_and_does_the_first_no_harm() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "caller");
    let web = service("web", "clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]");
    stage.write("web.yaml", &[web, stage.endpoints("web", &["one"])]);
    let _agent = stage.start("node1");
    let cgroup = text(stage.cluster.node_cgroup("node1").unwrap());
    let pins = text(stage.cluster.pins("node1").unwrap());
    let (code, complaint) = complaint(&stage.sluice("node1", &flags(&stage, &cgroup, &pins)));
    assert_eq!(code, Some(FAILED), "{complaint}");
    assert!(complaint.contains("in use by another agent"), "{complaint}");
    assert!(complaint.contains(&pins), "{complaint}");
    stage.assert_who("caller", "10.96.0.10:80", Some(&["one"]));
}

#[test]
fn an_interface_that_is_not_there_is_named_and_sockets_are_served_without_it() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "caller");
    let web = service("web", "clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]");
    stage.write("web.yaml", &[web, stage.endpoints("web", &["one"])]);
    let agent = stage.start_with("node1", &["--interfaces", "nosuch0"]);
    until_logged(&agent, &["WARN", "nosuch0"]);
    stage.assert_who("caller", "10.96.0.10:80", Some(&["one"]));
}

/// A program that runs `sluice` where a file system below /sys is not mounted. Only /sys is cut off
/// from the machine's own mounts: the root need not be a mount point, as in a chroot.
fn sluice_without(stage: &Stage, mount: &Path) -> PathBuf {
    let path = stage.cluster.folder().join("sluice-without");
    let mount = mount.display();
    let unsharing = "exec unshare --mount --propagation unchanged";
    let unmounting = r#"sh -c 'mount --make-rprivate /sys && umount --lazy "$0" && exec "$@"'"#;
    let script = format!("#!/bin/sh\n{unsharing} {unmounting} '{mount}' '{SLUICE}' \"$@\"\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_machine_without_cgroup2_is_told_so() {
    let stage = Stage::new(1);
    let pins = text(stage.cluster.pins("node1").unwrap());
    let hierarchy = stage.cluster.cgroup().parent().unwrap();
    let mut command = Command::new(sluice_without(&stage, hierarchy));
    command.args(["agent", "--manifests", stage.manifests(), "--pin-path", &pins]);
    let parts = ["no cgroup2 filesystem is mounted", "mount -t cgroup2"];
    check(&command.output().unwrap(), FAILED, &parts, &pins);
}

#[test]
fn a_machine_without_bpffs_is_given_one() {
    let stage = Stage::new(1).with("node1", "one").with("node1", "caller");
    let web = service("web", "clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]");
    stage.write("web.yaml", &[web, stage.endpoints("web", &["one"])]);
    let program = sluice_without(&stage, Path::new("/sys/fs/bpf"));
    let options = AgentOptions::new(program, stage.manifests());
    let agent = stage.cluster.start_agent("node1", &options).unwrap();
    until_logged(&agent, &["mounted a bpf filesystem", "/sys/fs/bpf"]);
    stage.assert_who("caller", "10.96.0.10:80", Some(&["one"]));
}
