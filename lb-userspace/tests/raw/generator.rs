//! A generator of packets inside the kernel: one program, run on live frames, writes each of them
//! anew, with another source, and sends it out of a device. (`BPF_PROG_TEST_RUN` with
//! `BPF_F_TEST_XDP_LIVE_FRAMES`, kernel 5.18.) Anew, as the kernel uses a frame again when it is
//! through with it, the way it looks then.
//!
//! No checksum is computed. Whatever sixteen bits are put in for a source port, their complement is
//! put somewhere else under the same checksum, so that the sum stays: into the sequence number of
//! TCP, into the data of UDP. The same goes for the lower sixteen bits of the source address, whose
//! complement IPv4 wants in its own header as well: as the identification.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use anyhow::{Context as _, Result};
use aya::{TestRun as _, TestRunAttrs, TestRunOptions};
use etherparse::{IpHeaders, Ipv4Header, PacketBuilder, PacketBuilderStep};
use lb_common::Protocol;
use lb_testbed::Netns;

use super::{
    EXIT, HALF, Instruction, RANDOM, REDIRECT, Raw, WORD, XDP_DROP, add, and, call, copy,
    exclusive_or, jump_if_greater, load, multiply, network_order, set, shift_right, store, write,
};

const ETHERNET: usize = 14;
/// Frames that the kernel sends together.
const BATCH: u32 = 64;

/// What frames look like, and where they go.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'n, 'd> {
    /// The namespace they are made in.
    pub from: &'n Netns,
    /// The device there that they leave by.
    pub device: &'d str,
    /// The Ethernet address of who is to take them.
    pub neighbour: [u8; 6],
    /// TCP: first packets of connections; UDP: datagrams.
    pub protocol: Protocol,
    /// The first sixteen bits of the source's lower half are given by [`Sources`].
    pub source: IpAddr,
    pub to: SocketAddr,
    pub sources: Sources,
}

/// Which sources the frames are to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sources {
    /// Any port, and any lower sixteen bits of the address.
    All,
    /// So many, from this one on.
    Some { first: u32, count: u32 },
}

impl Sources {
    /// Ports of one address are so many, two to the power of this; and the first of them.
    const PORT_BITS: u32 = 14;
    const FIRST_PORT: i32 = 1_024;

    /// As many sources in parts of which none has more than one address.
    pub fn parts(count: u32) -> impl Iterator<Item = Self> {
        let most = 1 << Self::PORT_BITS;
        (0..count)
            .step_by(most as usize)
            .map(move |first| Self::Some { first, count: most.min(count - first) })
    }

    /// Register 0 from a random number to the number of a source. Bits of the port, its first, and
    /// the address's first.
    fn number(self) -> (Vec<Instruction>, u32, i32, i32) {
        match self {
            Self::All => (Vec::new(), u16::BITS, 0, 0),
            Self::Some { first, count } => {
                let draw =
                    vec![multiply(0, count as i32), shift_right(0, 32), add(0, first as i32)];
                (draw, Self::PORT_BITS, Self::FIRST_PORT, 0)
            }
        }
    }
}

/// See the module.
pub struct Generator<'n> {
    program: Raw,
    frame: Vec<u8>,
    from: &'n Netns,
}

impl<'n> Generator<'n> {
    /// Ready to go.
    pub fn new(frames: &Frames<'n, '_>) -> Result<Self> {
        let frame = frames.first();
        let device = frames.device;
        let ifindex = frames.from.enter(|| Ok(nix::net::if_::if_nametoindex(device)))??;
        let places = Places::of(frames.source.is_ipv4(), frames.protocol);
        let program = Raw::at_xdp(&places.program(frames.sources, ifindex, &frame))?;
        Ok(Self { program, frame, from: frames.from })
    }

    /// Sends so many frames, as fast as it goes, and tells how many seconds that took.
    pub fn send(&self, frames: u32) -> Result<f64> {
        let program = self.program.xdp()?;
        let sent = self.from.enter(|| {
            let begun = Instant::now();
            let options = TestRunOptions {
                data_in: Some(&self.frame),
                repeat: frames,
                attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                ..Default::default()
            };
            Ok(program.test_run(options).map(|_| begun.elapsed().as_secs_f64()))
        });
        sent?.context("cannot send live frames")
    }

