//! The few tools that long-lived tasks are made of.

pub mod grace;
pub mod ready;
