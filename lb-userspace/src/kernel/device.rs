//! The packet hooks on network devices, which come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tracing::{info, warn};

use super::{
    Error,
    hook::Hook,
    links::{self, Wanted},
    load::Programs,
    pins::Pins,
    sys::LinkTarget,
    tc::{Place, Tc},
};

/// Where XDP programs may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver if it can and it pays, else nowhere.
    #[default]
    Auto,
    /// In the driver.
    Native,
    /// In the stack, before anything else.
    Generic,
    /// Nowhere: tc does all of it.
    Off,
}

/// A device that is to carry our programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExternalDevice {
    /// Its name, for people.
    pub name: Arc<str>,
    /// It is one end of a veth pair.
    pub veth: bool,
    /// Pods are behind it. XDP is not for such: what pods send has no complete checksum.
    pub pods: bool,
    /// There are VLAN devices on it.
    pub vlans: bool,
}

/// Name of the mode in which the driver runs XDP.
const NATIVE: &str = "native";
/// Name of the mode in which the stack does.
const GENERIC: &str = "generic";
const MODES: [&str; 2] = [NATIVE, GENERIC];
/// What becomes of XDP on a device that carries our programs: a mode, or nothing.
pub(super) const XDP_MODES: [&str; 3] = [NATIVE, GENERIC, OFF];
/// Name of the latter.
const OFF: &str = "off";

impl XdpMode {
    /// Name and attachment flags of the mode; `None` if nothing is attached.
    ///
    /// On a veth it does not pay: packets from this machine carry partial checksums, which XDP must
    /// leave to tc, and a frame sent to a far end that does not poll is lost without a trace.
    fn attachment(self, veth: bool) -> Option<(&'static str, u32)> {
        const IN_STACK: u32 = 1 << 1;
        const IN_DRIVER: u32 = 1 << 2;
        match self {
            Self::Auto if veth => None,
            Self::Auto | Self::Native => Some((NATIVE, IN_DRIVER)),
            Self::Generic => Some((GENERIC, IN_STACK)),
            Self::Off => None,
        }
    }
}

/// A device that carries our programs.
#[derive(Debug)]
struct Attached {
    device: ExternalDevice,
    /// One of [`XDP_MODES`].
    xdp: &'static str,
}

impl Attached {
    /// Whether what was put there is what the device asks for, as it is now.
    fn carries_as(&self, now: &ExternalDevice) -> bool {
        (self.device.vlans, self.device.pods) == (now.vlans, now.pods)
    }
}

/// The devices that carry our programs.
#[derive(Debug)]
pub struct Devices {
    mode: XdpMode,
    tc: Tc,
    attached: BTreeMap<u32, Attached>,
    /// Those on which XDP runs in the driver.
    native: BTreeSet<u32>,
    /// Devices whose driver has refused XDP, so that it is said and tried once.
    refused: BTreeSet<u32>,
    /// Whether the leftovers of earlier agents have been looked for.
    swept: bool,
}

impl Devices {
    /// None yet.
    pub fn new(mode: XdpMode, tc: Tc) -> Self {
        let (attached, native, refused) = Default::default();
        Self { mode, tc, attached, native, refused, swept: false }
    }

    /// The devices, by ifindex, on which XDP runs in the driver.
    pub fn native(&self) -> &BTreeSet<u32> {
        &self.native
    }

