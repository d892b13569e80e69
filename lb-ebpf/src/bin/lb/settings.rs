//! Read-only globals: fixed when the object is loaded, so the verifier knows them and leaves out
//! what cannot happen.

use lb_common::{limits, settings::flags};

#[unsafe(no_mangle)]
static FLAGS: u32 = flags::SET_RETVAL | flags::XDP_FRAGS | flags::XDP_TX;
#[unsafe(no_mangle)]
static NODE_PORT_FIRST: u16 = limits::NODE_PORT_FIRST;
#[unsafe(no_mangle)]
static NODE_PORT_LAST: u16 = limits::NODE_PORT_LAST;
#[unsafe(no_mangle)]
static SNAT_PORT_FIRST: u16 = limits::SNAT_PORT_FIRST;
#[unsafe(no_mangle)]
static FLOW_REFRESH_JIFFIES: u32 = limits::FLOW_REFRESH_MS;
#[unsafe(no_mangle)]
static SNAT_PORTS: u16 = limits::SNAT_PORT_LAST - limits::SNAT_PORT_FIRST + 1;

/// Whether a flag of [`lb_common::settings::flags`] is set.
#[inline(always)]
pub fn has(flag: u32) -> bool {
    // SAFETY: an aligned static of this type; volatile, because the loader changes it.
    unsafe { core::ptr::read_volatile(&FLAGS) & flag != 0 }
}

/// Whether a destination port can be a NodePort.
#[inline(always)]
pub fn is_node_port(port: u16) -> bool {
    // SAFETY: aligned statics of this type; volatile, because the loader changes them.
    let (first, last) = unsafe {
        (core::ptr::read_volatile(&NODE_PORT_FIRST), core::ptr::read_volatile(&NODE_PORT_LAST))
    };
    (first..=last).contains(&port)
}

/// First source port of ours, and how many there are.
#[inline(always)]
pub fn snat_ports() -> (u16, u16) {
    // SAFETY: as in `is_node_port`.
    unsafe { (core::ptr::read_volatile(&SNAT_PORT_FIRST), core::ptr::read_volatile(&SNAT_PORTS)) }
}

/// How long an entry is left alone after it was refreshed, in jiffies.
#[inline(always)]
pub fn flow_refresh_jiffies() -> u32 {
    // SAFETY: as in `is_node_port`.
    unsafe { core::ptr::read_volatile(&FLOW_REFRESH_JIFFIES) }
}
