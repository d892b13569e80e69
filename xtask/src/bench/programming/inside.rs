//! What lb-userspace/benches/measure/programming.rs finds.

use anyhow::Result;
use serde::Deserialize;

use super::super::programs::Programs;

/// How much is to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Services.
    pub services: u32,
    /// Endpoints of each.
    pub endpoints: u32,
    /// How often everything is loaded.
    pub loads: u32,
    /// Changes of one endpoint.
    pub changes: u32,
    /// Comparisons of the tables with what was written.
    pub audits: u32,
}

/// Samples; times are in nanoseconds.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Found {
    /// Making programs and empty tables.
    pub creation: Vec<f64>,
    /// Loading everything.
    pub load: Passes,
    /// Changing an endpoint.
    pub change: Passes,
    /// Comparing the tables with what was written.
    pub audit: Audits,
    /// What the kernel accounts for tables.
    pub tables: Tables,
}

/// Ways of pictures into the tables.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Passes {
    pub model: Vec<f64>,
    pub plan: Vec<f64>,
    pub write: Vec<f64>,
    pub total: Vec<f64>,
    /// Operations of each.
    pub ops: Vec<f64>,
    /// Those of them that take a system call.
    pub calls: Vec<f64>,
}

/// Comparisons of the tables with what was written.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Audits {
    /// Of all rows, which are cut into portions.
    pub rows: Vec<f64>,
    /// Of the entries of hash tables, which is one portion.
    pub entries: Vec<f64>,
}

/// The tables before and after everything was loaded.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Tables {
    pub empty: Vec<Table>,
    pub full: Vec<Table>,
}

/// A table.
#[derive(Clone, Debug, Deserialize)]
pub struct Table {
    pub name: String,
    /// Whether the agent fills it.
    pub planned: bool,
    /// How many entries it has room for.
    pub entries: f64,
    /// What the kernel accounts for it.
    pub bytes: f64,
}

impl Found {
    /// Measures.
    pub fn of(programs: &Programs, extent: Extent) -> Result<Self> {
        let Extent { services, endpoints, loads, changes, audits } = extent;
        let settings = [
            ("services", services),
            ("endpoints", endpoints),
            ("loads", loads),
            ("changes", changes),
            ("audits", audits),
        ];
        let settings = settings.map(|(name, value)| format!("--{name}={value}"));
        programs.measure(&[vec!["programming".to_owned()], settings.to_vec()].concat())
    }

    /// Takes another round in.
    pub fn absorb(&mut self, round: Self) {
        self.creation.extend(round.creation);
        self.load.absorb(round.load);
        self.change.absorb(round.change);
        self.audit.rows.extend(round.audit.rows);
        self.audit.entries.extend(round.audit.entries);
        self.tables = round.tables;
    }
}

impl Passes {
    fn absorb(&mut self, round: Self) {
        let Self { model, plan, write, total, ops, calls } = self;
        model.extend(round.model);
        plan.extend(round.plan);
        write.extend(round.write);
        total.extend(round.total);
        ops.extend(round.ops);
        calls.extend(round.calls);
    }
}
