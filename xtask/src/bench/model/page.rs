//! docs/cluster-cost.md: the model's assumptions, its table and its plots.

use std::fmt::Write as _;

use super::{
    super::{
        render::svg_name,
        report::{
            Axis, Line, Plot,
            figure::{mark, number},
        },
        samples::Summary,
    },
    Cost, ENDPOINTS_A_SLICE, ENDPOINTS_MEASURED, EVENTS_A_REPLACEMENT, Figures, Flow, MIB,
    PODS_A_NODE, QUIET_S, Size, UPGRADE_S, slice_event, wire,
};

/// What the table has: from a small cluster to the largest.
const SIZES: [Size; 6] = [
    size(10.0, 100.0),
    size(100.0, 1_000.0),
    size(1_000.0, 10_000.0),
    size(5_000.0, 10_000.0),
    size(5_000.0, 30_000.0),
    size(5_000.0, 100_000.0),
];
const NODES: [f64; 6] = [10.0, 100.0, 500.0, 1_000.0, 2_000.0, 5_000.0];
const SERVICES: [f64; 5] = [1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0];
const KIB: f64 = 1024.0;

const fn size(nodes: f64, services: f64) -> Size {
    Size { nodes, services }
}

/// The page and its drawings.
pub fn page(figures: &Figures) -> (String, Vec<Plot>) {
    let plots = vec![traffic(figures), processor(figures), memory(figures)];
    let mut text = String::from(
        "# What a node costs as the cluster grows\n\n\
         Nobody here has a cluster of 5,000 nodes. This is a model: what was measured on one node \
         ([bench.md](bench.md)), carried on by the rules below, which can be checked one by one. \
         Made of the same [bench.json](bench.json).\n\n",
    );
    text += &assumed(figures);
    text += &table(figures);
    for plot in &plots {
        let _ = write!(text, "\n![{}]({})\n", plot.title, svg_name(&plot.title));
    }
    text += &beside_kube_proxy(figures);
    (text, plots)
}

fn assumed(figures: &Figures) -> String {
    let [slice, few] = [0, ENDPOINTS_MEASURED as usize].map(wire::slice_event);
    let each = slice_event(1.0) - slice_event(0.0);
    format!(
        "## From what\n\n\
         Measured, on one node:\n\n\
         {}\
         * A change of one slice costs the agent {} us of a processor, from the news to the \
         kernel.\n\n\
         Counted, on objects as the control plane writes them:\n\n\
         * The news of an EndpointSlice is {} B of JSON and {} B for each endpoint, {} B with \
         {ENDPOINTS_MEASURED}; a Service is {} B.\n\n\
         Assumed:\n\n\
         * {PODS_A_NODE} pods a node, each an endpoint of one Service; all Services alike; \
         a slice has up to {ENDPOINTS_A_SLICE} endpoints.\n\
         * A pod that is replaced makes {EVENTS_A_REPLACEMENT} changes of a slice: not ready yet, \
         ready, terminating, gone. The agent acts on every one by itself, though what comes \
         together it takes together.\n\
         * *Quiet*: a pod lives {} hours. *Upgrade*: all pods are replaced in {} hours, as when \
         every node is drained in turn.\n\
         * Between what was measured, and beyond, memory goes on straight. Work for a change \
         grows with the size of its news, and memory of a service with its endpoints beyond \
         {ENDPOINTS_MEASURED}: both at most.\n\
         * Every agent follows all Services and slices, as kube-proxy does. Nothing is \
         compressed.\n",
        memory_measured(figures),
        number(figures.change_s * 1e6),
        number(slice as f64),
        number(each),
        number(few as f64),
        number(wire::service() as f64),
        mark(QUIET_S / 3600.0),
        mark(UPGRADE_S / 3600.0),
    )
}

fn memory_measured(figures: &Figures) -> String {
    let points = figures.own.0.iter().zip(&figures.tables.0);
    let line = |((services, own), (_, tables)): (&(f64, f64), &(f64, f64))| {
        format!(
            "* With {} services of {ENDPOINTS_MEASURED} endpoints an agent's own memory is {} MiB, \
             all its tables {} MiB.\n",
            mark(*services),
            number(own / MIB),
            number(tables / MIB),
        )
    };
    points.map(line).collect()
}

