//! Log lines of the kernel's programs, through the agent's own logging.

use std::{thread, time::Duration};

use aya::Ebpf;
use aya_log::EbpfLogger;

/// How often lines are fetched: soon enough for a reader, seldom enough to cost nothing.
const EVERY: Duration = Duration::from_millis(50);

/// The kernel object has no log lines, or no place for them.
#[derive(Debug, thiserror::Error)]
#[error("the kernel object does not log")]
pub struct NoLog(#[from] aya_log::Error);

/// Reads the lines and logs them.
pub struct Reader(EbpfLogger<&'static dyn log::Log>);

impl Reader {
    /// For the programs of one loaded object.
    ///
    /// # Errors
    ///
    /// [`NoLog`].
    pub fn new(object: &mut Ebpf) -> Result<Self, NoLog> {
        Ok(Self(EbpfLogger::init(object)?))
    }

    /// Runs on a thread of its own, for as long as the process lives.
    pub fn run(mut self) {
        loop {
            self.0.flush();
            thread::sleep(EVERY);
        }
    }
}
