use std::{
    net::IpAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::{
    reconcile::{PATIENCE, Pulse},
    serve::{
        admin::Admin,
        probes::{Eligible, Probes},
    },
    task::ready::{Guard, Ready},
};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The whole answer of a server to one request.
async fn ask(to: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Asks a server on a port of its own: the answers' statuses and the last one's text.
async fn serving(router: Router, paths: &[&str]) -> (Vec<u16>, String) {
    let listener = bind((LOCALHOST, 0).into()).unwrap();
    let at = listener.local_addr().unwrap();
    let asking = async {
        let (mut statuses, mut text) = (Vec::new(), String::new());
        for path in paths {
            text = ask(at, path).await.unwrap();
            statuses.push(text.split(' ').nth(1).unwrap().parse().unwrap());
        }
        (statuses, text)
    };
    tokio::select! {
        ended = serve_on("a test", listener, router) => panic!("{ended:?}"),
        answers = asking => answers,
    }
}

#[tokio::test]
async fn an_unspecified_address_of_either_family_is_both() {
    for unspecified in ["0.0.0.0:0", "[::]:0"] {
        let listener = bind(unspecified.parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        for client in [IpAddr::from(LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            TcpStream::connect((client, port)).await.unwrap();
        }
    }
    let listener = bind("[::1]:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = TcpStream::connect((LOCALHOST, port)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn an_address_that_is_taken_is_waited_for_or_ends_it() {
    let taken = bind((LOCALHOST, 0).into()).unwrap();
    let at = taken.local_addr().unwrap();
    let router = || Router::new().route("/", get(async || "here"));
    let error = serve("a test", at, true, router()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listening on {at} for a test"));
    let asking = async {
        drop(taken);
        loop {
            match ask(at, "/").await {
                Ok(answer) => break answer,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::select! {
        biased;
        ended = serve("a test", at, false, router()) => panic!("{ended:?}"),
        answer = asking => assert!(answer.ends_with("\r\n\r\nhere"), "{answer}"),
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go() {
    let listener = bind((LOCALHOST, 0).into()).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut connection = Connection::new(stream, None, Duration::from_millis(1));
    let error = connection.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

struct Told {
    pulse: Arc<Pulse>,
    ready: Arc<Ready>,
    eligible: Arc<Eligible>,
    registry: Registry,
    probes: Probes,
}

fn told() -> Told {
    let mut registry = Registry::default();
    let (pulse, ready): (Arc<Pulse>, Arc<Ready>) = Default::default();
    let (asked, asks) = (Arc::clone(&pulse), Arc::clone(&ready));
    let probes = Probes::new(&mut registry, asked, asks);
    let eligible = probes.eligible();
    Told { pulse, ready, eligible, registry, probes }
}

const PROBES: [&str; 4] = ["/healthz", "/livez", "/readyz", "/other"];

#[tokio::test]
async fn each_probe_has_its_own_meaning() {
    let told = told();
    let ask = async || serving(told.probes.clone().router(), &PROBES).await.0;
    assert_eq!(ask().await, [200, 200, 503, 404], "starting");
    [Guard::Picture, Guard::Sockets].into_iter().for_each(|guard| told.ready.pass(guard));
    let (_, answer) = serving(told.probes.clone().router(), &["/readyz"]).await;
    assert!(answer.ends_with(r#"{"ready":false,"waitingFor":["devices"]}"#), "{answer}");
    told.ready.pass(Guard::Devices);
    told.pulse.written(SystemTime::now());
    assert_eq!(ask().await, [200, 200, 200, 404], "programmed");
    told.eligible.set(false);
    assert_eq!(ask().await, [503, 200, 200, 404], "to be removed");
    told.eligible.set(true);
    told.pulse.queued(Instant::now().checked_sub(PATIENCE * 2).unwrap());
    assert_eq!(ask().await, [503, 503, 200, 404], "behind");

    let admin = Admin::new(told.registry, serde_json::json!({"nodeName": "n1"}));
    let (statuses, metrics) =
        serving(admin.clone().router(), &["/proxyMode", "/configz", "/other", "/metrics"]).await;
    assert_eq!(statuses, [200, 200, 404, 200]);
    for line in [
        "content-type: text/plain; version=0.0.4; charset=utf-8\r",
        "# TYPE kubeproxy_proxy_healthz_total counter",
        "kubeproxy_proxy_healthz_total{code=\"200\"} 2",
        "kubeproxy_proxy_healthz_total{code=\"503\"} 2",
        "kubeproxy_proxy_livez_total{code=\"200\"} 3",
        "kubeproxy_proxy_livez_total{code=\"503\"} 1",
    ] {
        assert_eq!(metrics.split('\n').filter(|one| **one == *line).count(), 1, "{line}");
    }
    let (_, settings) = serving(admin.router(), &["/configz"]).await;
    assert!(settings.ends_with(r#"{"sluice":{"nodeName":"n1"}}"#), "{settings}");
}
