//! Every fault that a request can meet: the last complete picture stays while the server is faulty,
//! and afterwards the picture is exact, with what went meanwhile gone.

use std::{
    thread,
    time::{Duration, Instant},
};

use lb_testbed::api::{Fault, Interrupt, Rule, StreamingLists};

use crate::{
    picture::{held, until_exact},
    stage::{NODES, PATIENCE, SERVICES, SLICES, Stage, WEB, assert_unharmed, service},
};

/// How long a server is faulty.
const OUTAGE: Duration = Duration::from_secs(3);
/// Most requests in that time: three kinds of objects, and pauses that grow.
const MOST_REQUESTS: usize = 30;

struct Case {
    what: &'static str,
    /// What happens to the streams that are open.
    ends: Interrupt,
    /// What new requests meet.
    fault: Fault,
    lists: StreamingLists,
}

#[test]
fn the_last_complete_picture_stays_while_the_server_is_faulty_and_then_it_is_exact() {
    let case = |what, ends, fault| Case { what, ends, fault, lists: StreamingLists::Served };
    let paged = |what, ends, fault| Case { what, ends, fault, lists: StreamingLists::Refused };
    let stage = Stage::new(1);
    stage.put_web(&["one", "two"]);
    let agent = stage.start("node1");
    let traffic = stage.traffic();
    for (round, case) in [
        case("410 in mid-watch, then 500", Interrupt::Gone, Fault::Status(500)),
        case("410 in mid-watch, then lists cut off", Interrupt::Gone, Fault::Truncated),
        paged("410 in mid-watch, then pages cut off", Interrupt::Gone, Fault::Truncated),
        case("410 again and again", Interrupt::Gone, Fault::Status(410)),
        case("cut in a line, then 503", Interrupt::CutInLine, Fault::Status(503)),
        case("an error in mid-watch, then 504", Interrupt::Error, Fault::Status(504)),
        case("too many requests", Interrupt::Reset, Fault::TooManyRequests(1)),
        case("forbidden", Interrupt::End, Fault::Status(403)),
        case("a page of somebody else's", Interrupt::End, Fault::Page),
    ]
    .into_iter()
    .enumerate()
    {
        println!("{}", case.what);
        one(&stage, &agent, round, case);
    }
    assert_unharmed(traffic);
}

fn one(stage: &Stage, agent: &lb_testbed::Agent, round: usize, case: Case) {
    let what = case.what;
    stage.until_watched();
    until_exact(agent, &stage.api, PATIENCE);
    let before = held(agent);
    stage.api.set_streaming_lists(case.lists);
    stage.api.fail(Rule::new(case.fault));
    let begun = Instant::now();
    for kind in [SERVICES, SLICES, NODES] {
        stage.api.interrupt(kind, case.ends.clone());
    }
    let pods: &[&str] = if round % 2 == 0 { &["two", "three"] } else { &["one", "two"] };
    stage.put_endpoints("web", pods);
    stage.api.remove(SERVICES, "default", "gone");
    stage.api.put(SERVICES, service(&format!("new-{round}"), &format!("10.97.1.{round}")));
    thread::sleep(OUTAGE);
    assert_eq!(held(agent), before, "{what}: the picture did not stay");
    assert!(agent.is_ready().unwrap());
    let asked = stage.api.requests().iter().filter(|request| request.at > begun).count();
    println!("    {asked} requests in {OUTAGE:?}");
    assert!(asked > 3, "{what}: nothing was tried again");
    assert!(asked <= MOST_REQUESTS, "{what}: {asked} requests in {OUTAGE:?}");

    stage.api.recover();
    let took = until_exact(agent, &stage.api, PATIENCE);
    println!("    exact after {} ms", took.as_millis());
    stage.assert_who(WEB, Some(pods));
    stage.assert_who("10.96.0.11", None);
    stage.api.put(SERVICES, service("gone", "10.96.0.11"));
    until_exact(agent, &stage.api, PATIENCE);
}
