//! Reading and writing the address in a socket hook's context.
//!
//! Every access is one volatile 32-bit word: the kernel refuses wider or narrower ones, which the
//! compiler would otherwise make.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::{bindings::bpf_sock, programs::SockAddrContext};
use lb_common::{Address, Be16, Be32};

/// The family of a hook, which says where its context keeps addresses.
pub trait HookFamily {
    /// The address the call names, or the packet came from.
    fn address(ctx: &SockAddrContext) -> Address;

    /// Replaces it.
    fn set_address(ctx: &SockAddrContext, address: Address);

    /// The address the socket is bound to; unspecified if it is not.
    fn bound(ctx: &SockAddrContext) -> Address;
}

/// A hook of IPv4 sockets.
pub struct Inet;

/// A hook of IPv6 sockets, which also reach IPv4 by mapped addresses.
pub struct Inet6;

impl HookFamily for Inet {
    #[inline(always)]
    fn address(ctx: &SockAddrContext) -> Address {
        // SAFETY: a field of the context the kernel handed to this very program.
        let raw = unsafe { read_volatile(&raw const (*ctx.sock_addr).user_ip4) };
        Address::from_v4(Be32::from_wire(raw))
    }

    #[inline(always)]
    fn set_address(ctx: &SockAddrContext, address: Address) {
        let [_, _, _, last] = address.0;
        // SAFETY: as in `address`, and the hook may write the field.
        unsafe { write_volatile(&raw mut (*ctx.sock_addr).user_ip4, last.wire()) };
    }

    #[inline(always)]
    fn bound(ctx: &SockAddrContext) -> Address {
        let Some(socket) = socket(ctx) else { return Address::default() };
        // SAFETY: a field of the hook's socket, which is not null.
        let raw = unsafe { read_volatile(&raw const (*socket).src_ip4) };
        Address::from_v4(Be32::from_wire(raw))
    }
}

impl HookFamily for Inet6 {
    #[inline(always)]
    fn address(ctx: &SockAddrContext) -> Address {
        // SAFETY: words of a field of the context the kernel handed to this very program.
        unsafe { four_words((&raw const (*ctx.sock_addr).user_ip6).cast()) }
    }

    #[inline(always)]
    fn set_address(ctx: &SockAddrContext, address: Address) {
        let [a, b, c, d] = address.0;
        // SAFETY: as in `address`, and the hook may write the field.
        unsafe {
            let words = (&raw mut (*ctx.sock_addr).user_ip6).cast::<u32>();
            write_volatile(words, a.wire());
            write_volatile(words.add(1), b.wire());
            write_volatile(words.add(2), c.wire());
            write_volatile(words.add(3), d.wire());
        }
    }

    #[inline(always)]
    fn bound(ctx: &SockAddrContext) -> Address {
        let Some(socket) = socket(ctx) else { return Address::default() };
        // SAFETY: words of a field of the hook's socket, which is not null.
        unsafe { four_words((&raw const (*socket).src_ip6).cast()) }
    }
}

/// The hook's socket.
#[inline(always)]
fn socket(ctx: &SockAddrContext) -> Option<*mut bpf_sock> {
    // SAFETY: a field of the context the kernel handed to this very program.
    let socket = unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk };
    (!socket.is_null()).then_some(socket)
}

/// An IPv6 address, word by word.
///
/// # Safety
///
/// `words` points to an address field of the context or of its socket.
#[inline(always)]
unsafe fn four_words(words: *const u32) -> Address {
    // SAFETY: four words, as the caller says.
    unsafe {
        Address([
            Be32::from_wire(read_volatile(words)),
            Be32::from_wire(read_volatile(words.add(1))),
            Be32::from_wire(read_volatile(words.add(2))),
            Be32::from_wire(read_volatile(words.add(3))),
        ])
    }
}

/// The port the call names, or the packet came from.
#[inline(always)]
pub fn port(ctx: &SockAddrContext) -> Be16 {
    // SAFETY: a field of the context the kernel handed to this very program.
    let raw = unsafe { read_volatile(&raw const (*ctx.sock_addr).user_port) };
    Be16::from_wire(raw as u16)
}

/// Replaces it.
#[inline(always)]
pub fn set_port(ctx: &SockAddrContext, port: Be16) {
    // SAFETY: as in `port`, and the hook may write the field.
    unsafe { write_volatile(&raw mut (*ctx.sock_addr).user_port, u32::from(port.wire())) };
}

/// The transport protocol of the socket.
#[inline(always)]
pub fn protocol(ctx: &SockAddrContext) -> u8 {
    // SAFETY: a field of the context the kernel handed to this very program.
    unsafe { read_volatile(&raw const (*ctx.sock_addr).protocol) as u8 }
}
