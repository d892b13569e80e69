//! Floods and full tables: who is connected stays so.

use lb_common::{Protocol, counter::Counter, limits};
use lb_userspace::kernel::Sizes;

use crate::{
    caller::Caller,
    frame::Tcp,
    rig::{At, Fate, Rig},
};

#[test]
fn a_flood_of_first_packets_cuts_nobody() {
    const FLOWS: u32 = 1 << 13;
    const CONNECTED: u16 = 1_000;
    let mut rig = Rig::with(0, Sizes { flows: FLOWS, ..Sizes::default() });
    for hook in [At::Xdp, At::TcIngress] {
        let [parties, _] = rig.families();
        let caller = Caller::program(&mut rig, &parties, hook, Protocol::Tcp);
        let connected: Vec<_> = (10_000..10_000 + CONNECTED)
            .map(|source_port| caller.from(source_port))
            .map(|caller| (caller, caller.connects(&mut rig)))
            .collect();
        let before = rig.count(Counter::FlowEvicted);
        let flood = 4 * limits::provisional(FLOWS) as u16;
        for source_port in 40_000..40_000 + flood {
            let flooder = caller.from(source_port);
            let ours = flooder.reaches(&mut rig, Tcp::Syn);
            // The backend answers whoever is named, and nobody there goes on.
            flooder.is_answered(&mut rig, ours, Tcp::SynAck);
        }
        assert!(rig.count(Counter::FlowEvicted) - before > u64::from(flood) / 2);
        for (caller, ours) in &connected {
            assert_eq!(caller.reaches(&mut rig, Tcp::Ack), *ours);
            caller.is_answered(&mut rig, *ours, Tcp::Ack);
        }
        assert_eq!(rig.halves(), 0);
        assert_eq!(rig.count(Counter::DropFlowTable), 0);
    }
}

#[test]
fn a_full_table_refuses_new_flows_and_keeps_the_others() {
    const FLOWS: u32 = 128;
    let mut rig = Rig::with(0, Sizes { flows: FLOWS, ..Sizes::default() });
    for (parties, hook) in rig.families().into_iter().zip([At::Xdp, At::TcIngress]) {
        let caller = Caller::program(&mut rig, &parties, hook, Protocol::Tcp);
        let before = rig.count(Counter::DropFlowTable);
        let connected: Vec<_> = (41_000..41_000 + FLOWS as u16 / 2)
            .map(|source_port| caller.from(source_port))
            .map(|caller| (caller, caller.connects(&mut rig)))
            .collect();
        for source_port in 42_000..42_010 {
            assert_eq!(caller.from(source_port).says(&mut rig, Tcp::Syn).fate, Fate::Dropped);
        }
        assert_eq!(rig.count(Counter::DropFlowTable) - before, 10);
        for (caller, ours) in &connected {
            assert_eq!(caller.reaches(&mut rig, Tcp::Ack), *ours);
            caller.is_answered(&mut rig, *ours, Tcp::Ack);
        }
        // One that closes makes room, at once if need be.
        let (first, ours) = connected[0];
        first.closes(&mut rig, ours);
        rig.rest(2);
        let fates: Vec<_> =
            (0..8).map(|_| caller.from(43_000).says(&mut rig, Tcp::Syn).fate).collect();
        assert!(fates.contains(&Fate::Sent), "{fates:?}");
        assert_eq!(rig.halves(), 0);
    }
}
