//! Every program passes this kernel's verifier, whatever is chosen: what a setting turns off the
//! verifier leaves out, so each choice is another program to it.

use lb_common::settings::flags;
use lb_userspace::kernel::{Feature, Features, LOG_OBJECT, OBJECT};

use crate::room::{Room, small};

const ALL: [u32; 7] = [
    flags::EXTERNAL_CLUSTER_IP,
    flags::SET_RETVAL,
    flags::VIP_PING,
    flags::REJECT_UNUSED_PORTS,
    flags::DIRECT_DELIVERY,
    flags::XDP_FRAGS,
    flags::XDP_TX,
];

/// Loads an object with nothing chosen, with each thing alone, and with all that this kernel has.
#[track_caller]
fn check(name: &str, object: &[u8]) {
    let features = Features::probe().unwrap();
    let there = |flag: &u32| match *flag {
        flags::SET_RETVAL => features.has(Feature::SetRetval),
        flags::XDP_FRAGS => features.has(Feature::XdpFrags),
        _ => true,
    };
    let single: Vec<u32> = ALL.into_iter().filter(there).collect();
    let every = single.iter().fold(0, |set, flag| set | flag);
    for set in [&[0, every], &single[..]].concat() {
        let room = Room::new(name);
        let mut programs = room.load_with(object, set, small());
        let names: Vec<String> =
            programs.object().programs().map(|(name, _)| name.into()).collect();
        let loaded = programs.object().programs().filter(|(_, program)| program.fd().is_ok());
        assert_eq!(loaded.count(), names.len(), "of {names:?} with {set:#x}");
    }
}

#[test]
fn whatever_the_settings() {
    check("settings", OBJECT);
}

#[test]
fn so_do_those_with_log_lines() {
    check("log", LOG_OBJECT);
}