    /// One of the frames that it sends.
    pub fn sample(&self) -> Result<Vec<u8>> {
        let mut frame = vec![0; self.frame.len()];
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            data_out: Some(&mut frame),
            ..Default::default()
        };
        self.program.xdp()?.test_run(options)?;
        Ok(frame)
    }
}

impl Frames<'_, '_> {
    /// The frame that the others are made of: port and lower address are zero, what stands for
    /// their complements all ones.
    fn first(&self) -> Vec<u8> {
        const ONES: u32 = u32::MAX;
        let source = cleared(self.source);
        let step = ip(self.neighbour, source, self.to.ip());
        let mut frame = Vec::new();
        let written = match self.protocol {
            Protocol::Tcp => step.tcp(0, self.to.port(), ONES, 64_000).syn().write(&mut frame, &[]),
            _ => step.udp(0, self.to.port()).write(&mut frame, &[0xff; 12]),
        };
        // Into memory, of two addresses of one family: what is left to fail?
        written.unwrap_or_else(|error| panic!("{error}"));
        if source.is_ipv4() {
            frame[ETHERNET + 4..ETHERNET + 6].fill(0xff);
            let (header, _) = Ipv4Header::from_slice(&frame[ETHERNET..])
                .unwrap_or_else(|error| panic!("{error}"));
            let checksum = header.calc_header_checksum().to_be_bytes();
            frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&checksum);
        }
        frame
    }
}

fn ip(neighbour: [u8; 6], from: IpAddr, to: IpAddr) -> PacketBuilderStep<IpHeaders> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], neighbour);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
        _ => panic!("two families"),
    }
}

/// An address whose lower sixteen bits are zero.
fn cleared(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) & !0xffff).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !0xffff).into()),
    }
}

/// Where in a frame what is put in belongs.
struct Places {
    port: i16,
    port_complement: i16,
    address: i16,
    address_complements: Vec<i16>,
}

impl Places {
    fn of(is_v4: bool, protocol: Protocol) -> Self {
        // The source address ends there, and the transport header begins.
        let (address, transport) = if is_v4 { (14 + 16, 14 + 20) } else { (14 + 24, 14 + 40) };
        let complements = transport + if protocol == Protocol::Tcp { 4 } else { 8 };
        let identification = is_v4.then_some(14 + 4);
        let address_complements = [Some(complements + 2), identification];
        Self {
            port: transport,
            port_complement: complements,
            address: address - 2,
            address_complements: address_complements.into_iter().flatten().collect(),
        }
    }

    /// Register 7 is the frame; 0 becomes the number of a source.
    fn program(&self, sources: Sources, ifindex: u32, frame: &[u8]) -> Vec<Instruction> {
        let (number, port_bits, first_port, first_address) = sources.number();
        let mut body: Vec<Instruction> = frame
            .chunks(4)
            .enumerate()
            .map(|(word, bytes)| match *bytes {
                [a, b, c, d] => write(WORD, 7, 4 * word as i16, i32::from_le_bytes([a, b, c, d])),
                [a, b] => write(HALF, 7, 4 * word as i16, i32::from(u16::from_le_bytes([a, b]))),
                _ => unreachable!("headers and data have an even length"),
            })
            .collect();
        body.push(call(RANDOM));
        body.extend(number);
        body.extend([
            copy(2, 0),
            and(2, (1 << port_bits) - 1),
            add(2, first_port),
            network_order(2),
            store(HALF, 7, self.port, 2),
            exclusive_or(2, 0xffff),
            store(HALF, 7, self.port_complement, 2),
            shift_right(0, port_bits as i32),
            add(0, first_address),
            network_order(0),
            store(HALF, 7, self.address, 0),
            exclusive_or(0, 0xffff),
        ]);
        body.extend(self.address_complements.iter().map(|place| store(HALF, 7, *place, 0)));
        body.extend([set(1, ifindex as i32), set(2, 0), call(REDIRECT), EXIT]);
        let mut program = vec![
            load(WORD, 7, 1, 0),
            load(WORD, 3, 1, 4),
            copy(4, 7),
            add(4, frame.len() as i32),
            jump_if_greater(4, 3, body.len() as i16),
        ];
        program.extend(body);
        program.extend([set(0, XDP_DROP), EXIT]);
        program
    }
}
