//! Measurements, for `cargo xtask test api-server --measure`: how long a change takes from the server
//! to the kernel, and what an agent takes with very many Services. Printed, not judged; docs/kube.md
//! has what was found once.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use aya::maps::MapData;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use lb_common::{names, run::Run, service};
use lb_testbed::{Agent, CONTROL, spawn};
use lb_userspace::kernel::{
    Pins,
    sys::{Access, Mapped},
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::{
    lab::Lab,
    watched::{SLUICE, endpoint, service as service_object, slice, until_within},
};

const SERVER: &str = "apiserver";
const PORT: u16 = 6443;
const MANY: u32 = 10_000;
const ENDPOINTS: u32 = 4;
const CHANGES: u32 = 1000;
/// Requests at a time while objects are made.
const AT_ONCE: usize = 16;
/// How often the kernel's table is looked at: often enough, and with time for others in between.
const LOOK_EVERY: Duration = Duration::from_micros(20);
/// What one change may take, and what the start with very many Services may take.
const CHANGE: Duration = Duration::from_secs(10);
const START: Duration = Duration::from_secs(120);
/// How long memory is given to settle after a start.
const SETTLING: Duration = Duration::from_secs(5);
/// Coprime to any round number: services in no order that memory likes.
const STEP: u32 = 7_919;

fn name(number: u32) -> String {
    format!("service-{number:05}")
}

fn addresses(number: u32) -> Vec<Ipv4Addr> {
    let first = u32::from(Ipv4Addr::new(10, 128, 0, 0)) + number * ENDPOINTS;
    (first..first + ENDPOINTS).map(Ipv4Addr::from).collect()
}

fn endpoints(addresses: &[Ipv4Addr]) -> Vec<Value> {
    let all = addresses.iter().enumerate();
    all.map(|(index, address)| endpoint(&address.to_string(), &format!("node{}", 10 + index)))
        .collect()
}

fn event_loop() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A client in the server's place.
async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap()).unwrap()
}

/// Runs `work` in the server's place, with an event loop of its own.
fn beside<T: Send>(lab: &Lab, work: impl AsyncFnOnce(Client) -> T + Send) -> T {
    let kubeconfig = lab.kubeconfig(SERVER);
    let netns = lab.cluster.netns(CONTROL).unwrap();
    let enter = || Ok(event_loop().block_on(async { work(client(&kubeconfig).await).await }));
    netns.enter(enter).unwrap()
}

fn populate(lab: &Lab, services: std::ops::Range<u32>) {
    let begun = Instant::now();
    let count = services.len();
    beside(lab, async |client| {
        let (all, slices): (Api<Service>, Api<EndpointSlice>) =
            (Api::default_namespaced(client.clone()), Api::default_namespaced(client));
        let parameters = PostParams::default();
        let made = stream::iter(services).map(|number| {
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 1, 0)) + number);
            let service = service_object(&name(number), &address.to_string());
            let slice = slice(&name(number), endpoints(&addresses(number)));
            let (service, slice) =
                (serde_json::from_value(service).unwrap(), serde_json::from_value(slice).unwrap());
            let (all, slices, parameters) = (&all, &slices, &parameters);
            async move {
                all.create(parameters, &service).await?;
                slices.create(parameters, &slice).await.map(|_: EndpointSlice| ())
            }
        });
        made.buffer_unordered(AT_ONCE).try_collect::<()>().await.unwrap();
    });
    println!("{count} services made in {:.0} s", begun.elapsed().as_secs_f64());
}

