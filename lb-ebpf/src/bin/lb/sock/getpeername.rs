//! `getpeername()`: the address the process asked for, not the one it was sent to.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};

use super::{
    ALLOW,
    address::{self, HookFamily, Inet, Inet6},
};
use crate::lookup;

#[inline(always)]
fn getpeername<H: HookFamily>(ctx: &SockAddrContext) -> i32 {
    // The socket may have been connected again, elsewhere: then what is stored is not about this
    // connection.
    if let Some(origin) = lookup::origin(ctx)
        && origin.backend == H::address(ctx)
        && origin.backend_port == address::port(ctx)
    {
        H::set_address(ctx, origin.frontend);
        address::set_port(ctx, origin.frontend_port);
    }
    ALLOW
}

/// `getpeername()` of an IPv4 socket.
#[cgroup_sock_addr(getpeername4)]
pub fn getpeername4(ctx: SockAddrContext) -> i32 {
    getpeername::<Inet>(&ctx)
}

/// `getpeername()` of an IPv6 socket.
#[cgroup_sock_addr(getpeername6)]
pub fn getpeername6(ctx: SockAddrContext) -> i32 {
    getpeername::<Inet6>(&ctx)
}
