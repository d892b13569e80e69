//! The backends of one row, its two lists, and their hash tables.

use std::{
    cmp::Ordering,
    net::{IpAddr, SocketAddr},
};

use lb_common::{
    Be16, Protocol,
    backend::{self, flags},
    run::Run,
};

use super::{
    List, Op,
    allot::Extent,
    capacity::Full,
    order::Phase,
    room::Draft,
    slots::{self, Share},
    tables,
};
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
    /// The hash tables that name it, as the flags of their lists.
    pub(super) hashed: u16,
    /// Its weight in all of these.
    pub(super) weight: u16,
    /// Counts its returns to the lists.
    pub(super) membership: u16,
}

/// The flags of a backend that is in a list.
const IN_A_LIST: u16 = flags::IN_CLUSTER | flags::IN_LOCAL;

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
            Self::Cluster | Self::ClusterHashed => flags::IN_CLUSTER,
            Self::Local | Self::LocalHashed => flags::IN_LOCAL,
        }
    }

    /// Whether it is a hash table.
    pub(super) fn is_hashed(self) -> bool {
        matches!(self, Self::ClusterHashed | Self::LocalHashed)
    }

    fn names(self, member: &Member) -> bool {
        let named = if self.is_hashed() { member.hashed } else { member.lists };
        named & self.flag() != 0
    }
}

/// Gives each wanted backend a row, keeping those it has, and bids the others farewell. The answer
/// is sorted by address and port, as `old` must be. With `forget`, nobody's memory of any counts.
pub(super) fn place(
    draft: &mut Draft<'_>,
    service: u32,
    port: &ServicePort,
    old: &[Member],
    forget: bool,
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
            Some(member) => keep(draft, member, backend, forget),
            // Who finds no room is withdrawn, and then all of them are new.
            None => join(draft, service, port.id.protocol, backend)
                .map_err(|full| Full { length: wanted.len() as u32, ..full })?,
        });
    }
    old.for_each(|gone| part(draft, Phase::Flags, port.id.protocol, gone));
    for (wanted, list) in [(port.hash_cluster, List::Cluster), (port.hash_local, List::Local)] {
        if wanted && slots::worth_hashing(&shares(list, &members)) {
            members.iter_mut().for_each(|member| member.hashed |= member.lists & list.flag());
        }
    }
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

/// The run of a list, or of its hash table, over these members, in a stretch of its own; `run` if
/// it names them already. Where there is no room for a hash table, there is none.
pub(super) fn run(
    draft: &mut Draft<'_>,
    list: List,
    run: Run,
    old: &[Member],
    new: &mut [Member],
) -> Result<Run, Full> {
    let shares = shares(list, new);
    if shares.is_empty() == run.is_empty() && shares == self::shares(list, old) {
        return Ok(run);
    }
    let place = if list.is_hashed() {
        let size = slots::table_size(shares.len());
        let place = if shares.is_empty() { None } else { draft.table_slots(size, run.length()) };
        if place.is_none() {
            new.iter_mut().for_each(|member| member.hashed &= !list.flag());
        }
        place.map(|extent| (extent, slots::table(&shares)))
    } else if shares.is_empty() {
        None
    } else {
        let backends = slots::list(&shares);
        let length = backends.len() as u32;
        if length > Run::LONGEST {
            return Err(Full::new("SLOTS (one run)", Run::LONGEST, length));
        }
        Some((draft.slots(length)?, backends))
    };
    draft.outcome.retired.slots.extend(extent(run));
    Ok(match place {
        Some((Extent { offset, length }, backends)) => {
            draft.push(Phase::Slots, Op::WriteSlots { offset, backends });
            Run::new(offset, length, run.generation().wrapping_add(1))
        }
        None if run.is_empty() => run,
        None => Run::new(0, 0, run.generation().wrapping_add(1)),
    })
}

/// What a list is made of.
pub(super) fn shares(list: List, members: &[Member]) -> Vec<Share> {
    let named = members.iter().filter(|member| list.names(member));
    let share = |member: &Member| Share {
        index: member.index,
        weight: member.weight,
        address: member.socket_address(),
    };
    named.map(share).collect()
}

/// The stretch a run covers, if any.
pub(super) fn extent(run: Run) -> Option<Extent> {
    (!run.is_empty()).then(|| Extent { offset: run.offset(), length: run.length() })
}

fn key(backend: &Backend) -> (IpAddr, u16) {
    (backend.address, backend.port)
}

fn keep(draft: &mut Draft<'_>, member: &Member, wanted: &Backend, forget: bool) -> Member {
    let (index, weight) = (member.index, wanted.weight);
    let flags = tables::backend_flags(wanted);
    let lists = flags & IN_A_LIST;
    let returns = lists != 0 && member.flags & IN_A_LIST == 0;
    let mut membership = member.membership;
    if returns || forget {
        membership = membership.wrapping_add(1);
        draft.push(Phase::Memberships, Op::SetBackendMembership { index, membership });
    }
    if flags != member.flags {
        draft.push(Phase::Flags, Op::SetBackendFlags { index, flags });
    }
    if weight != member.weight {
        draft.push(Phase::Weights, Op::SetBackendWeight { index, weight });
    }
    Member { flags, lists, hashed: 0, weight, membership, ..member.clone() }
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
        weight: wanted.weight,
        membership: 0,
    };
    draft.push(Phase::Backends, Op::PutBackend { index, backend });
    let member = Member {
        address: wanted.address,
        port: wanted.port,
        index,
        flags,
        lists: flags & IN_A_LIST,
        hashed: 0,
        weight: wanted.weight,
        membership: 0,
    };
    if protocol == Protocol::Udp {
        draft.outcome.joined.push(member.socket_address());
    }
    Ok(member)
}
