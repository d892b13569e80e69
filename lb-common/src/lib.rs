//! The border: everything the kernel programs and the agent must agree on.
//!
//! Two rules hold for every type here.
//!
//! * **Byte order is in the type.** What travels in network order is a [`Be16`], a [`Be32`] or an
//!   [`Address`]; a bare integer is in host order.
//! * **A layout change is a version change.** Every type that goes through a map is `repr(C)`, has
//!   no implicit padding and is listed in [`layout`], where size and alignment are asserted when
//!   compiling; `tests/layout_golden.rs` fails until [`layout::LAYOUT_VERSION`] moves with it.
#![no_std]

mod address;
pub mod affinity;
pub mod backend;
pub mod counter;
pub mod device;
mod endian;
pub mod flow;
pub mod fragment;
pub mod frontend;
pub mod layout;
pub mod limits;
pub mod names;
pub mod pool;
mod protocol;
pub mod run;
pub mod select;
pub mod service;
pub mod settings;
pub mod socket;
pub mod source_range;
pub mod vip;

pub use address::{Address, Family, Ipv4, Ipv6, V4, V6};
pub use endian::{Be16, Be32};
pub use protocol::Protocol;