#[test]
#[ignore = "measures; cargo xtask test api-server --measure"]
fn an_endpoint_change_from_the_server_to_the_kernel() {
    let lab = Lab::new(&[]);
    let _server = lab.start(SERVER, PORT);
    lab.install(SERVER);
    let mut from = 0;
    let agent = lab.start_agent("node1", SERVER, PORT);
    for services in [10, MANY] {
        populate(&lab, from..services);
        from = services;
        let rows = until_rows(&agent, services);
        println!("\none endpoint changed, {CHANGES} times, {services} services x {ENDPOINTS}");
        let times = changes(&lab, &agent, &rows, services);
        println!("{:52} {:>9} {:>9} {:>9}", "", "p50 ms", "p99 ms", "max ms");
        for (what, samples) in times {
            let at = |percent| percentile(&samples, percent);
            println!("{what:52} {:9.3} {:9.3} {:9.3}", at(50), at(99), at(100));
        }
    }
}

/// Row numbers by Service, once all are there.
#[track_caller]
fn until_rows(agent: &Agent, services: u32) -> BTreeMap<String, u32> {
    let rows = || -> BTreeMap<String, u32> {
        let rows = agent.inspect(&["services", "--json"]).unwrap();
        let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
        let of = |row: &Value| {
            let index = row["index"].as_u64().unwrap() as u32;
            let name = row["service"].as_str().unwrap();
            let name = name.trim_start_matches("default/").trim_end_matches(":http");
            (name.to_owned(), index)
        };
        rows.iter().map(of).filter(|(name, _)| name.starts_with("service-")).collect()
    };
    assert!(until_within(START, || rows().len() == services as usize).is_some());
    rows()
}

