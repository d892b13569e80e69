//! What follows the tour: the cluster left standing, until Enter or Ctrl-C, with commands to try.

use std::{io, sync::mpsc, thread, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    scenario::{Caller, SCENARIOS, Target},
    stage::Stage,
};
use crate::interrupt::Interrupt;

const LOOK_EVERY: Duration = Duration::from_millis(100);

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
