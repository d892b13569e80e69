//! The root of `sluice agent`: builds every part, in the order in which a start goes, wires them
//! and waits. Nobody else spawns.
//!
//! A start goes: check what must be there; ask the kernel what it can; load the programs, with the
//! tables an earlier agent pinned if there are any; fill the tables; and only then put the programs
//! on their hooks, in place of an earlier agent's. When the agent ends, all of that stays and
//! works; `sluice cleanup` takes it away.

mod attach;
mod ports;
mod source;

use std::{
    collections::BTreeSet,
    future::Future,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::{Arc, mpsc::Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch as channel},
    task::JoinSet,
};
use tracing::{debug, info, warn};

use self::ports::Ports;
use crate::{
    coexistence,
    config::Config,
    kernel::{
        Dataplane, Error, Feature, Features, LOG_OBJECT, OBJECT, ORIGIN, Pins, Programs, Settings,
        XdpMode, environment, local_ports, rights, sys,
    },
    maps::{Counters, FlowTables, KernelTables},
    model::Node,
    plan::Capacities,
    reconcile::{Event, Parts, Programmed, Reconciler},
    serve::Datapath,
    task::grace,
    telemetry::{Causes, kernel_log},
    upkeep,
    watch::{External, NetSource, Selection},
};

/// Events that may wait while a plan is being written; senders wait beyond.
const EVENTS: usize = 64;
/// Incidents of Services that may wait to be told of.
const INCIDENTS: usize = 64;

/// Something that runs for as long as the agent; it ends only by failing.
type Task = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What a start makes, before anything runs.
struct Loaded {
    dataplane: Dataplane,
    tables: KernelTables,
    flows: FlowTables,
    kernel_log: Option<kernel_log::Reader>,
}

/// Runs until a signal ends it.
///
/// # Errors
///
/// The agent could not start, or can no longer do its work.
pub async fn run(config: Config) -> Result<()> {
    // From the first moment: a signal during a start must not be lost.
    let stop = Stop::new().context("waiting for signals")?;
    debug!(?config, "settings");
    config.remarks.iter().for_each(|remark| warn!("{remark}"));
    rights::check()?;
    rights::lift_memory_limit()?;
    let cgroup = match &config.cgroup {
        Some(cgroup) => cgroup.clone(),
        None => environment::find_cgroup2()?,
    };
    environment::cgroup_id(&cgroup)?;
    local_ports::check(config.snat_ports);
    let features = Features::probe()?;
    let pins = Pins::new(&config.pin_path);
    environment::ensure_bpffs(pins.root())?;
    pins.prepare()?;
    let _lock = pins.lock()?;
    coexistence::check(config.allow_kube_proxy)?;
    let loaded = load(&config, &pins, &features)?;
    let selection = Selection {
        external: config.interfaces.clone().map_or(External::ByRoutes, External::Named),
        pods: config.pod_interfaces.clone(),
    };
    let (network, net) = NetSource::open(selection).await?;

    let (events, inbox) = mpsc::channel(EVENTS);
    let (grace, requests) = grace::pair();
    let (programmed, progress) = channel::channel(Programmed::default());
    let (severed, to_close) = std::sync::mpsc::channel();
    start_threads(&features, &cgroup, &events, requests, to_close)?;
    let counters = Counters::open(&pins.maps())?;
    let ports = Ports::new(&capacities(&config), Box::new(Datapath::new(move || counters.read())));
    // Dropped when this function ends, and with it the thread.
    let (_working, until) = std::sync::mpsc::channel();
    let (flows, snat_ports, seen) = (loaded.flows, config.snat_ports, ports.upkeep_metrics.clone());
    thread::Builder::new()
        .name("upkeep".into())
        .spawn(move || upkeep::run(flows, snat_ports, &seen, &until))?;

    let reconciler = Reconciler::new(Parts {
        tables: loaded.tables,
        capacities: capacities(&config),
        node: Node { name: Arc::clone(&config.node_name), zone: None },
        node_port_addresses: config.node_port_addresses.clone(),
        direct_delivery: config.direct_delivery,
        grace,
        programmed,
        severed,
        metrics: ports.loop_metrics.clone(),
        pulse: Arc::clone(&ports.pulse),
        give_memory_back: sys::give_memory_back,
    });
    let followed =
        source::open(&config, &events, ports.eligible(), ports.watch_metrics.clone()).await?;
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    tasks.spawn(async { network.run().await.context("following this node's network") });
    tasks.spawn(source::forward(net, Event::NodeNet, events.clone()));
    let attaching = attach::Attaching {
        dataplane: loaded.dataplane,
        cgroup,
        progress: progress.clone(),
        events: events.clone(),
        ready: Arc::clone(&ports.ready),
        metrics: ports.kernel_metrics.clone(),
    };
    tasks.spawn(attaching.run());
    let (incidents, to_tell) = mpsc::channel(INCIDENTS);
    tasks.spawn(source::tell(followed.publisher, to_tell));
    for task in followed.tasks.into_iter().chain(ports.servers(&config, progress, incidents)?) {
        tasks.spawn(task);
    }
    tasks.spawn(stop.forward(events));
    if let Some(reader) = loaded.kernel_log {
        thread::Builder::new().name("kernel-log".into()).spawn(|| reader.run())?;
    }
    // The loop ends after a signal, a task only by failing; and every task fails once the loop is
    // gone, so that it is asked first.
    tokio::select! {
        biased;
        ended = reconciler.run(inbox) => ended.context("writing the tables")?,
        Some(ended) = tasks.join_next() => ended??,
    }
    tasks.abort_all();
    info!("stopped; programs and tables stay in place");
    Ok(())
}

