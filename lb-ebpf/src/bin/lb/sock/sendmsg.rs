//! `sendmsg()` and `sendto()` of an unconnected UDP socket: each far end keeps its backend while
//! that backend serves.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use lb_common::{
    Address, Be16,
    backend::{BackendRef, flags},
    counter::Counter,
    socket::{UdpPeer, UdpPeerKey, side},
};
use lb_ebpf::verdict::Refusal;

use super::{
    address::{self, HookFamily, Inet, Inet6},
    finish, nobody, pick, there,
};
use crate::{
    count::count,
    helper, lookup,
    maps::UDP_PEERS,
    service::{self, There},
};

#[inline(always)]
fn sendmsg<H: HookFamily>(ctx: &SockAddrContext) -> Result<(), Refusal> {
    let (asked, asked_port) = (H::address(ctx), address::port(ctx));
    let frontend = match there(asked, asked_port, address::protocol(ctx)) {
        There::Frontend(frontend) => frontend,
        There::UnusedPort(vip) => return nobody(vip),
        There::Stranger => return Ok(()),
    };
    let cookie = helper::socket_cookie(ctx);
    let there = key(cookie, asked, asked_port, side::FRONTEND);
    let remembered = lookup::find(&UDP_PEERS, &there).map(|peer| peer.backend);
    let stuck =
        remembered.and_then(|backend| service::recall(frontend.service, backend, flags::SERVING));
    let chosen = match stuck {
        Some(chosen) => chosen,
        None => {
            let chosen = pick::<H>(ctx, frontend)?;
            let to = (chosen.backend.address, chosen.backend.port);
            // A table that takes nothing costs the datagram only its memory.
            _ = lookup::put(&UDP_PEERS, &there, &peer(to, chosen.reference));
            count(Counter::SocketTranslated);
            chosen
        }
    };
    let backend = chosen.backend;
    let back = key(cookie, backend.address, backend.port, side::BACKEND);
    let shown = lookup::find(&UDP_PEERS, &back).map(|peer| (peer.address, peer.port));
    if shown != Some((asked, asked_port)) {
        _ = lookup::put(&UDP_PEERS, &back, &peer((asked, asked_port), chosen.reference));
    }
    H::set_address(ctx, backend.address);
    address::set_port(ctx, backend.port);
    Ok(())
}

#[inline(always)]
fn key(cookie: u64, address: Address, port: Be16, side: u8) -> UdpPeerKey {
    UdpPeerKey { cookie, address, port, side, pad: [0; 5] }
}

#[inline(always)]
fn peer((address, port): (Address, Be16), backend: BackendRef) -> UdpPeer {
    UdpPeer { address, backend, port, pad: [0; 6] }
}

/// `sendmsg()` of an IPv4 socket.
#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(ctx: SockAddrContext) -> i32 {
    finish(&ctx, sendmsg::<Inet>(&ctx))
}

/// `sendmsg()` of an IPv6 socket.
#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(ctx: SockAddrContext) -> i32 {
    finish(&ctx, sendmsg::<Inet6>(&ctx))
}
