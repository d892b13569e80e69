//! The program that sends pods' answers straight out (`--direct-delivery`), on the devices that pods
//! are behind, which come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tracing::debug;

use super::{
    Error,
    hook::Hook,
    links,
    load::Programs,
    pins::Pins,
    tc::{Place, Tc},
};

const HOOK: Hook = Hook::TC_REPLY;

/// The devices that carry it.
#[derive(Debug)]
pub struct Replies {
    tc: Tc,
    /// By ifindex: their names.
    attached: BTreeMap<u32, Arc<str>>,
    /// Whether the leftovers of earlier agents have been looked for.
    swept: bool,
}

impl Replies {
    /// None yet.
    pub fn new(tc: Tc) -> Self {
        Self { tc, attached: BTreeMap::new(), swept: false }
    }

    /// Makes the given devices, by ifindex, the ones that carry the program. What fails is left out,
    /// and tried again with the next call.
    pub fn follow(
        &mut self,
        programs: &mut Programs,
        pins: &Pins,
        wanted: &BTreeMap<u32, Arc<str>>,
    ) -> Vec<Error> {
        let mut errors = Vec::new();
        for (&ifindex, name) in wanted {
            if self.attached.contains_key(&ifindex) {
                continue;
            }
            match self.tc.hold(programs, pins, &Place { hook: HOOK, ifindex, name }) {
                Ok(()) => {
                    debug!(device = &**name, ifindex, "answers go straight out");
                    self.attached.insert(ifindex, Arc::clone(name));
                }
                Err(error) => errors.push(error),
            }
        }
        let before = self.attached.len();
        let tc = self.tc;
        self.attached.retain(|ifindex, _| {
            let stays = wanted.contains_key(ifindex);
            if !stays {
                tc.remove(&[HOOK], *ifindex);
            }
            stays
        });
        if self.attached.len() < before || !self.swept {
            errors.extend(self.sweep(pins, wanted).err());
        }
        errors
    }

    /// Puts it back where it is gone. Adds its name, with the device, to `repaired`.
    pub fn keep(
        &self,
        programs: &mut Programs,
        pins: &Pins,
        repaired: &mut Vec<String>,
    ) -> Vec<Error> {
        let mut errors = Vec::new();
        for (&ifindex, name) in &self.attached {
            match self.tc.keep(programs, pins, &Place { hook: HOOK, ifindex, name }) {
                Ok(true) => repaired.push(format!("{} on {name}", HOOK.program)),
                Ok(false) => (),
                Err(error) => errors.push(error),
            }
        }
        errors
    }

    /// Removes the links of devices that are not wanted, and once the filters.
    fn sweep(&mut self, pins: &Pins, wanted: &BTreeMap<u32, Arc<str>>) -> Result<(), Error> {
        let is_ours = |program: &str| program == HOOK.program;
        links::release_except(pins, is_ours, |ifindex| wanted.contains_key(&ifindex))?;
        if !self.swept {
            let wanted: BTreeSet<u32> = wanted.keys().copied().collect();
            self.tc.remove_except(&[HOOK], &wanted);
        }
        self.swept = true;
        Ok(())
    }
}
