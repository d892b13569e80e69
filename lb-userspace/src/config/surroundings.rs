//! What the place in which the agent was started says about its settings.

use std::{env, path::Path};

/// Where a pod finds the token of its service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `NODE_NAME`, which pods are given by the downward API.
    pub node_name: Option<String>,
    /// The host's name.
    pub host_name: Option<String>,
    /// This is a pod with credentials for its cluster's API server.
    pub in_cluster: bool,
    /// There is IPv6.
    pub ipv6: bool,
}

impl Surroundings {
    /// Looks around.
    pub fn look() -> Self {
        let host_name = nix::sys::utsname::uname().ok().and_then(|system| {
            // Names of Nodes are in lower case.
            system.nodename().to_str().map(str::to_lowercase)
        });
        Self {
            node_name: env::var("NODE_NAME").ok(),
            host_name,
            in_cluster: env::var_os("KUBERNETES_SERVICE_HOST").is_some()
                && Path::new(TOKEN).exists(),
            ipv6: Path::new("/proc/net/if_inet6").exists(),
        }
    }
}
