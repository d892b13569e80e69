//! Kernel helpers, without `unsafe` at the place of use.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns, generated},
    programs::SockAddrContext,
};

/// Nanoseconds of the monotonic clock.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: takes nothing and only reads the clock.
    unsafe { bpf_ktime_get_ns() }
}

/// The kernel's tick counter, low half: the cheapest clock there is.
#[inline(always)]
pub fn jiffies() -> u32 {
    // SAFETY: takes nothing and only reads a counter.
    unsafe { generated::bpf_jiffies64() as u32 }
}

/// A random number.
#[inline(always)]
pub fn random() -> u32 {
    // SAFETY: takes nothing; the state is the kernel's own.
    unsafe { generated::bpf_get_prandom_u32() }
}

/// The cookie of a hook's socket: unique while the machine is up.
#[inline(always)]
pub fn socket_cookie(ctx: &SockAddrContext) -> u64 {
    // SAFETY: the context the kernel handed to this very program.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}

/// The cookie of the network namespace of a hook's socket.
#[inline(always)]
pub fn namespace_cookie(ctx: &SockAddrContext) -> u64 {
    // SAFETY: the context the kernel handed to this very program.
    unsafe { generated::bpf_get_netns_cookie(ctx.as_ptr()) }
}

/// Makes a refused socket call fail with `errno` instead of EPERM.
#[inline(always)]
pub fn set_errno(errno: i32) {
    // SAFETY: takes a number; allowed in socket hooks of kernels that have it, and the caller asks
    // `settings` for that.
    unsafe { generated::bpf_set_retval(-errno) };
}
