//! The root of `sluice agent`: builds every part, in the order in which a start goes, wires them
//! and waits. Nobody else spawns.
//!
//! A start goes: check what must be there; ask the kernel what it can; load the programs, with the
//! tables an earlier agent pinned if there are any; fill the tables; and only then put the programs
//! on their hooks, in place of an earlier agent's. When the agent ends, all of that stays and
//! works; `sluice cleanup` takes it away.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch as channel},
    task::JoinSet,
    time::sleep,
};
use tracing::{info, warn};

use crate::{
    config::Config,
    kernel::{
        Dataplane, Error, ExternalDevice, Feature, Features, LOG_OBJECT, OBJECT, ORIGIN, Pins,
        Programs, Settings, environment, local_ports, sockets, sys,
    },
    maps::{FlowTables, KernelTables},
    model::Node,
    plan::Capacities,
    reconcile::{Event, Parts, Programmed, Reconciler},
    task::grace,
    telemetry::{Causes, kernel_log},
    upkeep,
    watch::{DeviceNet, FileSource, NetSource, Ranges, Selection},
};

/// Events that may wait while a plan is being written; senders wait beyond.
const EVENTS: usize = 64;

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
    environment::check_rights()?;
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
    let loaded = load(&config, &pins, &features)?;
    let ranges = Ranges {
        service_cidrs: config.service_cidrs.clone(),
        node_ports: config.node_ports.0..=config.node_ports.1,
    };
    let (source, news) = FileSource::open(config.manifests.clone(), ranges)?;
    let selection = config.interfaces.clone().map_or(Selection::ByRoutes, Selection::Named);
    let (network, net) = NetSource::open(selection).await?;

    let (events, inbox) = mpsc::channel(EVENTS);
    let (grace, requests) = grace::pair();
    let (programmed, progress) = channel::channel(Programmed::default());
    let (severed, to_close) = std::sync::mpsc::channel();
    let wait = features.has(Feature::GracePeriods).then_some(sys::wait_for_readers as _);
    let grace_over = events.clone();
    thread::Builder::new().name("grace".into()).spawn(move || {
        grace::serve(&requests, wait, || grace_over.blocking_send(Event::GraceOver).is_ok());
    })?;
    let theirs = cgroup.clone();
    // Dropped when this function ends, and with it the thread.
    let (_working, until) = std::sync::mpsc::channel();
    let snat_ports = config.snat_ports;
    thread::Builder::new()
        .name("upkeep".into())
        .spawn(move || upkeep::run(loaded.flows, snat_ports, &until))?;
    thread::Builder::new().name("sever".into()).spawn(move || close_severed(&to_close, &theirs))?;

    let reconciler = Reconciler::new(Parts {
        tables: loaded.tables,
        capacities: capacities(&config),
        node: Node { name: Arc::clone(&config.node_name), zone: None },
        node_port_addresses: config.node_port_addresses.clone(),
        grace,
        programmed,
        severed,
    });
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    tasks.spawn(async { reconciler.run(inbox).await.context("writing the tables") });
    tasks.spawn(async { source.run().await.context("following the manifests") });
    tasks.spawn(forward(news, Event::News, events.clone()));
    tasks.spawn(async { network.run().await.context("following this node's network") });
    tasks.spawn(forward(net, Event::NodeNet, events.clone()));
    tasks.spawn(keep_attached(loaded.dataplane, cgroup, progress, events.clone()));
    tasks.spawn(stop.forward(events));
    if let Some(reader) = loaded.kernel_log {
        thread::Builder::new().name("kernel-log".into()).spawn(|| reader.run())?;
    }
    // The first task to end ends the agent: the loop after a signal, any other by failing.
    let ended = tasks.join_next().await;
    tasks.abort_all();
    ended.transpose()?.transpose()?;
    info!("stopped; programs and tables stay in place");
    Ok(())
}

/// Loads programs and opens tables; nothing is attached yet.
fn load(config: &Config, pins: &Pins, features: &Features) -> Result<Loaded> {
    environment::lift_memory_limit();
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
    let options = [
        (config.external_cluster_ip, flags::EXTERNAL_CLUSTER_IP),
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

/// Passes a source's latest value on whenever there is a new one.
async fn forward<T: Clone>(
    mut values: channel::Receiver<T>,
    as_event: fn(T) -> Event,
    events: mpsc::Sender<Event>,
) -> Result<()> {
    loop {
        let latest = values.borrow_and_update().clone();
        events.send(as_event(latest)).await?;
        values.changed().await?;
    }
}

/// How long until hooks that could not be attached are tried again.
const ATTACH_AGAIN: Duration = Duration::from_secs(5);

/// Puts programs where the tables are ready for them: the cgroup once, devices as they come.
async fn keep_attached(
    mut dataplane: Dataplane,
    cgroup: PathBuf,
    mut progress: channel::Receiver<Programmed>,
    events: mpsc::Sender<Event>,
) -> Result<()> {
    let first = progress.wait_for(|now| now.services.is_some()).await?.clone();
    dataplane.attach_cgroup(&cgroup)?;
    let (mut devices, mut failed) = (first.devices, BTreeSet::new());
    let mut is_first = true;
    loop {
        let errors = dataplane.follow_devices(&external(&devices));
        let messages: BTreeSet<_> = errors.iter().map(|error| Causes(error).to_string()).collect();
        messages.difference(&failed).for_each(|message| warn!("{message}"));
        failed = messages;
        events.send(Event::NativeXdp(dataplane.native_xdp())).await?;
        if std::mem::take(&mut is_first) {
            for error in dataplane.drop_other_versions() {
                warn!("{}", Causes(&error));
            }
            let services = first.services.unwrap_or_default();
            info!("programmed: {services} services, {} devices", devices.len());
            if devices.is_empty() {
                warn!(
                    "no external device was found: clients outside this node are not served until \
                     one that --interfaces names, or that routes use, comes up"
                );
            }
        }
        tokio::select! {
            changed = progress.changed() => changed?,
            () = sleep(ATTACH_AGAIN), if !failed.is_empty() => (),
        }
        devices = progress.borrow_and_update().devices.clone();
    }
}

/// The devices as the kernel side wants them described.
fn external(devices: &BTreeMap<u32, DeviceNet>) -> BTreeMap<u32, ExternalDevice> {
    let describe = |device: &DeviceNet| ExternalDevice {
        name: device.name.as_str().into(),
        veth: device.kind.as_deref() == Some("veth"),
    };
    devices.iter().map(|(ifindex, device)| (*ifindex, describe(device))).collect()
}

/// Closes UDP sockets whose backend no service has any more. Ends with the agent.
fn close_severed(to_close: &std::sync::mpsc::Receiver<BTreeSet<SocketAddr>>, cgroup: &Path) {
    while let Ok(mut peers) = to_close.recv() {
        to_close.try_iter().for_each(|mut more| peers.append(&mut more));
        match sockets::close_udp(&peers, cgroup) {
            Ok(0) => (),
            Ok(closed) => info!(closed, "UDP sockets closed: their endpoint left its service"),
            Err(error) => warn!("closing UDP sockets of endpoints that left: {error}"),
        }
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
