//! For people: a command inside a place of a cluster that some other process keeps standing.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use crate::{
    cgroup,
    error::{During, Error, Result},
    netns,
    process::Launcher,
    worker::Place,
};

/// Runs a command in a place (`client`, a node or a pod) and waits for its end. `cluster` is the
/// name that the cluster's namespaces and cgroups begin with.
pub fn enter(
    launcher: &Launcher,
    cluster: &str,
    place: &str,
    command: Vec<OsString>,
) -> Result<ExitStatus> {
    let place = find(&cgroup::root()?, cluster, place)?;
    let mut command = command.into_iter();
    let program = command.next().unwrap_or_else(|| "sh".into());
    let mut command = launcher.command(&place, program, command.collect(), false)?;
    command.status().during("run a command in", cluster)
}

/// A place by its name.
fn find(cgroups: &Path, cluster: &str, name: &str) -> Result<Place> {
    let netns = Path::new(netns::FOLDER).join(format!("{cluster}-{name}"));
    let root = cgroups.join(cluster);
    let cgroup = candidates(&root, name)?.into_iter().find(|path| path.is_dir());
    match cgroup {
        Some(cgroup) if netns.exists() => Ok(Place { netns, cgroup }),
        _ => Err(Error::Unknown { what: format!("{name} in {cluster}") }),
    }
}

fn candidates(root: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let mut paths = vec![root.join(name).join("host")];
    for node in fs::read_dir(root).during("list", root.display())? {
        let node = node.during("list", root.display())?;
        paths.push(node.path().join("pods").join(name));
    }
    paths.push(root.join(name));
    Ok(paths)
}
