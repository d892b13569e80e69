//! Packet tables through the kernel's test-run: every packet goes through the XDP and the tc program, on
//! a node of the test cluster whose routes and neighbours are real.
//!
//! Needs the right to load programs and to make namespaces; fails, naming the right, where it has not.

mod affinity;
#[path = "../node/ageing.rs"]
mod ageing;
mod answers;
mod caller;
mod chunk;
mod conformance;
mod direct;
mod ending;
mod errors;
mod external;
mod flood;
mod fragments;
mod frame;
mod halves;
mod hashed;
mod hops;
mod known;
mod large;
mod message;
mod ping;
mod pods;
mod ports;
mod reply;
mod rig;
mod sctp;
#[path = "../node/service.rs"]
#[allow(dead_code, reason = "each rung uses a part of it")]
mod service;
mod waits;
