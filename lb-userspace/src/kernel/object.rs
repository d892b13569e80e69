//! The kernel object that the build embedded.

/// The object that runs.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SLUICE_BPF_OBJECT"));

/// The same with log lines, for `sluice agent -v`.
pub static LOG_OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SLUICE_BPF_LOG_OBJECT"));

/// Where the object came from: `fresh` from these sources, or `kept` in the repository.
pub const ORIGIN: &str = env!("SLUICE_BPF_ORIGIN");
