use std::{
    collections::{BTreeMap, BTreeSet},
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant, SystemTime},
};

use prometheus_client::registry::Registry;
use tokio::task::spawn_blocking;

use super::*;
use crate::reconcile::PATIENCE;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Services `default/<name>`, each with a port and a count; answered on 127.0.0.1 alone.
fn programmed(checks: &[(&str, u16, u32)]) -> Programmed {
    let checks = checks.iter().map(|(name, port, local_endpoints)| {
        let check = HealthCheck { port: *port, local_endpoints: *local_endpoints };
        (ServiceName::new("default", name), check)
    });
    Programmed {
        health_checks: Arc::new(checks.collect::<BTreeMap<_, _>>()),
        node_port_addresses: Some(Arc::new(BTreeSet::from([LOCALHOST]))),
        ..Programmed::default()
    }
}

/// A port that nobody has.
fn free_port() -> u16 {
    TcpListener::bind((LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The whole answer, or why there is none.
async fn ask(port: u16) -> Result<String, ErrorKind> {
    let asking = spawn_blocking(move || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((LOCALHOST, port))?;
        stream.write_all(b"GET /any/path HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    asking.await.unwrap().map_err(|error| error.kind())
}

/// Servers that run while a scenario does.
async fn scenario<F: Future<Output = ()>>(
    play: impl FnOnce(watch::Sender<Programmed>, Arc<Pulse>, mpsc::Receiver<Incident>) -> F,
) -> Metrics {
    let (sender, programmed) = watch::channel(Programmed::default());
    let (incidents, told) = mpsc::channel(8);
    let pulse = Arc::new(Pulse::default());
    let metrics = Metrics::new(&mut Registry::default());
    let services =
        Services { programmed, pulse: pulse.clone(), incidents, metrics: metrics.clone() };
    tokio::select! {
        ended = services.run() => panic!("{ended:?}"),
        () = play(sender, pulse, told) => metrics,
    }
}

/// Asks until the answer is as expected.
async fn until(
    port: u16,
    expected: impl Fn(&Result<String, ErrorKind>) -> bool,
) -> Result<String, ErrorKind> {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = ask(port).await;
        if expected(&answer) {
            return answer;
        }
        assert!(Instant::now() < give_up, "port {port}: {answer:?}");
    }
}

fn has(parts: &'static [&'static str]) -> impl Fn(&Result<String, ErrorKind>) -> bool {
    move |answer| {
        let answer = answer.as_ref().map(|text| text.to_ascii_lowercase()).unwrap_or_default();
        parts.iter().all(|part| answer.contains(&part.to_ascii_lowercase()))
    }
}

fn refused(answer: &Result<String, ErrorKind>) -> bool {
    *answer == Err(ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn the_answer_tells_how_many_endpoints_are_here() {
    let port = free_port();
    scenario(async |sender, _, _| {
        sender.send_replace(programmed(&[("web", port, 2)]));
        until(
            port,
            has(&[
                "HTTP/1.1 200 OK\r\n",
                "\r\ncontent-type: application/json\r\n",
                "\r\nx-content-type-options: nosniff\r\n",
                "\r\nx-load-balancing-endpoint-weight: 2\r\n",
                "\r\nconnection: close\r\n",
                r#"{"service":{"namespace":"default","name":"web"},"localEndpoints":2,"serviceProxyHealthy":true}"#,
            ]),
        )
        .await
        .unwrap();
        sender.send_replace(programmed(&[("web", port, 0)]));
        until(port, has(&["HTTP/1.1 503", "endpoint-weight: 0\r\n", "\"localEndpoints\":0"]))
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_is_behind_answers_503_with_its_endpoints() {
    let port = free_port();
    scenario(async |sender, pulse, _| {
        pulse.written(SystemTime::now());
        pulse.queued(Instant::now().checked_sub(PATIENCE * 2).unwrap());
        sender.send_replace(programmed(&[("web", port, 2)]));
        let parts = &["HTTP/1.1 503", "\"localEndpoints\":2,\"serviceProxyHealthy\":false"];
        until(port, has(parts)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_port_that_changes_or_goes_is_refused_at_once() {
    let [first, second] = [free_port(), free_port()];
    scenario(async |sender, _, _| {
        sender.send_replace(programmed(&[("web", first, 1)]));
        until(first, has(&["200 OK"])).await.unwrap();
        sender.send_replace(programmed(&[("web", second, 1)]));
        until(second, has(&["200 OK"])).await.unwrap();
        assert!(refused(&ask(first).await));
        sender.send_replace(programmed(&[]));
        _ = until(second, refused).await;
    })
    .await;
}

#[tokio::test]
async fn a_port_that_changes_hands_answers_for_its_new_service() {
    let port = free_port();
    scenario(async |sender, _, _| {
        sender.send_replace(programmed(&[("old", port, 1)]));
        until(port, has(&["\"name\":\"old\""])).await.unwrap();
        sender.send_replace(programmed(&[("new", port, 3)]));
        until(port, has(&["\"name\":\"new\"", "\"localEndpoints\":3"])).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_once_and_had_when_it_is_free() {
    let taken = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let metrics = scenario(async |sender, _, mut told| {
        sender.send_replace(programmed(&[("web", port, 1)]));
        let incident = told.recv().await.unwrap();
        assert_eq!(incident.service, ServiceName::new("default", "web"));
        assert_eq!(incident.reason, "FailedToStartServiceHealthcheck");
        assert_eq!(incident.action, "Listen");
        assert!(incident.note.contains(&SocketAddr::from((LOCALHOST, port)).to_string()));
        // The next change tries again, and says nothing new.
        let other = free_port();
        sender.send_replace(programmed(&[("web", port, 1), ("other", other, 1)]));
        until(other, has(&["200 OK"])).await.unwrap();
        assert!(told.try_recv().is_err());
        drop(taken);
        sender.send_replace(programmed(&[("web", port, 2), ("other", other, 1)]));
        until(port, has(&["200 OK"])).await.unwrap();
    })
    .await;
    assert_eq!((metrics.failures.get(), metrics.listeners.get()), (2, 2));
}
