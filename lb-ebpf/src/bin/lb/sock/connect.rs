//! `connect()`: the choice is made here, and nothing of ours touches the connection afterwards.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use lb_common::{Protocol, counter::Counter, socket::Origin};
use lb_ebpf::verdict::Refusal;

use super::{
    address::{self, HookFamily, Inet, Inet6},
    finish, nobody, pick, there,
};
use crate::{count::count, lookup, service::There};

#[inline(always)]
fn connect<H: HookFamily>(ctx: &SockAddrContext) -> Result<(), Refusal> {
    let (asked, asked_port) = (H::address(ctx), address::port(ctx));
    let protocol = address::protocol(ctx);
    let frontend = match there(asked, asked_port, protocol) {
        There::Frontend(frontend) => frontend,
        There::UnusedPort(vip) if protocol == Protocol::Tcp.number() => return nobody(vip),
        // A UDP socket may be connected only to learn which source address it would have: resolvers
        // do that, and it is what is sent that is refused.
        There::UnusedPort(_) | There::Stranger => return Ok(()),
    };
    let chosen = pick::<H>(ctx, frontend)?;
    H::set_address(ctx, chosen.backend.address);
    address::set_port(ctx, chosen.backend.port);
    lookup::set_origin(
        ctx,
        Origin {
            frontend: asked,
            backend: chosen.backend.address,
            frontend_port: asked_port,
            backend_port: chosen.backend.port,
            pad: 0,
        },
    );
    count(Counter::SocketTranslated);
    Ok(())
}

/// `connect()` of an IPv4 socket.
#[cgroup_sock_addr(connect4)]
pub fn connect4(ctx: SockAddrContext) -> i32 {
    finish(&ctx, connect::<Inet>(&ctx))
}

/// `connect()` of an IPv6 socket.
#[cgroup_sock_addr(connect6)]
pub fn connect6(ctx: SockAddrContext) -> i32 {
    finish(&ctx, connect::<Inet6>(&ctx))
}
