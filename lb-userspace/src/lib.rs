//! The agent, room by room in the order a change travels.

pub mod watch;

pub mod model;

pub mod plan;

pub mod maps;

pub mod kernel;

pub mod reconcile;

pub mod upkeep;

pub mod serve;

pub mod agent;
pub mod cli;
pub mod coexistence;
pub mod config;
pub mod task;
pub mod telemetry;
