//! The agent, room by room in the order a change travels.

pub mod model;
pub mod plan;
