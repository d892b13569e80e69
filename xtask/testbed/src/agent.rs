//! An agent on a node: the real `sluice`, in the node's namespace, on the node's cgroup, with the
//! node's folder of pins.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    cluster::Families,
    error::{During, Error, Result},
    process::{Launcher, spawn},
    worker::{Container, Place},
};

/// What an agent's log says when the kernel has everything.
const READY: &str = "programmed: ";
/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Lines of a log that are shown when an agent failed.
const TAIL_LINES: usize = 20;
/// Networks that ClusterIPs are allotted from, by family.
const SERVICE_CIDR_V4: &str = "10.96.0.0/16";
const SERVICE_CIDR_V6: &str = "fd00:96::/112";

/// How agents are to run.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The `sluice` program.
    pub program: PathBuf,
    /// Where they hear of Services.
    pub source: Source,
    /// Further arguments.
    pub arguments: Vec<OsString>,
    /// What they are shut into, if anything.
    pub container: Option<Container>,
    /// How long one may take until it is ready; without, nobody waits for that.
    pub ready_within: Option<Duration>,
}

/// Where an agent hears of Services.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder of manifests.
    Manifests(PathBuf),
    /// The API server that this kubeconfig names.
    Kubeconfig(PathBuf),
}

impl AgentOptions {
    /// With nothing special about them, following a folder of manifests.
    pub fn new(program: impl Into<PathBuf>, manifests: impl Into<PathBuf>) -> Self {
        Self::of(program.into(), Source::Manifests(manifests.into()))
    }

    /// The same, following an API server.
    pub fn kubernetes(program: impl Into<PathBuf>, kubeconfig: impl Into<PathBuf>) -> Self {
        Self::of(program.into(), Source::Kubeconfig(kubeconfig.into()))
    }

    fn of(program: PathBuf, source: Source) -> Self {
        let ready_within = Some(Duration::from_secs(60));
        Self { program, source, arguments: Vec::new(), container: None, ready_within }
    }

    /// With a further argument.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

/// Where an agent runs and what is its own.
pub(crate) struct Home<'a> {
    pub(crate) node: &'a str,
    pub(crate) place: Place,
    pub(crate) cgroup: &'a Path,
    pub(crate) pins: PathBuf,
    pub(crate) logs: &'a Path,
    pub(crate) families: Families,
}

/// A running agent. Dropping it kills it, as a crash would: what it has pinned stays.
#[derive(Debug)]
pub struct Agent {
    node: String,
    child: Child,
    program: PathBuf,
    pins: PathBuf,
    log: PathBuf,
    /// Where this agent's part of the log begins; earlier ones on this node wrote before.
    log_start: u64,
}

impl Agent {
    pub(crate) fn start(
        options: &AgentOptions,
        launcher: &Launcher,
        home: &Home<'_>,
    ) -> Result<Self> {
        let log = home.logs.join(format!("{}.log", home.node));
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .during("open", log.display())?;
        let log_start = output.metadata().during("look at", log.display())?.len();
        let arguments = arguments(options, home);
        let mut command = match &options.container {
            None => launcher.command(&home.place, &options.program, arguments, true)?,
            Some(container) => {
                launcher.contained(&home.place, container, &options.program, arguments)?
            }
        };
        let errors = output.try_clone().during("share", log.display())?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = spawn(command).during("start the agent of", home.node)?;
        let mut agent = Self {
            node: home.node.to_owned(),
            child,
            program: options.program.clone(),
            pins: home.pins.clone(),
            log,
            log_start,
        };
        if let Some(patience) = options.ready_within {
            agent.wait_until_ready(patience)?;
        }
        Ok(agent)
    }

    /// Whether it has programmed the kernel.
    pub fn is_ready(&self) -> Result<bool> {
        Ok(self.own_log()?.contains(READY))
    }

    /// Waits until it has programmed the kernel.
    pub fn wait_until_ready(&mut self, patience: Duration) -> Result<()> {
        let give_up = Instant::now() + patience;
        while !self.is_ready()? {
            if let Some(status) = self.child.try_wait().during("watch", &self.node)? {
                return Err(self.failure(format!("ended with {status}"))?);
            }
            if Instant::now() > give_up {
                return Err(self.failure(format!("was not ready after {patience:?}"))?);
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// What this agent has logged so far.
    pub fn own_log(&self) -> Result<String> {
        let bytes = fs::read(&self.log).during("read", self.log.display())?;
        let own = bytes.get(self.log_start as usize..).unwrap_or(&[]);
        Ok(String::from_utf8_lossy(own).into_owned())
    }

    fn failure(&self, what: String) -> Result<Error> {
        let log = self.own_log()?;
        let lines: Vec<&str> = log.lines().collect();
        let log_tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        Ok(Error::Agent { node: self.node.clone(), what, log_tail })
    }

    /// What `sluice inspect` prints about this node.
    pub fn inspect(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .arg("inspect")
            .args(arguments)
            .arg("--pin-path")
            .arg(&self.pins)
            .output()
            .during("run", self.program.display())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Worker {
            worker: format!("sluice inspect {} of {}", arguments.join(" "), self.node),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.child.wait().during("wait for", &self.node)
    }

    /// Ends it as a crash would, and waits until it is gone.
    pub fn kill(mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGKILL)?;
        self.child.wait().during("wait for", &self.node)
    }

    /// Keeps it from running until [`resume`](Self::resume).
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it run again.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), signal).during("signal", &self.node)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The log of all agents this node has had.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its folder of pins.
    pub fn pins(&self) -> &Path {
        &self.pins
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself, which is all that is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn arguments(options: &AgentOptions, home: &Home<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["agent".into()];
    let inside = |path: &Path| match &options.container {
        None => path.into(),
        Some(container) => container.inside(path).into(),
    };
    let mut add = |flag: &str, value: OsString| arguments.extend([flag.into(), value]);
    match &options.source {
        Source::Manifests(folder) => add("--manifests", inside(folder)),
        Source::Kubeconfig(file) => add("--kubeconfig", inside(file)),
    }
    add("--node-name", home.node.into());
    add("--cgroup", inside(home.cgroup));
    add("--pin-path", inside(&home.pins));
    // An API server has allotted every address already.
    let allots = matches!(options.source, Source::Manifests(_));
    if allots && home.families != Families::V6 {
        add("--service-cidr", SERVICE_CIDR_V4.into());
    }
    if allots && home.families != Families::V4 {
        add("--service-cidr", SERVICE_CIDR_V6.into());
    }
    arguments.extend(options.arguments.iter().cloned());
    arguments
}
