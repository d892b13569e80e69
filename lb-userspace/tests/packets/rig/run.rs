//! A program that runs on a packet, and what came of it.

use aya::{
    TestRun, TestRunOptions,
    programs::{Program, SchedClassifier, Xdp},
};
use lb_common::names;
use lb_userspace::kernel::Programs;

/// Which program a packet goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    Xdp,
    TcIngress,
    TcEgress,
    /// tc ingress of the device that the near pod is behind.
    FromPod,
    /// tc egress of it.
    ToPod,
    /// tc ingress of the pods' bridge, with the program for what they answer.
    Reply,
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// On to whoever comes next.
    Pass,
    /// Out of a device.
    Sent,
    /// Gone.
    Dropped,
}

/// A packet that went through a program.
#[derive(PartialEq, Eq, Debug)]
pub struct Outcome {
    pub fate: Fate,
    pub bytes: Vec<u8>,
}

/// The program at XDP.
pub fn xdp(programs: &mut Programs) -> &mut Xdp {
    program(programs, names::XDP_INGRESS).try_into().unwrap()
}

/// A program at tc, by its name.
pub fn classifier<'a>(programs: &'a mut Programs, name: &str) -> &'a mut SchedClassifier {
    program(programs, name).try_into().unwrap()
}

fn program<'a>(programs: &'a mut Programs, name: &str) -> &'a mut Program {
    programs.object().program_mut(name).unwrap()
}

/// struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
pub fn xdp_context(ifindex: u32, packet: &[u8]) -> Vec<u8> {
    [0, packet.len() as u32, 0, ifindex, 0, 0].map(u32::to_ne_bytes).concat()
}

/// struct __sk_buff, in which only the device may be set.
pub fn tc_context(ifindex: u32) -> Vec<u8> {
    let mut context = vec![0; 192];
    context[40..44].copy_from_slice(&ifindex.to_ne_bytes());
    context
}

pub fn run_xdp(program: &Xdp, ifindex: u32, packet: &[u8]) -> Outcome {
    let (action, bytes) = run(program, &xdp_context(ifindex, packet), packet);
    let fate = match action {
        1 => Fate::Dropped,
        2 => Fate::Pass,
        3 | 4 => Fate::Sent,
        other => panic!("XDP action {other}"),
    };
    Outcome { fate, bytes }
}

pub fn run_tc(program: &SchedClassifier, ifindex: u32, packet: &[u8]) -> Outcome {
    let (action, bytes) = run(program, &tc_context(ifindex), packet);
    let fate = match action as i32 {
        -1 => Fate::Pass,
        2 => Fate::Dropped,
        7 => Fate::Sent,
        other => panic!("tc action {other}"),
    };
    Outcome { fate, bytes }
}

/// How much longer a packet may become: network and ICMP header.
const ROOM: usize = 48;

fn run<P>(program: &P, context: &[u8], packet: &[u8]) -> (u32, Vec<u8>)
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = aya::programs::TestRunResult>,
{
    let mut bytes = vec![0; packet.len() + ROOM];
    let result = program
        .test_run(TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut bytes),
            ctx_in: Some(context),
            ..Default::default()
        })
        .unwrap();
    bytes.truncate(result.data_size_out as usize);
    (result.return_value, bytes)
}