type Times = [(&'static str, Vec<Duration>); 4];

/// Changes one endpoint at a time. Beside the agent a plain watch of the same objects tells when
/// the server's news could be had.
fn changes(lab: &Lab, agent: &Agent, rows: &BTreeMap<String, u32>, services: u32) -> Times {
    let table = MapData::from_pin(Pins::new(agent.pins()).maps().join(names::SERVICES)).unwrap();
    let size = table.info().unwrap().max_entries();
    let table: Mapped<service::Service> =
        Mapped::open(table.fd().as_fd(), size, Access::Read).unwrap();
    let run = |index: u32| table.load(index).unwrap().cluster;
    let (heard, news) = mpsc::channel();
    let (stop, stopped) = mpsc::channel::<()>();
    let mut times = [
        ("the server's answer to the writer", Vec::new()),
        ("to a plain watch of the server", Vec::new()),
        ("to visible in the kernel", Vec::new()),
        ("the agent's share: from the plain watch's news on", Vec::new()),
    ];
    thread::scope(|scope| {
        scope.spawn(move || {
            beside(lab, async move |client| listen(client, heard, stopped).await);
        });
        // The watch is open once it tells of what is there.
        news.recv_timeout(START).unwrap();
        let (orders, to_do) = mpsc::channel::<(String, Value)>();
        let (answers, answered) = mpsc::channel();
        scope.spawn(move || {
            beside(lab, async move |client| {
                let slices: Api<EndpointSlice> = Api::default_namespaced(client);
                for (slice, patch) in to_do {
                    let patch = Patch::Merge(patch);
                    slices.patch(&slice, &PatchParams::default(), &patch).await.unwrap();
                    answers.send(Instant::now()).unwrap();
                }
            });
        });
        for number in 0..CHANGES {
            let service = (number * STEP) % services;
            let index = rows[&name(service)];
            let mut to = addresses(service);
            let changed = (number / services) as usize % to.len();
            to[changed] = Ipv4Addr::from(u32::from(to[changed]) | (1 << 22));
            let before = run(index);
            while news.try_recv().is_ok() {}
            let slice = format!("{}-x", name(service));
            let patch = json!({"endpoints": endpoints(&to)});
            let begun = Instant::now();
            orders.send((slice.clone(), patch)).unwrap();
            let visible = until_changed(&run, index, before).expect("the change is never seen");
            let answer = answered.recv().unwrap();
            let event = loop {
                let (changed, at): (String, Instant) = news.recv_timeout(CHANGE).unwrap();
                if changed == slice {
                    break at;
                }
            };
            times[0].1.push(answer - begun);
            times[1].1.push(event - begun);
            times[2].1.push(visible - begun);
            times[3].1.push(visible.saturating_duration_since(event));
        }
        drop((orders, stop));
    });
    times
}

fn until_changed(run: &impl Fn(u32) -> Run, index: u32, before: Run) -> Option<Instant> {
    let begun = Instant::now();
    while begun.elapsed() < CHANGE {
        if run(index) != before {
            return Some(Instant::now());
        }
        thread::sleep(LOOK_EVERY);
    }
    None
}

/// A plain watch: tells each change of a slice with the moment at which it was read.
async fn listen(
    client: Client,
    heard: mpsc::Sender<(String, Instant)>,
    stopped: mpsc::Receiver<()>,
) {
    let slices: Api<EndpointSlice> = Api::default_namespaced(client);
    let list = slices.list(&kube::api::ListParams::default().limit(1)).await.unwrap();
    let version = list.metadata.resource_version.unwrap();
    let events = slices.watch(&WatchParams::default().timeout(290), &version).await.unwrap();
    let mut events = std::pin::pin!(events);
    heard.send((String::new(), Instant::now())).unwrap();
    loop {
        let event = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
        if let Ok(Some(Ok(WatchEvent::Modified(slice)))) = event {
            // Nobody may listen any more.
            let _ = heard.send((slice.name_any(), Instant::now()));
        }
        if !matches!(stopped.try_recv(), Err(mpsc::TryRecvError::Empty)) {
            return;
        }
    }
}

fn percentile(samples: &[Duration], percent: usize) -> f64 {
    let mut samples = samples.to_vec();
    samples.sort_unstable();
    let rank = (samples.len() * percent).div_ceil(100).max(1);
    samples[rank - 1].as_secs_f64() * 1e3
}

#[test]
#[ignore = "measures; cargo xtask test api-server --measure"]
fn start_and_memory_with_very_many_services_beside_a_plain_reflector() {
    let lab = Lab::new(&[]);
    let _server = lab.start(SERVER, PORT);
    lab.install(SERVER);
    populate(&lab, 0..MANY);
    println!("\n{MANY} services x {ENDPOINTS} endpoints");
    println!("{:44} {:>9} {:>12} {:>12} {:>12}", "", "ms", "RSS MiB", "own MiB", "peak MiB");
    for (round, what) in ["agent, first start", "agent, started again"].into_iter().enumerate() {
        let begun = Instant::now();
        let agent = lab.start_agent("node1", SERVER, PORT);
        let took = begun.elapsed();
        assert_eq!(until_rows(&agent, MANY).len(), MANY as usize, "round {round}");
        thread::sleep(SETTLING);
        row(what, took, agent.pid());
        agent.kill().unwrap();
    }
    for _ in 0..2 {
        let begun = Instant::now();
        let reflector = start_reflector(&lab);
        let took = begun.elapsed();
        thread::sleep(SETTLING);
        row("plain reflector of whole objects", took, reflector.0.id());
    }
}

struct Reflector(Child);

impl Drop for Reflector {
    fn drop(&mut self) {
        // It may have ended by itself, which is all that is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the reflector beside the agent's node and waits until it knows everything.
fn start_reflector(lab: &Lab) -> Reflector {
    let program: PathBuf = Path::new(SLUICE).with_file_name("examples").join("reflector");
    let place = lab.cluster.place("node2").unwrap();
    let kubeconfig = lab.agent_kubeconfig(SERVER, PORT);
    let command = lab.cluster.launcher().command(&place, program, vec![kubeconfig.into()], true);
    let mut command = command.unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = spawn(command).unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("complete"), "{said}");
    Reflector(child)
}

fn row(what: &str, took: Duration, pid: u32) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1024.0
    };
    let [rss, own, peak] = ["VmRSS:", "RssAnon:", "VmHWM:"].map(mib);
    println!("{what:44} {:9.0} {rss:12.1} {own:12.1} {peak:12.1}", took.as_secs_f64() * 1e3);
}
