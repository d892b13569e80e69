//! The backends of one row, and its two lists.

use std::{
    cmp::Ordering,
    net::{IpAddr, SocketAddr},
};

use lb_common::{
    Be16, Protocol,
    backend::{self, flags},
    run::Run,
};

use super::{List, Op, allot::Extent, capacity::Full, order::Phase, room::Draft, tables};
use crate::model::{Backend, ServicePort};

/// A backend as it stands in the tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Member {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    /// Row of `BACKENDS`.
    pub(super) index: u32,
    /// Its flags there.
    pub(super) flags: u16,
    /// The lists that name it, as [`flags::IN_CLUSTER`] and [`flags::IN_LOCAL`]. Differs from
    /// `flags` only after adopting what an interrupted agent left.
    pub(super) lists: u16,
}

impl Member {
    fn key(&self) -> (IpAddr, u16) {
        (self.address, self.port)
    }

    pub(super) fn socket_address(&self) -> SocketAddr {
        (self.address, self.port).into()
    }
}

impl List {
    /// The flag of a backend that is in this list.
    pub(super) fn flag(self) -> u16 {
        match self {
            Self::Cluster => flags::IN_CLUSTER,
            Self::Local => flags::IN_LOCAL,
        }
    }
}

/// Gives each wanted backend a row, keeping those it has, and bids the others farewell. The answer
/// is sorted by address and port, as `old` must be.
pub(super) fn place(
    draft: &mut Draft<'_>,
    service: u32,
    port: &ServicePort,
    old: &[Member],
) -> Result<Vec<Member>, Full> {
    let mut wanted = port.backends.clone();
    wanted.sort_unstable_by_key(key);
    wanted.dedup_by_key(|backend| key(backend));

    let mut members = Vec::with_capacity(wanted.len());
    let mut old = old.iter().peekable();
    for backend in &wanted {
        while let Some(gone) = old.next_if(|member| member.key() < key(backend)) {
            part(draft, Phase::Flags, port.id.protocol, gone);
        }
        let kept = old.next_if(|member| member.key().cmp(&key(backend)) == Ordering::Equal);
        members.push(match kept {
            Some(member) => keep(draft, member, backend),
            None => join(draft, service, port.id.protocol, backend)?,
        });
    }
    old.for_each(|gone| part(draft, Phase::Flags, port.id.protocol, gone));
    Ok(members)
}

/// Marks a backend that no list will name, and retires its row.
pub(super) fn part(draft: &mut Draft<'_>, phase: Phase, protocol: Protocol, member: &Member) {
    if member.flags != flags::LEAVING {
        draft.push(phase, Op::SetBackendFlags { index: member.index, flags: flags::LEAVING });
    }
    draft.outcome.retired.backends.push(member.index);
    if protocol == Protocol::Udp {
        draft.outcome.parted.push(member.socket_address());
    }
}

/// The run of a list over these members, in a stretch of its own; `run` if it names them already.
pub(super) fn list(
    draft: &mut Draft<'_>,
    list: List,
    run: Run,
    old: &[Member],
    new: &[Member],
) -> Result<Run, Full> {
    let named = |members: &[Member]| -> Vec<u32> {
        members.iter().filter(|m| m.lists & list.flag() != 0).map(|m| m.index).collect()
    };
    let backends = named(new);
    if backends == named(old) {
        return Ok(run);
    }
    if let Some(extent) = extent(run) {
        draft.outcome.retired.slots.push(extent);
    }
    let generation = run.generation().wrapping_add(1);
    let length = backends.len() as u32;
    if length == 0 {
        return Ok(Run::new(0, 0, generation));
    }
    if length > Run::LONGEST {
        return Err(Full { table: "SLOTS (one run)", size: Run::LONGEST });
    }
    let extent = draft.slots(length)?;
    draft.push(Phase::Slots, Op::WriteSlots { offset: extent.offset, backends });
    Ok(Run::new(extent.offset, length, generation))
}

/// The stretch a run covers, if any.
pub(super) fn extent(run: Run) -> Option<Extent> {
    (!run.is_empty()).then(|| Extent { offset: run.offset(), length: run.length() })
}

fn key(backend: &Backend) -> (IpAddr, u16) {
    (backend.address, backend.port)
}

fn keep(draft: &mut Draft<'_>, member: &Member, wanted: &Backend) -> Member {
    let flags = tables::backend_flags(wanted);
    if flags != member.flags {
        draft.push(Phase::Flags, Op::SetBackendFlags { index: member.index, flags });
    }
    Member { flags, lists: lists(flags), ..member.clone() }
}

fn join(
    draft: &mut Draft<'_>,
    service: u32,
    protocol: Protocol,
    wanted: &Backend,
) -> Result<Member, Full> {
    let (index, generation) = draft.backend()?;
    let flags = tables::backend_flags(wanted);
    let backend = backend::Backend {
        address: wanted.address.into(),
        port: Be16::new(wanted.port),
        flags,
        generation,
        service,
        pad: 0,
    };
    draft.push(Phase::Backends, Op::PutBackend { index, backend });
    let member =
        Member { address: wanted.address, port: wanted.port, index, flags, lists: lists(flags) };
    if protocol == Protocol::Udp {
        draft.outcome.joined.push(member.socket_address());
    }
    Ok(member)
}

fn lists(backend_flags: u16) -> u16 {
    backend_flags & (flags::IN_CLUSTER | flags::IN_LOCAL)
}
