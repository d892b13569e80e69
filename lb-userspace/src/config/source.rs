//! Which of the sources is meant, and whether it is there.

use std::path::{Path, PathBuf};

use super::{RawAgent, Source, Surroundings, check::Findings, kube_proxy::KubeProxy};

/// The field of the file that names a kubeconfig.
const FIELD: &str = "clientConnection.kubeconfig";

/// Chooses the source: a flag, else what the file names, else the cluster that this is a pod of.
pub(super) fn choose(
    raw: &RawAgent,
    file: &KubeProxy,
    around: &Surroundings,
    remarks: &mut Vec<String>,
    findings: &mut Findings,
) -> Source {
    match (&raw.manifests, &raw.kubeconfig) {
        (Some(folder), None) => {
            if !folder.is_dir() {
                findings.add("--manifests", format!("{} is not a folder", folder.display()));
            }
            Source::Manifests(folder.clone())
        }
        (None, Some(kubeconfig)) => {
            if !kubeconfig.is_file() {
                findings.add("--kubeconfig", not_a_file(kubeconfig));
            }
            Source::Kubernetes { kubeconfig: Some(kubeconfig.clone()) }
        }
        (Some(_), Some(_)) => {
            findings.add("--kubeconfig", "there is --manifests as well: give one of them");
            Source::Kubernetes { kubeconfig: None }
        }
        (None, None) => {
            let written = file.text(FIELD).map(PathBuf::from);
            Source::Kubernetes { kubeconfig: cluster(written, around, remarks, findings) }
        }
    }
}

/// The kubeconfig that the file names, if it is there. The ConfigMap of kube-proxy names one that
/// is mounted into its own pods alone.
fn cluster(
    written: Option<PathBuf>,
    around: &Surroundings,
    remarks: &mut Vec<String>,
    findings: &mut Findings,
) -> Option<PathBuf> {
    match written {
        Some(kubeconfig) if kubeconfig.is_file() => return Some(kubeconfig),
        Some(kubeconfig) if around.in_cluster => remarks.push(format!(
            "{FIELD} names {}, which is not there: the pod's service account is used instead",
            kubeconfig.display()
        )),
        Some(kubeconfig) => {
            let reason = not_a_file(&kubeconfig);
            findings.add("--config", format!("{FIELD}: {reason}, and this is not a pod"));
        }
        None if around.in_cluster => (),
        None => findings.add(
            "--manifests",
            "name a folder of manifests, or a cluster with --kubeconfig: this is not a pod that \
             could ask its own cluster",
        ),
    }
    None
}

fn not_a_file(path: &Path) -> String {
    format!("{} is not a file", path.display())
}
