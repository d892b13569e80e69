//! What follows the tour: the cluster left standing, until Enter or Ctrl-C, with commands to try.
//! Ctrl-C also ends the tour itself early, so that nothing is left behind.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    scenario::{Caller, SCENARIOS, Target},
    stage::Stage,
};

const LOOK_EVERY: Duration = Duration::from_millis(100);

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

    fn pressed(&self) -> bool {
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

/// Shows commands to try and waits.
pub fn keep(stage: &Stage, interrupt: &Interrupt) -> Result<()> {
    println!("{}", commands(stage)?);
    println!("Enter or Ctrl-C takes it all away.");
    let (entered, enter) = mpsc::channel();
    thread::spawn(move || {
        // The end of the input, as when there is no terminal, is nobody pressing Enter.
        if io::stdin().read_line(&mut String::new()).is_ok_and(|length| length > 0) {
            let _ = entered.send(());
        }
    });
    while !interrupt.pressed() {
        match enter.recv_timeout(LOOK_EVERY) {
            Ok(()) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(LOOK_EVERY),
        }
    }
    Ok(())
}

/// Commands with the addresses that this cluster has.
fn commands(stage: &Stage) -> Result<String> {
    let name = stage.cluster.name();
    let family = stage.families()[0];
    let url = |caller: Caller, target: Target| -> Result<String> {
        let mut scenarios = SCENARIOS.iter();
        let found = scenarios.find(|one| one.caller == caller && one.target == target);
        let scenario = found.context("no such scenario")?;
        Ok(format!("http://{}", stage.target(scenario, family)?))
    };
    let enter =
        |place: &str, command: &str| format!("    cargo xtask enter {name} {place} -- {command}\n");
    let agent = stage.agents().first().context("no agent")?;
    let mut text = String::from("The cluster stands. In another terminal, as root:\n\n");
    text += &enter("shell", &format!("curl -s {}", url(Caller::Pod, Target::ClusterIp)?));
    let node_port = url(Caller::Client, Target::NodePort("node3"))?;
    text += &enter("client", &format!("curl -s {node_port}"));
    text += &enter("node3", &format!("curl -s {}", url(Caller::Node("node3"), Target::Localhost)?));
    text += &format!(
        "    target/debug/sluice inspect services --pin-path {}\n",
        agent.pins().display()
    );
    text += &format!("    tail -f {}\n", agent.log().display());
    text += &format!(
        "    $EDITOR {}    (and watch the agents follow)\n",
        stage.manifests.folder().join("pods.yaml").display()
    );
    Ok(text)
}