    /// How many devices carry our programs, by where XDP runs there.
    pub fn counts(&self) -> [(&'static str, usize); 3] {
        let running = |wanted| self.attached.values().filter(|one| one.xdp == wanted).count();
        XDP_MODES.map(|mode| (mode, running(mode)))
    }

    /// Makes the given devices, by ifindex, the ones that carry our programs. What fails is left
    /// out, and tried again with the next call.
    pub fn follow(
        &mut self,
        programs: &mut Programs,
        pins: &Pins,
        wanted: &BTreeMap<u32, ExternalDevice>,
    ) -> Vec<Error> {
        let mut errors = Vec::new();
        for (&ifindex, device) in wanted {
            if self.attached.get(&ifindex).is_some_and(|was| was.carries_as(device)) {
                continue;
            }
            match self.attach(programs, pins, ifindex, device) {
                Ok(xdp) => {
                    self.attached.insert(ifindex, Attached { device: device.clone(), xdp });
                }
                Err(error) => errors.push(error),
            }
        }
        let gone: Vec<_> =
            self.attached.keys().filter(|ifindex| !wanted.contains_key(ifindex)).copied().collect();
        for ifindex in &gone {
            self.refused.remove(ifindex);
            self.native.remove(ifindex);
            if let Some(Attached { device, .. }) = self.attached.remove(ifindex) {
                let name = &*device.name;
                info!(device = name, ifindex, "device left: programs taken off");
                self.tc.remove(&Hook::TC, *ifindex);
            }
        }
        if !gone.is_empty() || !self.swept {
            errors.extend(self.sweep(pins, wanted).err());
        }
        errors
    }

    /// Puts back what is no longer on the devices it was put on. Adds the names of those hooks, with
    /// the device, to `repaired`.
    pub fn keep(
        &self,
        programs: &mut Programs,
        pins: &Pins,
        repaired: &mut Vec<String>,
    ) -> Vec<Error> {
        let mut errors = Vec::new();
        for (&ifindex, held) in &self.attached {
            for hook in Hook::TC.into_iter().chain([Hook::XDP]) {
                match self.keep_hook(programs, pins, ifindex, held, hook) {
                    Ok(true) => repaired.push(format!("{} on {}", hook.program, held.device.name)),
                    Ok(false) => (),
                    Err(error) => errors.push(error),
                }
            }
        }
        errors
    }

    fn keep_hook(
        &self,
        programs: &mut Programs,
        pins: &Pins,
        ifindex: u32,
        held: &Attached,
        hook: Hook,
    ) -> Result<bool, Error> {
        let name = &*held.device.name;
        if hook != Hook::XDP {
            return self.tc.keep(programs, pins, &Place { hook, ifindex, name });
        }
        let attachment = self.mode.attachment(false).filter(|_| held.xdp != OFF);
        let Some((mode, flags)) = attachment else { return Ok(false) };
        let pin = xdp_pin(ifindex, mode);
        let wanted = xdp_link(&pin, ifindex, name, flags);
        links::keep(pins, programs.descriptor(hook)?, programs.id(hook)?, &wanted)
    }

    /// Returns the mode in which XDP runs there now.
    fn attach(
        &mut self,
        programs: &mut Programs,
        pins: &Pins,
        ifindex: u32,
        device: &ExternalDevice,
    ) -> Result<&'static str, Error> {
        let name = &*device.name;
        for hook in Hook::TC {
            self.tc.hold(programs, pins, &Place { hook, ifindex, name })?;
        }
        let xdp = self.attach_xdp(programs, pins, ifindex, device)?;
        if xdp == NATIVE {
            self.native.insert(ifindex);
        } else {
            self.native.remove(&ifindex);
        }
        info!(device = name, ifindex, tc = self.tc.name(), xdp, "programs attached");
        Ok(xdp)
    }

    /// Returns the mode in which XDP runs there now.
    fn attach_xdp(
        &mut self,
        programs: &Programs,
        pins: &Pins,
        ifindex: u32,
        device: &ExternalDevice,
    ) -> Result<&'static str, Error> {
        let name = &*device.name;
        let mut attachment = self.mode.attachment(device.veth).filter(|_| !device.pods);
        if device.vlans && attachment.take().is_some() {
            // A card takes tags off, and shows XDP a frame as if it were the device's own.
            warn!(device = name, "no XDP on a device with VLAN devices, tc does all of it");
        }
        for other in
            MODES.into_iter().filter(|mode| attachment.is_none_or(|(ours, _)| ours != *mode))
        {
            // A device takes one XDP program: an earlier agent's in another mode must go first.
            let pin = xdp_pin(ifindex, other);
            pins.take_over_link(&pin)?;
            links::release(&pins.link(&pin))?;
        }
        let Some((mode, flags)) = attachment else { return Ok(OFF) };
        if self.refused.contains(&ifindex) {
            return Ok(OFF);
        }
        let pin = xdp_pin(ifindex, mode);
        let wanted = xdp_link(&pin, ifindex, name, flags);
        match links::hold(pins, programs.descriptor(Hook::XDP)?, &wanted) {
            Ok(_) => Ok(mode),
            Err(Error::Attach { source, .. }) if self.mode == XdpMode::Auto => {
                warn!(device = name, "no XDP in the driver, tc does all of it: {source}");
                self.refused.insert(ifindex);
                Ok(OFF)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the links of devices that are not wanted.
    fn sweep(&mut self, pins: &Pins, wanted: &BTreeMap<u32, ExternalDevice>) -> Result<(), Error> {
        let is_ours = |program: &str| program != Hook::TC_REPLY.program;
        links::release_except(pins, is_ours, |ifindex| wanted.contains_key(&ifindex))?;
        if !self.swept {
            let wanted: BTreeSet<u32> = wanted.keys().copied().collect();
            self.tc.remove_except(&Hook::TC, &wanted);
        }
        self.swept = true;
        Ok(())
    }
}

fn xdp_pin(ifindex: u32, mode: &str) -> String {
    format!("{}-{ifindex}-{mode}", Hook::XDP.program)
}

fn xdp_link<'a>(pin: &'a str, ifindex: u32, name: &'a str, flags: u32) -> Wanted<'a> {
    let target = LinkTarget::Device(ifindex);
    Wanted { hook: Hook::XDP, pin, target, handle: ifindex, flags, target_name: name }
}
