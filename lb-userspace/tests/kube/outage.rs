//! A server that is away, and much that changes meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    picture::{held, until_exact},
    stage::{CALLER, PATIENCE, SERVICES, SLICES, Stage, assert_unharmed, endpoint, service, slice},
};

const CHANGES: u32 = 500;
const AWAY: Duration = Duration::from_secs(8);
/// How soon after the server's return the picture has to be exact.
const CATCHING_UP: Duration = Duration::from_secs(6);

#[test]
fn what_changed_while_the_server_was_away_is_there_soon_after_its_return() {
    for compacted in [false, true] {
        let mut stage = Stage::new(1);
        stage.put_web(&["one", "two"]);
        for number in 0..CHANGES {
            let name = format!("s-{number}");
            stage.api.put(SERVICES, service(&name, &address(number)));
            stage.api.put(SLICES, slice(&name, vec![endpoint("10.244.1.2", "node1")]));
        }
        let agent = stage.start("node1");
        until_exact(&agent, &stage.api, PATIENCE);
        let traffic = stage.traffic(CALLER);
        let before = held(&agent);
        stage.api.stop();
        let away = Instant::now();
        change_all(&stage);
        if compacted {
            stage.api.compact();
        }
        thread::sleep(AWAY.saturating_sub(away.elapsed()));
        assert_eq!(held(&agent), before, "the picture did not stay");
        stage.api.resume().unwrap();
        let took = until_exact(&agent, &stage.api, CATCHING_UP);
        println!("compacted {compacted}: exact {} ms after the return", took.as_millis());
        assert_unharmed(traffic);
    }
}

fn address(number: u32) -> String {
    format!("10.97.{}.{}", number / 250, number % 250 + 1)
}

/// A third of them goes, a third gets another endpoint, a third is replaced under another name; and
/// `web` goes on with one pod of the two it had.
fn change_all(stage: &Stage) {
    for number in 0..CHANGES {
        let name = format!("s-{number}");
        if number % 3 == 1 {
            let endpoints = vec![endpoint("10.244.1.3", "node1"), endpoint("10.244.9.9", "node9")];
            stage.api.put(SLICES, slice(&name, endpoints));
            continue;
        }
        stage.api.remove(SERVICES, "default", &name);
        stage.api.remove(SLICES, "default", &format!("{name}-x"));
        if number % 3 == 2 {
            let name = format!("t-{number}");
            stage.api.put(SERVICES, service(&name, &address(number)));
            stage.api.put(SLICES, slice(&name, vec![endpoint("10.244.1.4", "node1")]));
        }
    }
    stage.put_endpoints("web", &["two"]);
}
