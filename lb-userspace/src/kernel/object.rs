//! The kernel object that the build embedded.

/// The object that runs.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb"));

/// The same with log lines, for `sluice agent -v`.
pub static LOG_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb-log"));

/// Where the object came from, for people.
pub const ORIGIN: &str = env!("SLUICE_OBJECT_ORIGIN");
