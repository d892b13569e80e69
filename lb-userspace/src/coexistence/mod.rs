//! Whether this node has another Service proxy, kube-proxy above all.
//!
//! Asked once, at the start, by [`agent`](crate::agent). An active one is a reason not to start:
//! two proxies answer on the same health ports, and who of them answers a connection is up to
//! chance. Rules that nobody keeps any more are not: they go on serving while one proxy takes the
//! other's place, and our programs act before them. But what our programs pass on untouched they
//! send to endpoints of long ago, so they are named, with the command that removes them.
//!
//! An agent in a pod does not see the node's processes unless it shares their namespace, so what
//! answers on the proxy's ports counts as much.

mod listeners;
mod nf_tables;
mod processes;
mod rules;

use std::fmt;

use tracing::warn;

pub use rules::Rules;

/// Another proxy is active.
#[derive(Debug, thiserror::Error)]
#[error(
    "this node has an active Service proxy: {}; take it off this node first \
     (docs/replacing-kube-proxy.md), or start beside it with --allow-kube-proxy",
    listed(.0)
)]
pub struct Active(Vec<Sign>);

/// What shows that a proxy is active.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sign {
    /// A process of its name, in this network namespace.
    Process(u32),
    /// It answers there, and says which it is.
    Answer {
        /// Where.
        at: std::net::SocketAddr,
        /// As what.
        who: String,
    },
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "process {pid} is kube-proxy"),
            Self::Answer { at, who } => write!(f, "{at} is {who}"),
        }
    }
}

/// Looks for another proxy and for what one left behind.
///
/// # Errors
///
/// Another one is active, and that is not `allowed`.
pub fn check(allowed: bool) -> Result<(), Active> {
    let mut signs: Vec<_> = processes::find().into_iter().map(Sign::Process).collect();
    signs.extend(listeners::find());
    if !signs.is_empty() {
        if !allowed {
            return Err(Active(signs));
        }
        warn!("started beside an active Service proxy, as allowed: {}", listed(&signs));
        return Ok(());
    }
    let rules = rules::find();
    if !rules.is_empty() {
        warn!(
            "kube-proxy has left rules behind: {}; what is not answered here they still send to \
             endpoints of that time. `kube-proxy --cleanup` removes them \
             (docs/replacing-kube-proxy.md)",
            listed(&rules)
        );
    }
    Ok(())
}

fn listed(what: &[impl fmt::Display]) -> String {
    what.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
