//! The programs: what only the kernel runs. One object, so one set of maps.
//!
//! A packet's way is `hook` (entry, verdict, count) → `ingress`, `egress` or `reply` (whose packet is it) →
//! `service` (which backend) → `way`, `route` (where to) → `track` (remember; with `enter`, `ports`, `end`,
//! `tokens` and `take`). A socket call's way is `sock` → `service`.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "entry points and statics of an object file need it")]

mod answer;
mod count;
mod direct;
mod egress;
mod end;
mod enter;
mod fragment;
mod helper;
mod hook;
mod icmp;
mod ingress;
mod log;
mod lookup;
mod maps;
mod ports;
mod reply;
mod route;
mod service;
mod settings;
mod skb;
mod sock;
mod take;
mod tc;
mod tokens;
mod track;
mod way;
mod xdp;

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Never reached: the verifier refuses a program that could panic.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
