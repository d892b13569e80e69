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
    time::sleep,
};
use tracing::{info, warn};

use crate::{
    kernel::{Dataplane, ExternalDevice, Metrics, sockets},
    reconcile::{Event, Programmed},
    task::ready::{Guard, Ready},
    telemetry::Causes,
    watch::DeviceNet,
};

/// How long until hooks that could not be attached are tried again.
const ATTACH_AGAIN: Duration = Duration::from_secs(5);

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
        loop {
            if now.complete {
                self.ready.pass(Guard::Picture);
            }
            let errors = self.dataplane.follow_devices(&external(&now.devices));
            let messages: BTreeSet<_> =
                errors.iter().map(|error| Causes(error).to_string()).collect();
            messages.difference(&failed).for_each(|message| warn!("{message}"));
            failed = messages;
            self.ready.pass(Guard::Devices);
            self.metrics.attached(&self.dataplane);
            self.events.send(Event::NativeXdp(self.dataplane.native_xdp())).await?;
            if std::mem::take(&mut is_first) {
                self.report_first(&now);
            }
            tokio::select! {
                changed = self.progress.changed() => changed?,
                () = sleep(ATTACH_AGAIN), if !failed.is_empty() => (),
            }
            now = self.progress.borrow_and_update().clone();
        }
    }

    fn report_first(&self, now: &Programmed) {
        for error in self.dataplane.drop_other_versions() {
            warn!("{}", Causes(&error));
        }
        let (services, devices) = (now.services.unwrap_or_default(), now.devices.len());
        info!("programmed: {services} services, {devices} devices");
        if devices == 0 {
            warn!(
                "no external device was found: clients outside this node are not served until \
                 one that --interfaces names, or that routes use, comes up"
            );
        }
    }
}

/// The devices as the kernel side wants them described.
fn external(devices: &BTreeMap<u32, DeviceNet>) -> BTreeMap<u32, ExternalDevice> {
    let describe = |device: &DeviceNet| ExternalDevice {
        name: device.name.as_str().into(),
        veth: device.kind.as_deref() == Some("veth"),
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
