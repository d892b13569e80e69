//! What was found, as tables, drawings and budgets.

use lb_testbed::{Loaded, Pattern};

use super::{
    super::{
        Measured,
        report::{Axis, Bar, Budget, Line, Plot, Row, Section},
        samples::{Comparison, Summary},
        services::Family,
    },
    Cell, Extent,
    shares::Ticks,
    stage::{Way, Who},
};

/// What somebody did in all rounds of a cell.
pub struct Found {
    /// What was measured.
    pub cell: Cell,
    /// Who.
    pub who: Who,
    /// Call by call.
    pub samples: Vec<Loaded>,
}

impl Found {
    fn all(&self, of: fn(&Loaded) -> f64) -> Vec<f64> {
        self.samples.iter().map(of).collect()
    }

    fn rate(&self) -> Summary {
        Summary::of(&self.all(rate_of(self.cell.pattern)))
    }
}

/// Over all of a call.
pub fn requests_a_second(loaded: &Loaded) -> f64 {
    loaded.answered as f64 / loaded.elapsed.as_secs_f64()
}

fn gigabits_a_second(loaded: &Loaded) -> f64 {
    loaded.bytes as f64 * 8e-9 / loaded.elapsed.as_secs_f64()
}

fn rate_of(pattern: Pattern) -> fn(&Loaded) -> f64 {
    if pattern == Pattern::Bulk { gigabits_a_second } else { requests_a_second }
}

fn unit_of(pattern: Pattern) -> &'static str {
    if pattern == Pattern::Bulk { "Gbit/s" } else { "/s" }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// Everything.
pub fn of(found: &[Found], extent: &Extent, shares: Ticks) -> Vec<Measured> {
    let mut measured = Vec::new();
    for way in Way::ALL {
        for family in extent.families {
            measured.push(connections(found, way, *family, extent));
        }
    }
    for (pattern, title, note) in [
        (Pattern::KeepAlive, "Requests over open connections", "request, response, and again"),
        (Pattern::Datagram, "Requests over UDP", "a socket a request, as resolvers do"),
        (Pattern::Bulk, "Throughput", "one connection, from the server to the client"),
    ] {
        let section = others(found, pattern, title, note);
        if !section.rows.is_empty() {
            measured.push((section, Vec::new()));
        }
    }
    measured.push((who_took_the_time(shares), Vec::new()));
    measured
}

/// New connections along one way in one family, over the number of services.
fn connections(found: &[Found], way: Way, family: Family, extent: &Extent) -> Measured {
    let title = format!("Connect, request, response: {}, {}", way.name(), family_name(family));
    let (mut rows, mut budgets) = (Vec::new(), Vec::new());
    let mut lines: Vec<(Who, Line)> = Vec::new();
    for (services, _) in extent.sizes {
        let services = *services;
        let cell = Cell { pattern: Pattern::Connect, way, family, services };
        let here: Vec<&Found> = found.iter().filter(|one| one.cell == cell).collect();
        rows.extend(rates(&here, &format!("{services} services")));
        rows.extend(times(&here, &format!("{services} services")));
        if extent.ends().contains(&Some(services)) {
            budgets.extend(limits(&here, &title, services));
        }
        for one in here {
            let point = (f64::from(services), one.rate());
            match lines.iter_mut().find(|(who, _)| *who == one.who) {
                Some((_, line)) => line.points.push(point),
                None => {
                    let name = one.who.name().to_owned();
                    lines.push((one.who, Line { name, points: vec![point] }));
                }
            }
        }
    }
    let plot = Plot {
        title: format!("Connections a second: {}, {}", way.name(), family_name(family)),
        x: Axis::log("services"),
        y: Axis::linear("connections a second"),
        // A single point is no line.
        lines: lines.into_iter().map(|(_, line)| line).filter(|one| one.points.len() > 1).collect(),
    };
    let Extent { rounds, deciding_rounds, call, .. } = extent;
    let notes = vec![
        format!(
            "{rounds} calls of {call:?} each in turn, {deciding_rounds} where there is a budget, 4 \
             callers at a time"
        ),
        "beside direct: the same server by plain routing, called at the same four ports that a \
         service's four endpoints are"
            .to_owned(),
        "iptables is the legacy variant, which takes rules faster than the other".to_owned(),
        "nftables' second node keeps the ten services it began with: lookups there do not depend \
         on their number"
            .to_owned(),
        "each pod has a device of its own, by which its node routes to it".to_owned(),
        "packets between namespaces have partial checksums, so XDP leaves them to tc".to_owned(),
    ];
    (Section { title, notes, rows, plots: vec![plot] }, budgets)
}

