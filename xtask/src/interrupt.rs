//! Ctrl-C as a question to be asked now and then, for verbs that have something to take away first.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Whether Ctrl-C has been pressed, or the process been asked to end.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on Ctrl-C is noted here and no longer ends the process.
    pub fn listen() -> Result<Self> {
        let interrupt = Self::default();
        let pressed = interrupt.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ready, listening) = mpsc::channel();
        thread::spawn(move || {
            runtime.block_on(async {
                let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
                let _ = ready.send(signals.0.is_ok() && signals.1.is_ok());
                if let (Ok(mut pressing), Ok(mut ending)) = signals {
                    tokio::select! {
                        _ = pressing.recv() => {}
                        _ = ending.recv() => {}
                    }
                    pressed.0.store(true, Ordering::Relaxed);
                }
            });
        });
        match listening.recv() {
            Ok(true) => Ok(interrupt),
            _ => bail!("cannot listen for Ctrl-C"),
        }
    }

    /// Whether that has happened.
    pub fn pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails once Ctrl-C has been pressed.
    pub fn check(&self) -> Result<()> {
        if self.pressed() {
            bail!("interrupted");
        }
        Ok(())
    }
}
