//! Faults that only time reveals, all at once as each takes its time: a watch that goes silent, a
//! server that accepts and never answers, a token that has expired.

use std::{fs, thread, time::Duration};

use lb_testbed::{
    Agent, AgentOptions,
    api::{ApiServer, Fault, Interrupt, Rule},
};

use crate::{
    picture::{held, until_exact},
    stage::{NODES, PATIENCE, SERVICES, SLICES, SLUICE, Stage, service},
};

/// A watch says something every minute, if only that there is nothing to say.
const SILENCE: Duration = Duration::from_secs(120);
/// How long an agent waits for an answer, and some more.
const STALL: Duration = Duration::from_secs(45);
/// A token is read again once a minute.
const TOKEN: Duration = Duration::from_secs(90);
/// Long enough to see that the picture stays.
const A_WHILE: Duration = Duration::from_secs(2);
const KINDS: [&str; 3] = [SERVICES, SLICES, NODES];

#[test]
fn silence_stalls_and_expired_tokens_are_found_out_in_time() {
    let stage = Stage::new(3);
    let servers = [1, 2, 3].map(|number| stage.another_server(number));
    let token = stage.cluster.folder().join("token");
    fs::write(&token, "old").unwrap();
    servers[2].accept_tokens(&["old"]);
    let agents: Vec<Agent> = ["node1", "node2", "node3"]
        .into_iter()
        .zip(&servers)
        .map(|(node, api)| {
            put(api, "before", 1);
            let kubeconfig = stage.kubeconfig(api, Some(&token));
            let options = AgentOptions::kubernetes(SLUICE, kubeconfig);
            let agent = stage.cluster.start_agent(node, &options).unwrap();
            until_exact(&agent, api, PATIENCE);
            agent
        })
        .collect();

    let all = |api: &ApiServer, interrupt: Interrupt| {
        KINDS.iter().for_each(|kind| api.interrupt(kind, interrupt.clone()));
    };
    all(&servers[0], Interrupt::Silence);
    servers[1].fail(Rule::new(Fault::Stalled));
    all(&servers[1], Interrupt::Reset);
    servers[2].accept_tokens(&["new"]);
    all(&servers[2], Interrupt::Reset);
    let before: Vec<_> = agents.iter().map(held).collect();
    for api in &servers {
        api.remove(SERVICES, "default", "before");
        put(api, "after", 2);
    }
    thread::sleep(A_WHILE);
    let now: Vec<_> = agents.iter().map(held).collect();
    assert_eq!(now, before, "the pictures did not stay");

    servers[1].recover();
    let took = until_exact(&agents[1], &servers[1], STALL);
    println!("the stall was found out after {} s", (A_WHILE + took).as_secs());
    fs::write(&token, "new").unwrap();
    let took = until_exact(&agents[2], &servers[2], TOKEN);
    println!("the new token was shown after {} s", took.as_secs());
    let refused = servers[2].requests().iter().filter(|one| one.status == Some(401)).count();
    println!("    {refused} requests were refused meanwhile");
    assert!(refused < 60, "{refused} requests with an expired token");
    let took = until_exact(&agents[0], &servers[0], SILENCE);
    println!("the silence was found out another {} s later", took.as_secs());
}

fn put(api: &ApiServer, name: &str, host: u8) {
    api.put(SERVICES, service(name, &format!("10.96.0.{host}")));
}
