//! Real sockets in a private cgroup, through the real programs: what a process on the node meets.
//!
//! Needs the right to load programs and to make namespaces; fails, naming the right, where it has
//! not.

mod choice;
mod reach;
mod refusal;
#[path = "../support/service.rs"]
#[allow(dead_code, reason = "shared by two rungs, each of which uses its part")]
mod service;
mod stage;
