//! Faults that only time reveals, all at once as each takes its time: a watch that goes silent, a
//! server that accepts and never answers, a token that has expired.

use std::{fs, thread, time::Duration};

use lb_testbed::api::{Fault, Interrupt, Rule};

use crate::{
    picture::{held, until_exact},
    stage::{SERVICES, SLICES, Stage, assert_unharmed, until_watched},
};

/// A watch says something every minute, if only that there is nothing to say.
const SILENCE: Duration = Duration::from_secs(120);
/// How long an agent waits for an answer, and some more.
const STALL: Duration = Duration::from_secs(45);
/// A token is read again once a minute.
const TOKEN: Duration = Duration::from_secs(90);
/// Most requests with a token that is refused.
const MOST_REFUSED: usize = 60;
/// Long enough to see that the picture stays.
const A_WHILE: Duration = Duration::from_secs(2);

#[test]
fn silence_stalls_and_expired_tokens_are_found_out_in_time() {
    let stage = Stage::new(3);
    let token = stage.cluster.folder().join("token");
    fs::write(&token, "old").unwrap();
    let sites = [1, 2, 3].map(|number| stage.site(number, Some(&token)));
    let [silent, stalled, expired] = &sites;
    sites.iter().for_each(|site| until_watched(&site.api));
    let traffic: Vec<_> = sites.iter().map(|site| stage.traffic(&site.node)).collect();

    silent.interrupt(&Interrupt::Silence);
    stalled.api.fail(Rule::new(Fault::Stalled));
    stalled.interrupt(&Interrupt::Reset);
    expired.api.accept_tokens(&["new"]);
    expired.interrupt(&Interrupt::Reset);
    let before: Vec<_> = sites.iter().map(|site| held(&site.agent)).collect();
    for site in &sites {
        site.api.remove(SERVICES, "default", "gone");
        site.api.put(SLICES, stage.slice("web", &["two"]));
    }
    thread::sleep(A_WHILE);
    let now: Vec<_> = sites.iter().map(|site| held(&site.agent)).collect();
    assert_eq!(now, before, "the pictures did not stay");

    stalled.api.recover();
    let took = until_exact(&stalled.agent, &stalled.api, STALL);
    println!("the stall was found out after {} s", (A_WHILE + took).as_secs());
    fs::write(&token, "new").unwrap();
    let took = until_exact(&expired.agent, &expired.api, TOKEN);
    println!("the new token was shown after another {} s", took.as_secs());
    let requests = expired.api.requests();
    let refused = requests.iter().filter(|one| one.status == Some(401)).count();
    println!("    {refused} requests were refused meanwhile");
    assert!(refused < MOST_REFUSED, "{refused} requests with an expired token");
    let took = until_exact(&silent.agent, &silent.api, SILENCE);
    println!("the silence was found out another {} s later", took.as_secs());
    traffic.into_iter().for_each(assert_unharmed);
}
