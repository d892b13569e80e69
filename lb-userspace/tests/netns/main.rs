//! Whole agents: the real `sluice`, following a folder of manifests, on nodes made of network
//! namespaces, with real sockets in pods and a client outside who tell what they met.
//!
//! Needs the rights to load and attach programs and to make network namespaces; fails, naming what
//! is missing, where it has not.

mod addresses;
mod changes;
mod classifiers;
mod cleanup;
mod coexistence;
mod container;
mod delivery;
mod devices;
mod endpoints;
mod exposition;
mod forging;
mod health;
mod inspection;
mod manifests;
mod mtu;
mod outside;
mod paths;
mod pods;
mod policies;
mod refusals;
mod replies;
mod restart;
mod room;
mod stage;

mod start;
mod tampering;
mod transfers;
mod turnover;
