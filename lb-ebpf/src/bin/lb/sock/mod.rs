//! Socket balancing: the address is changed in the socket call, so no packet ever needs to be.
//!
//! `connect` and `sendmsg` choose a backend and rewrite the destination; `recvmsg` and
//! `getpeername` show the frontend again. Translation in `connect` is remembered in socket storage;
//! an unconnected UDP socket may have any number of far ends, which are remembered in `UDP_PEERS`.

mod address;
mod connect;
mod getpeername;
mod recvmsg;
mod sendmsg;

use aya_ebpf::programs::SockAddrContext;
use lb_common::{
    Address, Be16, Be32,
    counter::Counter,
    frontend::{Frontend, kind},
    service::flags,
    settings::flags as settings_flags,
    source_range::SourceRange,
};
use lb_ebpf::verdict::Refusal;

use self::address::HookFamily;
use crate::{
    count::count,
    helper,
    log::trace,
    lookup,
    service::{self, Chosen, Client, Draw, There},
    settings,
};

/// What a socket hook returns to the kernel.
const ALLOW: i32 = 1;
const REFUSE: i32 = 0;

/// Ends a hook: counts, sets the errno if the call is refused, and tells the kernel.
#[inline(always)]
fn finish(ctx: &SockAddrContext, outcome: Result<(), Refusal>) -> i32 {
    let Err(refusal) = outcome else { return ALLOW };
    count(refusal.counter());
    trace!(ctx, "socket call refused: {}", refusal.counter().label());
    if settings::has(settings_flags::SET_RETVAL) {
        helper::set_errno(refusal.errno());
    }
    REFUSE
}

/// Who a socket call is for. A NodePort also answers where the call names no address at all, which
/// the kernel takes for the loopback.
#[inline(always)]
fn there(address: Address, port: Be16, protocol: u8) -> There {
    const ANY_V4: Address = Address::from_v4(Be32::ZERO);
    const LOOPBACK_V4: Address = Address::from_v4(Be32::new(0x7f00_0001));
    const ANY_V6: Address = Address([Be32::ZERO; 4]);
    const LOOPBACK_V6: Address = Address([Be32::ZERO, Be32::ZERO, Be32::ZERO, Be32::new(1)]);

    let address = if address == ANY_V4 {
        LOOPBACK_V4
    } else if address == ANY_V6 {
        LOOPBACK_V6
    } else {
        address
    };
    service::called(address, port, protocol)
}

/// What becomes of a call to a VIP's port that no frontend answers at.
#[inline(always)]
fn nobody(vip: u32) -> Result<(), Refusal> {
    if service::refuses_inside(vip) { Err(Refusal::UnusedPort) } else { Ok(()) }
}

/// Applies what the service asks of a process on this node, and chooses a backend.
///
/// To an external frontend with policy Local, processes on the node are as if they had gone out to
/// the load balancer and come back in elsewhere: they get any endpoint.
#[inline(always)]
fn pick<H: HookFamily>(ctx: &SockAddrContext, frontend: Frontend) -> Result<Chosen, Refusal> {
    let row = lookup::settings(frontend.service).filter(|row| row.flags & flags::LIVE != 0);
    let Some(row) = row else {
        count(Counter::TableInconsistent);
        return Err(Refusal::NoEndpoint);
    };
    if frontend.kind == kind::LOAD_BALANCER && row.flags & flags::SOURCE_RANGES != 0 {
        let client = H::bound(ctx);
        let range = SourceRange { service: Be32::new(frontend.service), client };
        if !lookup::in_source_ranges(range) {
            return Err(Refusal::SourceRange);
        }
    }
    let local = frontend.kind == kind::CLUSTER_IP && row.flags & flags::INTERNAL_LOCAL != 0;
    let run = lookup::run(frontend.service, local).unwrap_or_default();
    if run.is_empty() {
        let elsewhere = local
            && lookup::run(frontend.service, false).is_some_and(|cluster| !cluster.is_empty());
        return Err(if elsewhere { Refusal::NoLocalEndpoint } else { Refusal::NoEndpoint });
    }
    let client = || Client::Namespace(helper::namespace_cookie(ctx));
    let list = service::list_flag(local);
    // No hash table: the client's port is not chosen yet, and no other node meets this connection.
    let draw = Draw { run, number: helper::random() };
    let chosen = service::choose(frontend.service, draw, list, client);
    chosen.ok_or(Refusal::NoEndpoint)
}
