//! Where programs are kept: on the cgroup, on devices as they come; and sockets closed whose
//! endpoint went.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use tracing::{info, warn};

use crate::{
    kernel::{Dataplane, Error, ExternalDevice, Metrics, sockets},
    reconcile::{Event, Programmed},
    task::ready::{Guard, Ready},
    telemetry::Causes,
    watch::DeviceNet,
};

/// How long until hooks that could not be attached are tried again.
const ATTACH_AGAIN: Duration = Duration::from_secs(5);

/// How often it is looked after that programs and pins are still there. It costs some fifty short
/// system calls, and until then a node without its programs serves nobody.
const AUDIT_EVERY: Duration = Duration::from_secs(10);

/// Every so many of these the tables are compared with what was written, in portions that let news
/// go first; and at once when anything was taken away.
const TABLES_EVERY: u32 = 6;

/// What keeping programs attached takes.
pub(super) struct Attaching {
    pub(super) dataplane: Dataplane,
    pub(super) cgroup: PathBuf,
    /// What the tables hold.
    pub(super) progress: watch::Receiver<Programmed>,
    /// Told where XDP runs.
    pub(super) events: mpsc::Sender<Event>,
    pub(super) ready: Arc<Ready>,
    pub(super) metrics: Metrics,
}

impl Attaching {
    /// Puts programs where the tables are ready for them: the cgroup once, devices as they come.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut now = self.progress.wait_for(|now| now.services.is_some()).await?.clone();
        self.dataplane.attach_cgroup(&self.cgroup)?;
        self.ready.pass(Guard::Sockets);
        let (mut failed, mut is_first) = (BTreeSet::new(), true);
        let mut audits = interval_at(Instant::now() + AUDIT_EVERY, AUDIT_EVERY);
        audits.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut unrepaired, mut rounds) = (BTreeSet::new(), 0u32);
        loop {
            if now.complete {
                self.ready.pass(Guard::Picture);
            }
            let mut errors = self.dataplane.follow_devices(&external(&now.devices));
            errors.extend(self.dataplane.follow_pods(&now.pods));
            warn_of_new(&mut failed, &errors);
            self.ready.pass(Guard::Devices);
            self.metrics.attached(&self.dataplane);
            self.events.send(Event::NativeXdp(self.dataplane.native_xdp())).await?;
            if std::mem::take(&mut is_first) {
                self.report_first(&now);
            }
            tokio::select! {
                changed = self.progress.changed() => changed?,
                _ = audits.tick() => {
                    rounds += 1;
                    if self.audit(&mut unrepaired) || rounds.is_multiple_of(TABLES_EVERY) {
                        self.events.send(Event::Audit).await?;
                    }
                }
                () = sleep(ATTACH_AGAIN), if !failed.is_empty() => (),
            }
            now = self.progress.borrow_and_update().clone();
        }
    }

    /// Returns whether anything had to be put back.
    fn audit(&mut self, unrepaired: &mut BTreeSet<String>) -> bool {
        let audit = self.dataplane.audit(&self.cgroup);
        for (part, name) in &audit.repaired {
            warn!(what = part.name(), name, "somebody took it away; it is back");
            self.metrics.repaired(*part);
        }
        warn_of_new(unrepaired, &audit.errors);
        !audit.repaired.is_empty()
    }

    fn report_first(&self, now: &Programmed) {
        for error in self.dataplane.drop_other_versions() {
            warn!("{}", Causes(&error));
        }
        let services = now.services.unwrap_or_default();
        let devices = now.devices.values().filter(|device| !device.pods).count();
        info!("programmed: {services} services, {devices} devices");
        if devices == 0 {
            warn!(
                "no external device was found: clients outside this node are not served until \
                 one that --interfaces names, or that routes use, comes up"
            );
        }
    }
}

/// Says what has gone wrong, and not again what is going wrong still.
fn warn_of_new(known: &mut BTreeSet<String>, errors: &[Error]) {
    let messages: BTreeSet<_> = errors.iter().map(|error| Causes(error).to_string()).collect();
    messages.difference(known).for_each(|message| warn!("{message}"));
    *known = messages;
}

/// The devices as the kernel side wants them described.
fn external(devices: &BTreeMap<u32, DeviceNet>) -> BTreeMap<u32, ExternalDevice> {
    let describe = |device: &DeviceNet| ExternalDevice {
        name: device.name.as_str().into(),
        veth: device.kind.as_deref() == Some("veth"),
        pods: device.pods,
        vlans: device.vlans,
    };
    devices.iter().map(|(ifindex, device)| (*ifindex, describe(device))).collect()
}

/// Closes UDP sockets whose backend no service has any more. Ends with the agent.
pub(super) fn close_severed(
    to_close: &std::sync::mpsc::Receiver<BTreeSet<SocketAddr>>,
    cgroup: &Path,
) {
    while let Ok(mut peers) = to_close.recv() {
        to_close.try_iter().for_each(|mut more| peers.append(&mut more));
        match sockets::close_udp(&peers, cgroup) {
            Ok(0) => (),
            Ok(closed) => info!(closed, "UDP sockets closed: their endpoint left its service"),
            Err(error) => warn!("closing UDP sockets of endpoints that left: {error}"),
        }
    }
}
