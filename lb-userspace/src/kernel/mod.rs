//! Programs, hooks and pins: what the kernel runs, where, and how it survives the agent.
//!
//! Called by [`agent`](crate::agent) in the order of a start: rights, environment, features, lock, load,
//! attach; and by the command line to look and to clean up. Table content is the business of
//! [`maps`](crate::maps).

mod audit;
mod cgroup;
mod device;
pub mod environment;
mod error;
mod features;
mod hook;
mod links;
mod load;
pub mod local_ports;
mod metrics;
mod object;
mod pins;
mod removal;
mod replies;
pub mod rights;
pub mod sockets;
mod spec;
pub mod sys;
mod tc;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use tracing::{info, warn};

pub use audit::{Audit, Part};
pub use device::{ExternalDevice, XdpMode};
pub use error::Error;
pub use features::{Feature, Features};
pub use links::{Pinned, pinned};
pub use load::{Programs, Settings};
pub use metrics::Metrics;
pub use object::{LOG_OBJECT, OBJECT, ORIGIN};
pub use pins::{Lock, Pins};
pub use removal::remove_everything;
pub use spec::{MapSpec, Sizes};

/// Loaded programs and where they run.
#[derive(Debug)]
pub struct Dataplane {
    programs: Programs,
    pins: Pins,
    devices: device::Devices,
    replies: replies::Replies,
}

impl Dataplane {
    /// Programs that have been loaded, attached nowhere yet.
    pub fn new(programs: Programs, pins: Pins, xdp: XdpMode, features: &Features) -> Self {
        let tc = tc::Tc::new(features.has(Feature::Tcx));
        let (devices, replies) = (device::Devices::new(xdp, tc), replies::Replies::new(tc));
        Self { programs, pins, devices, replies }
    }

    /// Puts the socket programs on a cgroup, in place of an earlier agent's.
    ///
    /// # Errors
    ///
    /// The kernel refused one.
    pub fn attach_cgroup(&mut self, path: &Path) -> Result<(), Error> {
        let replaced = cgroup::attach(&self.programs, &self.pins, path)?;
        info!(cgroup = %path.display(), replaced, "socket programs attached");
        Ok(())
    }

    /// Makes these devices, by ifindex, the ones that carry the packet programs. Whatever failed is
    /// tried again with the next call.
    pub fn follow_devices(&mut self, wanted: &BTreeMap<u32, ExternalDevice>) -> Vec<Error> {
        self.devices.follow(&mut self.programs, &self.pins, wanted)
    }

    /// Makes these devices, whose names are given by ifindex, the ones where answers of pods are sent
    /// straight out. Whatever failed is tried again with the next call.
    pub fn follow_pods(&mut self, wanted: &BTreeMap<u32, Arc<str>>) -> Vec<Error> {
        self.replies.follow(&mut self.programs, &self.pins, wanted)
    }

    /// The devices, by ifindex, on which XDP runs in the driver.
    pub fn native_xdp(&self) -> BTreeSet<u32> {
        self.devices.native().clone()
    }

    /// How many devices carry the packet programs, by where XDP runs there.
    pub fn device_counts(&self) -> [(&'static str, usize); 3] {
        self.devices.counts()
    }

    /// Removes what other layout versions have pinned, once nothing of theirs is in use. Returns
    /// what could not be removed.
    pub fn drop_other_versions(&self) -> Vec<Error> {
        let folders = match self.pins.other_versions() {
            Ok(folders) => folders,
            Err(error) => return vec![error],
        };
        let mut errors = Vec::new();
        for folder in folders {
            warn!(
                "removing {}, of another table layout: open flows from outside are lost, UDP and \
                 session affinity choose anew",
                folder.display()
            );
            errors.extend(links::remove_version(&folder).err());
        }
        errors
    }
}