fn table(figures: &Figures) -> String {
    let mut text = String::from(
        "\n## To what\n\n\
         A node's share; in the last column all of them together, as the API servers see it.\n\n\
         | nodes | services | endpoints a service | agent, MiB | tables, MiB | read at start, MiB \
         | changes a second, quiet / upgrade | traffic, KiB/s | processor, % of one \
         | API servers, MiB/s |\n\
         | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n",
    );
    for size in SIZES {
        let cost = figures.cost(size);
        let both = |of: fn(&Flow) -> f64| {
            format!("{} / {}", number(of(&cost.quiet)), number(of(&cost.upgrade)))
        };
        let served = [cost.quiet, cost.upgrade].map(|flow| number(flow.bytes * size.nodes / MIB));
        let cells = [
            mark(size.nodes),
            mark(size.services),
            number(cost.endpoints),
            number(cost.agent / MIB),
            number(cost.tables / MIB),
            number(cost.list / MIB),
            both(|flow| flow.events),
            both(|flow| flow.bytes / KIB),
            both(|flow| flow.processor * 100.0),
            served.join(" / "),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn line(name: &str, at: &[f64], value: impl Fn(f64) -> f64) -> Line {
    let points = at.iter().map(|x| (*x, Summary::of(&[value(*x)]))).collect();
    Line { name: name.to_owned(), points }
}

fn by_nodes(figures: &Figures, title: &str, label: &str, of: fn(&Flow) -> f64) -> Plot {
    let cost = |nodes, services| figures.cost(Size { nodes, services });
    let over = |name: &str, services: f64, flow: fn(Cost) -> Flow| {
        line(name, &NODES, |nodes| of(&flow(cost(nodes, services))))
    };
    Plot {
        title: title.to_owned(),
        x: Axis::log("nodes"),
        y: Axis::log(label),
        lines: vec![
            over("10,000 services, upgrade", 1e4, |cost| cost.upgrade),
            over("100,000 services, upgrade", 1e5, |cost| cost.upgrade),
            over("10,000 services, quiet", 1e4, |cost| cost.quiet),
            over("100,000 services, quiet", 1e5, |cost| cost.quiet),
        ],
    }
}

fn traffic(figures: &Figures) -> Plot {
    let title = "Cluster cost: watch traffic to a node";
    by_nodes(figures, title, "KiB/s", |flow| flow.bytes / KIB)
}

fn processor(figures: &Figures) -> Plot {
    let title = "Cluster cost: processor time of an agent";
    by_nodes(figures, title, "% of one processor", |flow| flow.processor * 100.0)
}

fn memory(figures: &Figures) -> Plot {
    let cost = |services| figures.cost(Size { nodes: 5_000.0, services });
    Plot {
        title: "Cluster cost: memory of a node, 5,000 nodes".to_owned(),
        x: Axis::log("services"),
        y: Axis::log("MiB"),
        lines: vec![
            line("agent", &SERVICES, |services| cost(services).agent / MIB),
            line("tables", &SERVICES, |services| cost(services).tables / MIB),
            line("read at start", &SERVICES, |services| cost(services).list / MIB),
        ],
    }
}

fn beside_kube_proxy(figures: &Figures) -> String {
    let mut text = String::from(
        "\n## Beside kube-proxy\n\n\
         Only what follows from how it works; it was not run at these sizes.\n\n\
         * **Watch traffic** is the same in kind: it follows the same objects. It asks for them as \
         protobuf, which is smaller than JSON.\n\
         * **Work for a change** has another shape. The agent writes the rows that differ, so a \
         change costs the same in a small cluster and in a large one. kube-proxy gathers changes \
         for a second and then gives the kernel a batch; its iptables mode writes the one chain \
         that names every service port again with each batch, so that a batch grows with the \
         cluster, and gathering bounds how often that is.\n",
    );
    let size = size(5_000.0, 100_000.0);
    let cost = figures.cost(size);
    if let (Some(quiet), Some(upgrade)) = (cost.quiet.restore, cost.upgrade.restore) {
        let _ = writeln!(
            text,
            "  With what iptables-restore took here for one change, carried on in proportion to {} \
             services, loading rules alone would keep {} % of a processor busy in quiet times \
             and {} % during an upgrade, where the agent takes {} % and {} %; above 100 % changes come late.",
            mark(size.services),
            number(quiet * 100.0),
            number(upgrade * 100.0),
            number(cost.quiet.processor * 100.0),
            number(cost.upgrade.processor * 100.0),
        );
    }
    text += "* **A packet's way** has another shape, too: iptables walks the services one by one, \
             nftables and sluice look them up. What that does to requests is measured in \
             [bench.md](bench.md).\n\
             * **Memory** for rules is the kernel's in all cases; a service's chains in iptables \
             and its map elements in nftables were not weighed.\n";
    text
}
