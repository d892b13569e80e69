//! Where a packet leaves: the kernel's FIB.

use aya_ebpf::helpers::generated::bpf_fib_lookup;
use lb_common::{
    Be16, Be32, Family, Ipv6, V4, V6,
    device::{self, Device},
    flow::{FlowOf, Hop},
    limits,
};
use lb_ebpf::{
    parse::{Parsed, join},
    verdict::Fault,
};

use crate::{lookup, maps::DEVICES, track::is_recent};

/// Where a packet goes.
#[derive(Clone, Copy)]
pub enum Route {
    /// To this node itself.
    Up,
    /// Out of a device.
    Out(NextHop),
}

/// The next station of a packet that leaves. Only numbers, no reference to the FIB's answer: the
/// compiler would lay a pointer over an error's code, and the verifier refuses arithmetic on it.
#[derive(Clone, Copy)]
pub struct NextHop {
    /// Device to leave by.
    pub ifindex: u32,
    /// Whether the neighbour's Ethernet address is known.
    pub resolved: bool,
}

/// The kernel's `struct bpf_fib_lookup`, unions resolved to the members we use.
#[repr(C)]
pub struct FibParams {
    family: u8,
    l4_protocol: u8,
    source_port: Be16,
    destination_port: Be16,
    total_length: u16,
    ifindex: u32,
    /// In: type of service, or IPv6's first word. Out: metric.
    class: u32,
    source: Ipv6,
    destination: Ipv6,
    vlan: u32,
    source_mac: [u16; 3],
    destination_mac: [u16; 3],
}

const _: () = assert!(size_of::<FibParams>() == 64);

impl FibParams {
    /// Of an answer: `AF_INET` or `AF_INET6`.
    #[inline(always)]
    pub fn family(&self) -> u32 {
        self.family.into()
    }

    /// Of an answer: the gateway, or the destination itself if it is on the link; IPv4 in the first
    /// word.
    #[inline(always)]
    pub fn address(&self) -> Ipv6 {
        self.destination
    }

    /// Of an answer: destination and source address of the Ethernet header, as they stand in a
    /// frame; only if the neighbour was resolved.
    #[inline(always)]
    pub fn ethernet(&self) -> [u32; 3] {
        let [d0, d1, d2] = self.destination_mac;
        let [s0, s1, s2] = self.source_mac;
        [join(d0, d1), join(d2, s0), join(s1, s2)]
    }
}

const SUCCESS: i64 = 0;
const NOT_FORWARDED: i64 = 4;
const NO_NEIGHBOUR: i64 = 7;
const TOO_BIG: i64 = 8;

/// What the FIB needs to know about a family.
pub trait FibFamily: Family {
    /// `AF_INET` or `AF_INET6`.
    const AF: u8;

    /// An address as [`FibParams`] has it.
    fn words(address: Self::Address) -> Ipv6;

    /// Our source address for flows of this family that leave by a device.
    fn device_source(device: &Device) -> Self::Address;

    /// [`FibParams`]' `class`.
    fn class(tos: u8) -> u32;
}

impl FibFamily for V4 {
    const AF: u8 = 2;

    #[inline(always)]
    fn words(address: Be32) -> Ipv6 {
        [address, Be32::ZERO, Be32::ZERO, Be32::ZERO]
    }

    #[inline(always)]
    fn device_source(device: &Device) -> Be32 {
        device.source_v4
    }

    #[inline(always)]
    fn class(tos: u8) -> u32 {
        u32::from_ne_bytes([tos, 0, 0, 0])
    }
}

impl FibFamily for V6 {
    const AF: u8 = 10;

    #[inline(always)]
    fn words(address: Ipv6) -> Ipv6 {
        address
    }

    #[inline(always)]
    fn device_source(device: &Device) -> Ipv6 {
        device.source_v6
    }

    #[inline(always)]
    fn class(tos: u8) -> u32 {
        (u32::from(tos) << 20).to_be()
    }
}

/// Asks the FIB; the rest of its answer stays in `lookup::fib_params`. `ctx` is the context of the
/// running program; `total_length` is that of the largest packet that is to leave.
#[inline(always)]
pub fn ask<F: FibFamily>(
    ctx: *mut core::ffi::c_void,
    ifindex: u32,
    total_length: u16,
    packet: &Parsed<F>,
    source: F::Address,
    destination: F::Address,
) -> Result<Route, Fault> {
    let params = lookup::fib_params().ok_or(Fault::NoRoute)?;
    *params = FibParams {
        family: F::AF,
        l4_protocol: packet.protocol,
        source_port: Be16::ZERO,
        destination_port: Be16::ZERO,
        total_length,
        ifindex,
        class: F::class(packet.tos),
        source: F::words(source),
        destination: F::words(destination),
        vlan: 0,
        source_mac: [0; 3],
        destination_mac: [0; 3],
    };
    // SAFETY: the context is the program's own, and the parameters have the layout and size of the
    // kernel's structure.
    let result =
        unsafe { bpf_fib_lookup(ctx, (&raw mut *params).cast(), size_of::<FibParams>() as i32, 0) };
    let resolved = match result {
        SUCCESS => true,
        NO_NEIGHBOUR => false,
        NOT_FORWARDED => return Ok(Route::Up),
        TOO_BIG => return Err(Fault::TooBig(mtu(params.total_length, total_length))),
        _ => return Err(Fault::NoRoute),
    };
    Ok(Route::Out(NextHop { ifindex: params.ifindex, resolved }))
}

/// What a flow is to remember of the answer about this packet: nothing, if the neighbour is yet to
/// be found.
#[inline(always)]
pub fn to_remember<F: Family>(next_hop: &NextHop, packet: &Parsed<F>) -> Hop {
    let Some(answer) = lookup::fib_params().filter(|_| next_hop.resolved) else {
        return Hop::default();
    };
    let device = lookup::get(&DEVICES, &next_hop.ifindex);
    Hop {
        ifindex: next_hop.ifindex,
        ethernet: answer.ethernet(),
        fits: answer.total_length,
        tos: packet.tos,
        xdp: device.is_some_and(|device| device.flags & device::flags::XDP != 0).into(),
    }
}

/// Whether what a flow remembers holds for a packet of this length: not for long, so that neither
/// routes nor neighbours nor links have to tell anybody when they change.
#[inline(always)]
pub fn holds<F: Family>(flow: &FlowOf<F>, packet: &Parsed<F>, longest: u16, now: u32) -> bool {
    is_recent::<F>(flow, now)
        && flow.hop.ifindex != 0
        && longest <= flow.hop.fits
        && packet.tos == flow.hop.tos
}

/// What the next link takes: newer kernels say it in place of the length that was asked about.
#[inline(always)]
const fn mtu(answered: u16, asked: u16) -> u16 {
    if answered < asked { answered } else { limits::LEAST_MTU }
}