/// Starts the threads of what has to wait in the kernel.
fn start_threads(
    features: &Features,
    cgroup: &Path,
    events: &mpsc::Sender<Event>,
    requests: Receiver<Duration>,
    to_close: Receiver<BTreeSet<SocketAddr>>,
) -> Result<()> {
    let wait = features.has(Feature::GracePeriods).then_some(sys::wait_for_readers as _);
    let grace_over = events.clone();
    thread::Builder::new().name("grace".into()).spawn(move || {
        grace::serve(&requests, wait, || grace_over.blocking_send(Event::GraceOver).is_ok());
    })?;
    match rights::missing_for_pods()? {
        missing if missing.is_empty() => (),
        missing => warn!(
            "UDP sockets in pods stay connected to endpoints that left: missing {}",
            missing.join(", ")
        ),
    }
    let theirs = cgroup.to_owned();
    thread::Builder::new()
        .name("sever".into())
        .spawn(move || attach::close_severed(&to_close, &theirs))?;
    Ok(())
}

/// Loads programs and opens tables; nothing is attached yet.
fn load(config: &Config, pins: &Pins, features: &Features) -> Result<Loaded> {
    let settings = Settings {
        sizes: config.sizes,
        flags: program_flags(config, features),
        node_ports: config.node_ports,
        snat_ports: config.snat_ports,
    };
    let (programs, kernel_log) = load_programs(config, &settings, pins)?;
    let batch = features.has(Feature::Batch);
    let tables = KernelTables::open(&pins.maps(), sys::Access::Write, batch)?;
    let flows = FlowTables::open(&pins.maps(), programs.sweep()?, batch)?;
    let dataplane = Dataplane::new(programs, pins.clone(), config.xdp, features);
    info!(object = ORIGIN, node = %config.node_name, pins = %pins.root().display(), "loaded");
    Ok(Loaded { dataplane, tables, flows, kernel_log })
}

/// Loads the object that logs if that is wanted and the kernel takes it, else the other one.
fn load_programs(
    config: &Config,
    settings: &Settings,
    pins: &Pins,
) -> Result<(Programs, Option<kernel_log::Reader>)> {
    if config.verbose {
        match Programs::load(LOG_OBJECT, settings, pins) {
            Ok(mut programs) => {
                let reader = kernel_log::Reader::new(programs.object())?;
                return Ok((programs, Some(reader)));
            }
            // Older verifiers allow less stack, and log lines take some.
            Err(error @ Error::Verifier { .. }) => {
                warn!("no log lines from the kernel's programs: {}", Causes(&error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((Programs::load(OBJECT, settings, pins)?, None))
}

fn program_flags(config: &Config, features: &Features) -> u32 {
    use lb_common::settings::flags;
    // A packet that generic XDP had to copy reaches tc without its Ethernet header if the program is
    // of this kind (seen with 6.18); for the other kind the stack makes one buffer of it.
    let xdp_frags = features.has(Feature::XdpFrags) && config.xdp != XdpMode::Generic;
    let options = [
        (config.external_cluster_ip, flags::EXTERNAL_CLUSTER_IP),
        (config.vip_ping, flags::VIP_PING),
        (config.reject_unused_ports, flags::REJECT_UNUSED_PORTS),
        (config.direct_delivery, flags::DIRECT_DELIVERY),
        (xdp_frags, flags::XDP_FRAGS),
        // Of itself XDP takes no veth device; told to, it may be on one.
        (config.xdp == XdpMode::Auto, flags::XDP_TX),
        (features.has(Feature::SetRetval), flags::SET_RETVAL),
    ];
    options.iter().filter(|(on, _)| *on).fold(0, |set, (_, flag)| set | flag)
}

fn capacities(config: &Config) -> Capacities {
    let sizes = &config.sizes;
    Capacities {
        services: sizes.services,
        backends: sizes.backends,
        slots: sizes.slots,
        name_cells: sizes.name_cells,
        frontends: sizes.frontends,
        source_ranges: sizes.source_ranges,
        ..Capacities::default()
    }
}

/// The signals that end the agent.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Passes the first of them on, then waits for the loop to end.
    async fn forward(mut self, events: mpsc::Sender<Event>) -> Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
        info!("stopping");
        events.send(Event::Stop).await?;
        std::future::pending().await
    }
}
