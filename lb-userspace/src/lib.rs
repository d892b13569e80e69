//! The agent, room by room in the order a change travels.

pub mod config;
pub mod kernel;
pub mod maps;
pub mod model;
pub mod plan;
pub mod telemetry;
