//! Nothing is programmed until everything is known.

use std::{thread, time::Duration};

use lb_testbed::api::{Fault, Rule, StreamingLists, Verb};

use crate::{
    picture::{held, until_exact},
    stage::{PATIENCE, SERVICES, SLICES, Stage, WEB, service, until, until_logged},
};

/// Long enough for an agent to do what it should not.
const A_WHILE: Duration = Duration::from_millis(1500);
/// More than three pages.
const MANY: usize = 1600;

fn many(stage: &Stage) {
    for number in 0..MANY {
        let address = format!("10.97.{}.{}", number / 250, number % 250 + 1);
        stage.api.put(SERVICES, service(&format!("many-{number}"), &address));
    }
}

#[test]
fn nothing_is_programmed_before_both_lists_are_complete() {
    for (missing, present) in [(SLICES, SERVICES), (SERVICES, SLICES)] {
        let stage = Stage::new(1);
        stage.put_web(&["one"]);
        stage.api.fail(Rule::new(Fault::Status(503)).resource(missing));
        let agent = stage.begin("node1");
        assert!(until(|| stage.api.streams(present) > 0), "{present} are not watched");
        thread::sleep(A_WHILE);
        assert!(!agent.is_ready().unwrap(), "ready without {missing}");
        assert!(held(&agent).is_empty(), "programmed without {missing}");
        stage.assert_who(WEB, None);
        stage.api.recover();
        assert!(until(|| agent.is_ready().unwrap()), "not ready with {missing}");
        until_exact(&agent, &stage.api, PATIENCE);
        stage.assert_who(WEB, Some(&["one"]));
    }
}

#[test]
fn an_agent_that_starts_without_a_server_keeps_what_the_last_one_wrote() {
    let mut stage = Stage::new(1);
    stage.put_web(&["one"]);
    let agent = stage.start("node1");
    until_exact(&agent, &stage.api, PATIENCE);
    agent.kill().unwrap();
    stage.api.stop();
    let agent = stage.begin("node1");
    until_logged(&agent, &["cannot follow the API server"]);
    thread::sleep(A_WHILE);
    stage.assert_who(WEB, Some(&["one"]));
    stage.put_endpoints("web", &["two"]);
    stage.api.resume().unwrap();
    until_exact(&agent, &stage.api, PATIENCE);
    stage.assert_who(WEB, Some(&["two"]));
}

#[test]
fn a_slow_server_is_waited_for() {
    let stage = Stage::new(1);
    stage.put_web(&["one"]);
    (0..100).for_each(|number| {
        stage.api.put(SERVICES, service(&format!("s-{number}"), &format!("10.97.0.{number}")));
    });
    // The whole list takes far longer than a look at what is held does on a busy machine.
    stage.api.set_pace(Duration::from_millis(500));
    let agent = stage.begin("node1");
    assert!(until(|| stage.api.streams(SERVICES) > 0));
    thread::sleep(A_WHILE);
    assert!(held(&agent).is_empty(), "programmed before the list was complete");
    stage.api.set_pace(Duration::from_millis(20));
    assert!(until(|| agent.is_ready().unwrap()));
    stage.api.set_pace(Duration::ZERO);
    until_exact(&agent, &stage.api, PATIENCE);
}

#[test]
fn servers_without_streaming_lists_are_read_in_pages() {
    for behaviour in [StreamingLists::Refused, StreamingLists::Ignored] {
        let stage = Stage::new(1);
        stage.put_web(&["one"]);
        many(&stage);
        stage.api.set_streaming_lists(behaviour);
        let mut agent = stage.begin("node1");
        // A server that ignores the question is found out by its silence.
        agent.wait_until_ready(Duration::from_secs(40)).unwrap();
        until_exact(&agent, &stage.api, PATIENCE);
        let requests = stage.api.requests();
        let next = requests.iter().filter(|request| request.query.contains_key("continue")).count();
        assert!(next >= 3, "{behaviour:?}: {next} further pages");
    }
}

#[test]
fn a_list_whose_later_pages_fail_is_not_taken_for_complete() {
    let stage = Stage::new(1);
    stage.put_web(&["one"]);
    many(&stage);
    stage.api.set_streaming_lists(StreamingLists::Refused);
    stage.api.fail(Rule::new(Fault::Status(500)).next_pages().verb(Verb::List).times(1));
    stage.api.fail(Rule::new(Fault::Truncated).next_pages().verb(Verb::List));
    let agent = stage.begin("node1");
    let failed = || {
        let requests = stage.api.requests();
        requests.iter().filter(|request| request.query.contains_key("continue")).count() >= 3
    };
    assert!(until(failed), "no further pages are asked for");
    assert!(held(&agent).is_empty(), "programmed from a part of the list");
    assert!(!agent.is_ready().unwrap());
    stage.api.recover();
    assert!(until(|| agent.is_ready().unwrap()));
    until_exact(&agent, &stage.api, PATIENCE);
}
