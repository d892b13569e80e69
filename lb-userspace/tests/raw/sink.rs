//! Where packets end: a program at XDP that drops every datagram, or sends it back to who sent it,
//! without the host behind it hearing of it. All else is for the host.

use anyhow::Result;
use aya::programs::XdpMode;
use lb_testbed::Netns;

use super::{
    BYTE, EXIT, HALF, IPV4, IPV6, Instruction, LONG, REDIRECT, Raw, UDP, WORD, XDP_DROP, XDP_PASS,
    add, call, copy, jump_if_greater, jump_unless_equal, load, set, store,
};

/// What becomes of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Dropped,
    Answered,
}

/// Puts a sink on a device of a namespace; it is gone with the value.
pub fn put(netns: &Netns, device: &str, fate: Fate) -> Result<Raw> {
    let mut program = Raw::at_xdp(&program(fate))?;
    let attach = || Ok(program.xdp_mut().map(|xdp| xdp.attach(device, XdpMode::Driver)));
    netns.enter(attach)???;
    Ok(program)
}

/// Register 2 is the frame, 3 its end, 6 the context.
fn program(fate: Fate) -> Vec<Instruction> {
    let [v4, v6] = [true, false].map(|is_v4| family(is_v4, fate));
    let mut program = vec![
        copy(6, 1),
        load(WORD, 2, 1, 0),
        load(WORD, 3, 1, 4),
        copy(4, 2),
        add(4, 14 + 20 + 8),
        jump_if_greater(4, 3, 1 + 1 + v4.len() as i16 + 1 + v6.len() as i16),
        load(HALF, 5, 2, 12),
        jump_unless_equal(5, IPV4, v4.len() as i16),
    ];
    program.extend(&v4);
    program.push(jump_unless_equal(5, IPV6, v6.len() as i16));
    program.extend(&v6);
    program.extend([set(0, XDP_PASS), EXIT]);
    program
}

/// Ends the program if the packet is a datagram.
fn family(is_v4: bool, fate: Fate) -> Vec<Instruction> {
    let (protocol, transport) = if is_v4 { (14 + 9, 14 + 20) } else { (14 + 6, 14 + 40) };
    let addresses = if is_v4 { &[(WORD, 26, 30)][..] } else { &[(LONG, 22, 38), (LONG, 30, 46)] };
    let mut body = match fate {
        Fate::Dropped => vec![set(0, XDP_DROP)],
        Fate::Answered => {
            let ethernet = [(WORD, 0, 6), (HALF, 4, 10), (HALF, transport, transport + 2)];
            let fields = ethernet.iter().chain(addresses);
            let mut body: Vec<Instruction> = fields.flat_map(|field| exchange(*field)).collect();
            body.extend([load(WORD, 1, 6, 12), set(2, 0), call(REDIRECT)]);
            body
        }
    };
    body.push(EXIT);
    let mut all = Vec::new();
    if !is_v4 {
        let left = body.len() as i16 + 2;
        all.extend([copy(4, 2), add(4, 14 + 40 + 8), jump_if_greater(4, 3, left)]);
    }
    all.extend([load(BYTE, 4, 2, protocol), jump_unless_equal(4, UDP, body.len() as i16)]);
    all.extend(body);
    all
}

/// Swaps two fields of a frame.
fn exchange((size, one, other): (u8, i16, i16)) -> [Instruction; 4] {
    [
        load(size, 4, 2, one),
        load(size, 5, 2, other),
        store(size, 2, one, 5),
        store(size, 2, other, 4),
    ]
}
