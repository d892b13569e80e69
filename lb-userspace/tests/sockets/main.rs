//! Real sockets in a private cgroup, through the real programs: every way to address a service,
//! every kind of socket, and what the process is told.
//!
//! Needs the right to load programs and to make namespaces and cgroups; fails where it has not.

mod affinity;
mod frontends;
#[path = "../node/mod.rs"]
#[allow(dead_code, reason = "each rung uses a part of it")]
mod node;
mod ranges;
mod refusals;
mod rig;
mod spread;
mod udp;
mod untouched;
