//! Log lines: ours, those of the libraries, those of the kernel's programs, through one door.

pub mod kernel_log;

use std::{error::Error, fmt, io::IsTerminal};

use tracing_subscriber::{EnvFilter, fmt as lines, util::SubscriberInitExt};

use crate::config::LogFormat;

/// Starts logging to standard error. `RUST_LOG` overrides what is logged.
pub fn start(format: LogFormat, verbose: bool) {
    // Our own lines and those of the programs; the libraries print whole objects and messages.
    let level = if verbose { "info,lb=debug,lb_userspace=debug" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = lines::Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(verbose);
    let started = match format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    if let Err(error) = started {
        eprintln!("logging is not available: {error}");
    }
}

/// An error with its causes on one line.
pub struct Causes<'a>(pub &'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut error = self.0;
        while let Some(cause) = error.source() {
            // Some libraries repeat the cause in their own words.
            let text = cause.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            error = cause;
        }
        Ok(())
    }
}
