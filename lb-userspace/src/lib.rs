//! The agent, room by room in the order a change travels.

pub mod watch;

pub mod model;

pub mod plan;
