//! Every fault that a request can meet: the last complete picture stays while the server is faulty,
//! and afterwards the picture is exact, with what went meanwhile gone. All at once, each on a node of
//! its own.

use std::{
    thread,
    time::{Duration, Instant},
};

use lb_testbed::api::{Fault, Interrupt, Rule, StreamingLists};

use crate::{
    picture::{held, until_exact},
    stage::{GONE, SERVICES, SLICES, Site, Stage, WEB, assert_unharmed, service, until_watched},
};

/// How long the servers are faulty.
const OUTAGE: Duration = Duration::from_secs(3);
/// Most requests in that time: three kinds of objects, and pauses that grow.
const MOST_REQUESTS: usize = 30;
/// How soon after the servers are mended the pictures have to be exact: the last pause of those
/// that were refused may have just begun.
const RECOVERY: Duration = Duration::from_secs(15);

/// What happens to the streams that are open, and what new requests meet.
struct Case {
    what: &'static str,
    ends: Interrupt,
    fault: Fault,
    lists: StreamingLists,
}

const fn case(what: &'static str, ends: Interrupt, fault: Fault) -> Case {
    Case { what, ends, fault, lists: StreamingLists::Served }
}

const CASES: [Case; 9] = [
    case("410 in mid-watch, then 500", Interrupt::Gone, Fault::Status(500)),
    case("410 in mid-watch, then lists cut off", Interrupt::Gone, Fault::Truncated),
    Case {
        what: "410 in mid-watch, then pages cut off",
        ends: Interrupt::Gone,
        fault: Fault::Truncated,
        lists: StreamingLists::Refused,
    },
    case("410 again and again", Interrupt::Gone, Fault::Status(410)),
    case("cut off in a line, then 503", Interrupt::CutInLine, Fault::Status(503)),
    case("an error in mid-watch, then 504", Interrupt::Error, Fault::Status(504)),
    case("too many requests", Interrupt::Reset, Fault::TooManyRequests(1)),
    case("forbidden", Interrupt::End, Fault::Status(403)),
    case("a page of somebody else's", Interrupt::End, Fault::Page),
];

#[test]
fn the_last_complete_picture_stays_while_the_server_is_faulty_and_then_it_is_exact() {
    let stage = Stage::new(CASES.len() as u8);
    let sites: Vec<Site> = (1..).take(CASES.len()).map(|number| stage.site(number, None)).collect();
    let traffic: Vec<_> = sites.iter().map(|site| stage.traffic(&site.node)).collect();
    let mut before = Vec::new();
    let begun = Instant::now();
    for (site, case) in sites.iter().zip(&CASES) {
        until_watched(&site.api);
        until_exact(&site.agent, &site.api, RECOVERY);
        before.push(held(&site.agent));
        site.api.set_streaming_lists(case.lists);
        site.api.fail(Rule::new(case.fault.clone()));
        site.interrupt(&case.ends);
        site.api.put(SLICES, stage.slice("web", &["two", "three"]));
        site.api.remove(SERVICES, "default", "gone");
        site.api.put(SERVICES, service("new", "10.96.0.12"));
    }
    thread::sleep(OUTAGE);
    let outage = begun.elapsed();
    for ((site, case), before) in sites.iter().zip(&CASES).zip(before) {
        let what = case.what;
        assert_eq!(held(&site.agent), before, "{what}: the picture did not stay");
        let requests = site.api.requests();
        let asked = requests.iter().filter(|request| request.at > begun).count();
        println!("{what}: {asked} requests in {} s", outage.as_secs());
        assert!(asked > 3, "{what}: nothing is tried again");
        let most = MOST_REQUESTS as f64 * outage.as_secs_f64() / OUTAGE.as_secs_f64();
        assert!(asked as f64 <= most, "{what}: {asked} requests in {outage:?}");
    }
    sites.iter().for_each(|site| site.api.recover());
    for (site, case) in sites.iter().zip(&CASES) {
        let took = until_exact(&site.agent, &site.api, RECOVERY);
        println!("{}: exact after another {} ms", case.what, took.as_millis());
        stage.assert_who_from(&site.node, WEB, Some(&["two", "three"]));
        stage.assert_who_from(&site.node, GONE, None);
    }
    traffic.into_iter().for_each(assert_unharmed);
}
