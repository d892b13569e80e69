//! Log lines, only in the object built with the feature `log`.

/// Writes a log line through the agent, or is nothing at all.
#[cfg(feature = "log")]
macro_rules! trace {
    ($ctx:expr, $($arg:tt)*) => {
        aya_log_ebpf::debug!($ctx, $($arg)*)
    };
}

/// Writes a log line through the agent, or is nothing at all.
#[cfg(not(feature = "log"))]
macro_rules! trace {
    ($ctx:expr, $format:literal $(, $arg:expr)*) => {
        _ = ($ctx, $($arg),*)
    };
}

pub(crate) use trace;
