//! Whole agents that follow an API server: the real `sluice` on nodes made of network namespaces,
//! with real traffic, while the server they watch fails in every way it can.
//!
//! Needs the rights to load and attach programs and to make network namespaces; fails, naming what
//! is missing, where it has not.

mod faults;
mod follow;
mod hostile;
mod node;
mod objects;
mod outage;
mod picture;
mod silence;
mod stage;
mod start;
#[path = "../watched/mod.rs"]
mod watched;