/// A row for each who was measured, beside direct, and one of sluice beside the better peer.
fn rates(here: &[&Found], what: &str) -> Vec<Row> {
    let Some(direct) = by(here, Who::Direct) else { return Vec::new() };
    let pattern = direct.cell.pattern;
    let rate = rate_of(pattern);
    let row =
        |name: &str, one: &Found| Row::new(format!("{what}: {name}"), unit_of(pattern), one.rate());
    let beside = |one: &Found, other: &Found| Comparison::of(&one.all(rate), &other.all(rate));
    let mut rows = vec![row(Who::Direct.name(), direct)];
    for one in here.iter().filter(|one| one.who != Who::Direct) {
        let row = row(one.who.name(), one).beside(beside(one, direct));
        rows.push(if is_peer(one) { row.describing() } else { row });
    }
    let peers = here.iter().filter(|one| is_peer(one));
    let better = peers.max_by(|a, b| a.rate().median.total_cmp(&b.rate().median));
    if let (Some(sluice), Some(peer)) = (by(here, Who::Sluice), better) {
        let row = row("sluice, beside the better peer", sluice);
        rows.push(row.beside(beside(sluice, peer)));
    }
    rows
}

fn times(here: &[&Found], what: &str) -> Vec<Row> {
    let median: fn(&Loaded) -> f64 = |loaded| loaded.latency.p50_us;
    let worst: fn(&Loaded) -> f64 = |loaded| loaded.latency.p99_us;
    let mut rows = Vec::new();
    for (name, of) in [("p50", median), ("p99", worst)] {
        for one in here {
            let row = Row::new(
                format!("{what}: {}, {name}", one.who.name()),
                "us",
                Summary::of(&one.all(of)),
            );
            let row = if is_peer(one) { row.describing() } else { row };
            rows.push(match by(here, Who::Direct) {
                Some(direct) if one.who != Who::Direct => {
                    row.beside(Comparison::of(&one.all(of), &direct.all(of)))
                }
                _ => row,
            });
        }
    }
    rows
}

fn limits(here: &[&Found], title: &str, services: u32) -> Vec<Budget> {
    let Some(direct) = by(here, Who::Direct) else { return Vec::new() };
    let budgets: &[(Who, Bar)] = match direct.cell.way {
        Way::ClusterIp => &[(Who::Sluice, Bar::ClusterIp)],
        Way::NodePortNear => {
            &[(Who::Sluice, Bar::NodePort), (Who::DirectDelivery, Bar::DirectDelivery)]
        }
        Way::NodePortFar => &[],
    };
    let mut limits = Vec::new();
    for (who, bar) in budgets {
        if let Some(one) = by(here, *who) {
            let rate = rate_of(one.cell.pattern);
            let comparison = Comparison::of(&one.all(rate), &direct.all(rate));
            let what = format!("{title}, {services} services: {} / direct", who.name());
            limits.push(Budget::of_ratio(*bar, what, &comparison));
        }
    }
    limits
}

/// Everything of another pattern, in one table.
fn others(found: &[Found], pattern: Pattern, title: &str, note: &str) -> Section {
    let mut cells: Vec<Cell> =
        found.iter().map(|one| one.cell).filter(|cell| cell.pattern == pattern).collect();
    cells.sort_by_key(|cell| (cell.way, family_name(cell.family), cell.services));
    cells.dedup();
    let mut rows = Vec::new();
    for cell in cells {
        let here: Vec<&Found> = found.iter().filter(|one| one.cell == cell).collect();
        let Cell { way, family, services, .. } = cell;
        let what = format!("{}, {}, {services} services", way.name(), family_name(family));
        rows.extend(rates(&here, &what));
    }
    Section { title: title.to_owned(), notes: vec![note.to_owned()], rows, plots: Vec::new() }
}

fn who_took_the_time(shares: Ticks) -> Section {
    let row = |what: &str, value| Row::new(what, "%", Summary::of(&[value]));
    Section {
        title: "Who took the processors' time meanwhile".to_owned(),
        notes: vec!["what clients and servers take themselves hides differences".to_owned()],
        rows: vec![
            row("clients and servers: their own code", shares.own_percent()),
            row("the machine: other programs' code", shares.others_percent()),
        ],
        plots: Vec::new(),
    }
}

fn is_peer(one: &Found) -> bool {
    matches!(one.who, Who::Peer(_))
}

fn by<'a>(here: &[&'a Found], who: Who) -> Option<&'a Found> {
    here.iter().copied().find(|one| one.who == who)
}
