//! What is written before what. The reasons are told in the room's opening.

use super::Op;

/// Steps of a plan, first to last. Within a phase, the order is that of planning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(super) enum Phase {
    /// Rows and backends released since the last plan are cleared. First, because this very plan
    /// may give their places away.
    Clear,
    /// Frontends that nobody answers on any more: what goes is cut off at the near end. Before
    /// any is added, so that the table never holds more than before or after the plan.
    RemoveFrontends,
    /// New backends.
    Backends,
    /// Slots that name them.
    Slots,
    /// Names of new rows.
    Names,
    /// Client networks, before a row begins to ask for them.
    AdmitRanges,
    /// New rows, whole.
    Rows,
    /// What clients remember of backends that return to a list, before any list may admit them
    /// again, or before a row begins to ask for memories.
    Memberships,
    /// Settings of rows that have a local list already: if they stop using it, this must happen
    /// before the list is emptied.
    Settings,
    /// Flags of backends, before the list that agrees with them is published: affinity and UDP
    /// stickiness end no later than the list.
    Flags,
    /// The lists.
    Publish,
    /// Weights of backends, after the lists that are made by them: a row that says so is in lists
    /// made so, for the next agent too.
    Weights,
    /// Settings of rows that begin to use a local list, which is there only now.
    LateSettings,
    /// Frontends, new or changing hands: everything they lead to is in place.
    Frontends,
    /// Client networks, after rows have ceased to ask for them.
    RevokeRanges,
    /// Flags of the backends of services that are gone: no frontend leads here any more.
    Farewell,
}

const PHASES: usize = Phase::Farewell as usize + 1;

/// Operations by phase.
#[derive(Debug, Default)]
pub(super) struct Steps([Vec<Op>; PHASES]);

/// How far each phase had come.
#[derive(Debug)]
pub(super) struct Mark([usize; PHASES]);

impl Steps {
    pub(super) fn push(&mut self, phase: Phase, op: Op) {
        self.0[phase as usize].push(op);
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(std::array::from_fn(|phase| self.0[phase].len()))
    }

    /// Takes back everything since the mark was made.
    pub(super) fn undo(&mut self, Mark(lengths): Mark) {
        for (ops, length) in self.0.iter_mut().zip(lengths) {
            ops.truncate(length);
        }
    }

    pub(super) fn into_ops(self) -> Vec<Op> {
        let mut ops = Vec::with_capacity(self.0.iter().map(Vec::len).sum());
        ops.extend(self.0.into_iter().flatten());
        ops
    }
}
