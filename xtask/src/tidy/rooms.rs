//! Which room of the agent may import which, so that the journey stays one-way.

use super::{File, code};

/// A room and what it may use besides itself: rooms, or parts of rooms, and outside crates of
/// [`GUARDED`].
struct Room {
    name: &'static str,
    rooms: &'static [&'static str],
    crates: &'static [&'static str],
}

/// Crates that only some rooms may name.
const GUARDED: [&str; 6] = ["tokio", "aya", "axum", "kube", "k8s_openapi", "rtnetlink"];

/// Rooms that take values and return values.
const PURE: [&str; 2] = ["model", "plan"];
/// What a pure room must not touch: the clock, files, processes, threads.
const IMPURE: [&str; 7] = ["env", "fs", "io", "os", "process", "thread", "time::Instant"];

/// In the order of the journey. A new room gets a line here in the commit that opens it.
const ROOMS: [Room; 14] = [
    Room {
        name: "watch",
        rooms: &["model", "task", "telemetry::Causes"],
        crates: &["tokio", "kube", "k8s_openapi", "rtnetlink"],
    },
    Room { name: "model", rooms: &[], crates: &[] },
    Room { name: "plan", rooms: &["model"], crates: &[] },
    Room { name: "maps", rooms: &["plan", "kernel::sys"], crates: &["aya"] },
    Room { name: "kernel", rooms: &[], crates: &["aya"] },
    Room {
        name: "reconcile",
        rooms: &[
            "watch",
            "model",
            "plan",
            "maps",
            "config::NodePortAddresses",
            "task::grace",
            "telemetry::Causes",
        ],
        crates: &["tokio"],
    },
    Room { name: "upkeep", rooms: &["maps"], crates: &["tokio"] },
    // Of the loop, what it tells and how it is.
    Room {
        name: "serve",
        rooms: &[
            "model",
            "maps",
            "kernel",
            "reconcile::Condition",
            "reconcile::Programmed",
            "reconcile::Pulse",
            "task::ready",
            "telemetry::Causes",
        ],
        crates: &["tokio", "axum"],
    },
    // Settings are given in the terms of those who take them.
    Room { name: "config", rooms: &["kernel::Sizes", "kernel::XdpMode"], crates: &[] },
    Room { name: "coexistence", rooms: &["kernel::sys"], crates: &[] },
    Room { name: "task", rooms: &[], crates: &["tokio"] },
    // The programs' own log lines come out of one of their maps.
    Room { name: "telemetry", rooms: &["config"], crates: &["aya"] },
    Room {
        name: "agent",
        rooms: &[
            "watch",
            "model",
            "plan",
            "maps",
            "kernel",
            "reconcile",
            "upkeep",
            "serve",
            "config",
            "coexistence",
            "task",
            "telemetry",
        ],
        crates: &["tokio", "aya", "kube"],
    },
    Room {
        name: "cli",
        rooms: &[
            "watch",
            "model",
            "plan",
            "maps",
            "kernel",
            "config",
            "agent",
            "telemetry",
            "task",
        ],
        crates: &["tokio"],
    },
];

/// Imports that the file's room may not have.
pub fn check(file: &File) -> Vec<String> {
    let Some(place) = file.name.strip_prefix("lb-userspace/src/") else { return Vec::new() };
    let name = place.split(['/', '.']).next().unwrap_or_default();
    if file.is_test() || ["main", "lib"].contains(&name) {
        return Vec::new();
    }
    let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
        return vec![format!("room `{name}` has no line in the table of xtask/src/tidy/rooms.rs")];
    };
    let text = &code::production(&file.text);
    let mut faults = Vec::new();
    for path in code::paths(text, "crate") {
        let known = ROOMS.iter().any(|other| within(&path, other.name));
        if known && !within(&path, name) && !room.rooms.iter().any(|part| within(&path, part)) {
            faults.push(format!("`{name}` may not use `crate::{path}`"));
        }
    }
    for guarded in GUARDED {
        let named = !code::paths(text, guarded).is_empty();
        if named && !room.crates.contains(&guarded) {
            faults.push(format!("`{name}` may not use `{guarded}`"));
        }
    }
    if PURE.contains(&name) {
        let touched = code::paths(text, "std");
        let touched = touched.iter().filter(|path| IMPURE.iter().any(|part| within(path, part)));
        faults
            .extend(touched.map(|path| format!("`{name}` is pure and may not use `std::{path}`")));
    }
    faults
}

/// Whether a path is `part` or lies in it.
fn within(path: &str, part: &str) -> bool {
    path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::{File, check};

    #[track_caller]
    fn expect(name: &str, text: &str, faults: &[&str]) {
        let file = File { name: format!("lb-userspace/src/{name}"), text: text.to_owned() };
        assert_eq!(check(&file), faults, "{name}");
    }

    #[test]
    fn the_journey_is_one_way() {
        expect("plan/diff.rs", "use crate::{model::Service, plan::Op};", &[]);
        expect("model/mod.rs", "use crate::plan::Op;", &["`model` may not use `crate::plan::Op`"]);
        expect("watch/mod.rs", "use crate::maps;", &["`watch` may not use `crate::maps`"]);
        expect("reconcile.rs", "use crate::{watch::News, plan, maps::Tables};", &[]);
        expect("lib.rs", "pub use crate::plan;", &[]);
    }

    #[test]
    fn a_part_of_a_room_may_be_open_when_the_rest_is_not() {
        expect("maps/array.rs", "use crate::kernel::sys::Mapped;", &[]);
        expect(
            "maps/array.rs",
            "use crate::kernel::Pins;",
            &["`maps` may not use `crate::kernel::Pins`"],
        );
    }

    #[test]
    fn the_middle_is_pure() {
        expect(
            "plan/mod.rs",
            "use std::{collections::BTreeMap, fs, time::Duration};",
            &["`plan` is pure and may not use `std::fs`"],
        );
        expect(
            "model/mod.rs",
            "let now = std::time::Instant::now();",
            &["`model` is pure and may not use `std::time::Instant::now`"],
        );
        expect("model/mod.rs", "use aya::maps::Array;", &["`model` may not use `aya`"]);
        expect("model/mod.rs", "#[cfg(test)]\nmod tests { use std::fs; }", &[]);
    }

    #[test]
    fn a_new_room_must_be_entered_in_the_table() {
        expect(
            "attic.rs",
            "",
            &["room `attic` has no line in the table of xtask/src/tidy/rooms.rs"],
        );
    }
}
