//! What a killed process leaves behind is found and removed; what a living one has is not.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use lb_testbed::{Families, sweep};

use crate::two_nodes;

/// Everywhere a cluster leaves something.
fn traces(name: &str, cgroup: &Path) -> Vec<String> {
    let folders = [Path::new("/run/netns"), Path::new("/sys/fs/bpf"), &std::env::temp_dir()];
    let mut found: Vec<String> = folders
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.path().display().to_string())
        .filter(|path| path.rsplit('/').next().is_some_and(|last| last.starts_with(name)))
        .collect();
    if cgroup.exists() {
        found.push(cgroup.display().to_string());
    }
    found
}

#[test]
fn a_cluster_leaves_nothing() {
    let cluster = two_nodes(Families::V4);
    let server = cluster.serve("a", &[8080], &[]).expect("a server");
    let (name, cgroup) = (cluster.name().to_owned(), cluster.cgroup().to_owned());
    // Other clusters of this process have names that begin alike, but not with the dash.
    assert!(traces(&format!("{name}-node1"), &cgroup).len() > 1);
    drop(cluster);
    assert_eq!(traces(&format!("{name}-node"), &cgroup), Vec::<String>::new());
    drop(server);
}

#[test]
#[ignore = "run by the next test in a process of its own, and killed"]
fn a_cluster_to_be_left_behind() {
    let cluster = two_nodes(Families::V4);
    let server = cluster.serve("a", &[8080], &[]).expect("a server");
    println!("\nLEFT {} {} {}", cluster.name(), server.pid(), cluster.cgroup().display());
    thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_sweep_removes_what_a_killed_process_left_and_nothing_else() {
    let standing = two_nodes(Families::V4);
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["leftovers::a_cluster_to_be_left_behind", "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let words = output.lines().map_while(Result::ok).find_map(|line| {
        line.strip_prefix("LEFT ").map(|rest| rest.split(' ').map(str::to_owned).collect())
    });
    let words: Vec<String> = words.expect("what it made");
    let [name, server, cgroup] = words.as_slice() else { panic!("{words:?}") };
    let cgroup = Path::new(cgroup);
    child.kill().expect("the kill");
    child.wait().expect("the end");
    assert!(traces(name, cgroup).len() > 3);

    sweep().expect("a sweep");
    assert_eq!(traces(name, cgroup), Vec::<String>::new());
    // It may still be listed, if nobody has waited for it, but then without a program.
    let program = fs::read_link(Path::new("/proc").join(server).join("exe"));
    assert!(program.is_err(), "its server lives");
    assert!(!traces(standing.name(), standing.cgroup()).is_empty());
    assert!(standing.serve("b", &[8080], &[]).is_ok(), "the standing cluster works on");
}
