//! `recvmsg()` and `recvfrom()` of a UDP socket: a backend's datagram shows the frontend as its
//! source.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use lb_common::socket::{UdpPeerKey, side};

use super::{
    ALLOW,
    address::{self, HookFamily, Inet, Inet6},
};
use crate::{helper, lookup, maps::UDP_PEERS};

#[inline(always)]
fn recvmsg<H: HookFamily>(ctx: &SockAddrContext) -> i32 {
    let (source, port) = (H::address(ctx), address::port(ctx));
    if let Some(origin) = lookup::origin(ctx)
        && origin.backend == source
        && origin.backend_port == port
    {
        H::set_address(ctx, origin.frontend);
        address::set_port(ctx, origin.frontend_port);
        return ALLOW;
    }
    let cookie = helper::socket_cookie(ctx);
    let key = UdpPeerKey { cookie, address: source, port, side: side::BACKEND, pad: [0; 5] };
    if let Some(peer) = lookup::find(&UDP_PEERS, &key) {
        H::set_address(ctx, peer.address);
        address::set_port(ctx, peer.port);
    }
    ALLOW
}

/// `recvmsg()` of an IPv4 socket.
#[cgroup_sock_addr(recvmsg4)]
pub fn recvmsg4(ctx: SockAddrContext) -> i32 {
    recvmsg::<Inet>(&ctx)
}

/// `recvmsg()` of an IPv6 socket.
#[cgroup_sock_addr(recvmsg6)]
pub fn recvmsg6(ctx: SockAddrContext) -> i32 {
    recvmsg::<Inet6>(&ctx)
}
