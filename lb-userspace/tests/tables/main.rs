//! Real tables and real hooks: what is written reads back, survives its writer, and is taken over.
//!
//! Needs the rights to load and attach programs and to make network namespaces; fails, naming what
//! is missing, where it has not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod content;
mod hooks;
mod life;
mod programs;
mod room;
mod severed;
mod tampering;
mod windows;
