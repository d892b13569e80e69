//! How a program of traffic control is kept on a device: by a pinned link where the kernel has such
//! (6.6), else by a filter of the older kind, which stays when the agent ends.
//!
//! Which programs belong where is the business of `device` and `replies`.

use std::{collections::BTreeSet, io};

use aya::programs::{
    TcAttachType, TcError,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact},
};
use nix::net::if_::{if_indextoname, if_nameindex};
use tracing::debug;

use super::{
    Error,
    hook::Hook,
    links::{self, Held, Wanted},
    load::Programs,
    pins::Pins,
    sys::LinkTarget,
};

/// Priority and handle of our filters: by them the next agent finds them.
const FILTER_PRIORITY: u16 = 0x51ce;
const FILTER_HANDLE: TcHandle = TcHandle::new(0, 0x51ce);

/// A program's place.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// At which hook.
    pub hook: Hook,
    /// Of which device.
    pub ifindex: u32,
    /// The device's name.
    pub name: &'a str,
}

/// What this kernel has for traffic control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tc {
    /// Links.
    Links,
    /// Filters only.
    Filters,
}

impl Tc {
    /// `tcx`: there are links.
    pub fn new(tcx: bool) -> Self {
        if tcx { Self::Links } else { Self::Filters }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Links => "tcx",
            Self::Filters => "clsact",
        }
    }

    /// Puts the hook's program there, in place of an earlier agent's.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn hold(
        self,
        programs: &mut Programs,
        pins: &Pins,
        place: &Place<'_>,
    ) -> Result<(), Error> {
        match self {
            Self::Links => {
                let pin = pin(place.hook, place.ifindex);
                links::hold(pins, programs.descriptor(place.hook)?, &wanted(place, &pin)).map(drop)
            }
            Self::Filters => attach_filter(programs, place).map(drop),
        }
    }

    /// Puts it there again if it is gone. Returns whether it was.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn keep(
        self,
        programs: &mut Programs,
        pins: &Pins,
        place: &Place<'_>,
    ) -> Result<bool, Error> {
        match self {
            Self::Links => {
                let (pin, hook) = (pin(place.hook, place.ifindex), place.hook);
                let id = programs.id(hook)?;
                links::keep(pins, programs.descriptor(hook)?, id, &wanted(place, &pin))
            }
            Self::Filters => attach_filter(programs, place).map(|held| held == Held::Attached),
        }
    }

    /// Takes the filters at these hooks off a device, if it is still there; links go with their pins.
    pub fn remove(self, hooks: &[Hook], ifindex: u32) {
        if let (Self::Filters, Ok(name)) = (self, name_now(ifindex)) {
            remove_filters(hooks, &name);
        }
    }

    /// Takes the filters at these hooks off all devices but the given ones.
    pub fn remove_except(self, hooks: &[Hook], wanted: &BTreeSet<u32>) {
        if self == Self::Links {
            return;
        }
        for device in if_nameindex().iter().flatten() {
            if !wanted.contains(&device.index()) {
                remove_filters(hooks, &device.name().to_string_lossy());
            }
        }
    }
}

fn pin(hook: Hook, ifindex: u32) -> String {
    format!("{}-{ifindex}", hook.program)
}

fn wanted<'a>(place: &Place<'a>, pin: &'a str) -> Wanted<'a> {
    let Place { hook, ifindex, name } = *place;
    let target = LinkTarget::Device(ifindex);
    Wanted { hook, pin, target, handle: ifindex, flags: 0, target_name: name }
}

fn direction(hook: Hook) -> TcAttachType {
    if hook == Hook::TC_EGRESS { TcAttachType::Egress } else { TcAttachType::Ingress }
}

/// A device may carry both programs that are for packets arriving.
fn priority(hook: Hook) -> u16 {
    if hook == Hook::TC_REPLY { FILTER_PRIORITY + 1 } else { FILTER_PRIORITY }
}

/// Puts a program into its filter, making the filter if there is none.
fn attach_filter(programs: &mut Programs, place: &Place<'_>) -> Result<Held, Error> {
    let Place { hook, ifindex, name } = *place;
    let failed = |source| Error::Filter { program: hook.program, target: name.to_owned(), source };
    let name = &*name_now(ifindex).map_err(|source| failed(TcError::IoError(source).into()))?;
    if let Err(error) = qdisc_add_clsact(name) {
        debug!(device = name, "adding clsact: {error}");
    }
    let classifier = programs.classifier(hook)?;
    let filter = our_filter(hook, name).map_err(|source| failed(source.into()))?;
    let mut held = Held::Replaced;
    let id = classifier
        .attach_to_link(filter)
        .or_else(|_| {
            held = Held::Attached;
            let priority = priority(hook);
            let options = NlOptions { priority, handle: FILTER_HANDLE, classid: None };
            let options = TcAttachOptions::Netlink(options);
            classifier.attach_with_options(name, direction(hook), options)
        })
        .map_err(failed)?;
    std::mem::forget(classifier.take_link(id).map_err(failed)?);
    Ok(held)
}

/// The library asks for names, and a device's may be another's since it was listed.
fn name_now(ifindex: u32) -> io::Result<String> {
    let name = if_indextoname(ifindex)?;
    // The call overlooks that there is no such device.
    if name.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(name.to_string_lossy().into_owned())
}

fn our_filter(hook: Hook, name: &str) -> io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(name, direction(hook), priority(hook), FILTER_HANDLE, None)
}

/// Takes our filters at these hooks off a device. Returns how many there were.
pub fn remove_filters(hooks: &[Hook], name: &str) -> usize {
    use aya::programs::links::Link;
    let removed = |hook| our_filter(hook, name).is_ok_and(|filter| filter.detach().is_ok());
    hooks.iter().filter(|hook| removed(**hook)).count()
}
