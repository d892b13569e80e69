//! Programs to hold ours against: one that does nothing, at XDP and at tc, and one at XDP that does
//! what any load balancer must: read addresses and ports, swap the Ethernet addresses, send the
//! frame back.

use anyhow::Result;

use crate::raw::{
    BYTE, EXIT, HALF, IPV4, IPV6, Instruction, LONG, Raw, TC_ACT_UNSPEC, TCP, WORD, XDP_PASS,
    XDP_TX, add, copy, jump, jump_if_equal, jump_if_greater, jump_unless_equal, load, set, store,
};

/// Does nothing at XDP.
pub fn empty_xdp() -> Result<Raw> {
    Raw::at_xdp(&[set(0, XDP_PASS), EXIT])
}

/// Does nothing at tc.
pub fn empty_tc() -> Result<Raw> {
    Raw::at_tc(&[set(0, TC_ACT_UNSPEC), EXIT])
}

/// Reads the 5-tuple of a TCP packet of either family and sends the frame back.
pub fn parse_and_send() -> Result<Raw> {
    Raw::at_xdp(&PARSE_AND_SEND)
}

/// Register 1 is the context, 2 the frame, 3 its end. Loads whose value nobody uses are executed
/// all the same: the kernel removes only code that cannot be reached.
const PARSE_AND_SEND: [Instruction; 36] = [
    load(WORD, 2, 1, 0),
    load(WORD, 3, 1, 4),
    copy(4, 2),
    add(4, 14 + 20 + 20),
    jump_if_greater(4, 3, 29),
    load(HALF, 5, 2, 12),
    jump_if_equal(5, IPV6, 7),
    jump_unless_equal(5, IPV4, 26),
    load(BYTE, 5, 2, 14 + 9),
    jump_unless_equal(5, TCP, 24),
    load(WORD, 5, 2, 14 + 12),
    load(WORD, 5, 2, 14 + 16),
    load(WORD, 5, 2, 14 + 20),
    jump(10),
    // IPv6:
    copy(4, 2),
    add(4, 14 + 40 + 20),
    jump_if_greater(4, 3, 17),
    load(BYTE, 5, 2, 14 + 6),
    jump_unless_equal(5, TCP, 15),
    load(LONG, 5, 2, 14 + 8),
    load(LONG, 5, 2, 14 + 16),
    load(LONG, 5, 2, 14 + 24),
    load(LONG, 5, 2, 14 + 32),
    load(WORD, 5, 2, 14 + 40),
    // Swap and send:
    load(WORD, 5, 2, 0),
    load(HALF, 6, 2, 4),
    load(WORD, 7, 2, 6),
    load(HALF, 8, 2, 10),
    store(WORD, 2, 0, 7),
    store(HALF, 2, 4, 8),
    store(WORD, 2, 6, 5),
    store(HALF, 2, 10, 6),
    set(0, XDP_TX),
    EXIT,
    // Not for us:
    set(0, XDP_PASS),
    EXIT,
];
