//! Worker processes as the one who gave the order sees them. They end with the value that stands
//! for them, and with this process however it ends.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::Duration,
};

use crate::{
    error::{During, Error, Result},
    worker::{
        self, Container, Line, Load, Loaded, Order, Place, Probe, Report, Respond, Serve, Task,
    },
};

/// Name of this crate's own binary.
const OWN_BINARY: &str = "lb-testbed";

/// How often to look how far a client is.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The program that workers are re-executions of.
#[derive(Clone, Debug)]
pub struct Launcher {
    program: PathBuf,
}

impl Launcher {
    /// A program whose verb [`worker::VERB`] calls [`worker::main`].
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// The program that is running.
    pub fn this_program() -> Result<Self> {
        Ok(Self::new(std::env::current_exe().during("find", "the running program")?))
    }

    /// For test programs: this crate's own binary, which cargo puts into the folder above theirs.
    pub fn beside_tests() -> Result<Self> {
        let test = std::env::current_exe().during("find", "the running program")?;
        let program = test.ancestors().skip(1).take(2).map(|folder| folder.join(OWN_BINARY));
        match program.into_iter().find(|path| path.exists()) {
            Some(path) => Ok(Self::new(path)),
            None => Err(Error::Unknown {
                what: format!("{OWN_BINARY} beside {}; build it first", test.display()),
            }),
        }
    }

    /// Starts a server and waits until it answers.
    pub fn serve(&self, place: &Place, serve: &Serve) -> Result<Worker> {
        let what = format!("server {}", serve.name);
        self.start(what, place, Task::Serve(serve.clone()))
    }

    /// Makes a client's requests and waits for its report.
    pub fn probe(&self, place: &Place, probe: &Probe) -> Result<Report> {
        self.start_probe(place, probe)?.report()
    }

    /// Starts a client and waits until it is about to send.
    pub fn start_probe(&self, place: &Place, probe: &Probe) -> Result<RunningProbe> {
        let what = format!("client of {}", probe.to);
        let worker = self.start(what, place, Task::Probe(probe.clone()))?;
        Ok(RunningProbe { worker, report: None })
    }

    /// Starts a server for measurements and waits until it answers.
    pub fn respond(&self, place: &Place, respond: &Respond) -> Result<Worker> {
        let what = format!("server {}", respond.name);
        self.start(what, place, Task::Respond(respond.clone()))
    }

    /// Has a client measure, and waits for its result.
    pub fn load(&self, place: &Place, load: &Load) -> Result<Loaded> {
        let what = format!("client of {:?}", load.to);
        let mut worker = self.start(what, place, Task::Load(load.clone()))?;
        match worker.line()? {
            Line::Loaded(loaded) => Ok(loaded),
            line => Err(worker.unexpected(line)),
        }
    }

    /// A command that runs a program in a place; the caller says what becomes of its input and
    /// output, and starts it with [`spawn`] if it is to end with this process.
    pub fn command(
        &self,
        place: &Place,
        program: impl Into<OsString>,
        arguments: Vec<OsString>,
        dies_with_parent: bool,
    ) -> Result<Command> {
        let task = Task::Run { program: program.into(), arguments, container: None };
        self.order(Order { place: place.clone(), task, dies_with_parent })
    }

    /// The same in a container, for a command that ends with this process.
    pub fn contained(
        &self,
        place: &Place,
        container: &Container,
        program: impl Into<OsString>,
        arguments: Vec<OsString>,
    ) -> Result<Command> {
        let container = Some(container.clone());
        let task = Task::Run { program: program.into(), arguments, container };
        self.order(Order { place: place.clone(), task, dies_with_parent: true })
    }

    fn order(&self, order: Order) -> Result<Command> {
        let order = serde_json::to_string(&order).during("write", "an order")?;
        let mut command = Command::new(&self.program);
        command.arg(worker::VERB).arg(order);
        Ok(command)
    }

    fn start(&self, what: String, place: &Place, task: Task) -> Result<Worker> {
        let order = Order { place: place.clone(), task, dies_with_parent: true };
        let mut command = self.order(order)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(command).during("start", &what)?;
        let output = child.stdout.take().map(BufReader::new);
        let mut worker = Worker { what, child, output };
        worker.expect_ready()?;
        Ok(worker)
    }

    /// The program's path.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// A process in a place; killed with the value.
#[derive(Debug)]
pub struct Worker {
    what: String,
    child: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Worker {
    fn expect_ready(&mut self) -> Result<()> {
        match self.line()? {
            Line::Ready => Ok(()),
            line => Err(self.unexpected(line)),
        }
    }

    fn unexpected(&self, line: Line) -> Error {
        match line {
            Line::Ready => self.failure("began twice"),
            Line::Ended(_) | Line::Report(_) | Line::Loaded(_) => {
                self.failure("has a result nobody asked for")
            }
            Line::Failed(message) => self.failure(&message),
        }
    }

    fn line(&mut self) -> Result<Line> {
        let mut text = String::new();
        if let Some(output) = &mut self.output {
            output.read_line(&mut text).during("read from", &self.what)?;
        }
        if text.is_empty() {
            return Err(self.failure("ended without a word"));
        }
        serde_json::from_str(&text).during("understand", &self.what)
    }

    fn failure(&self, message: &str) -> Error {
        Error::Worker { worker: self.what.clone(), message: message.to_owned() }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself, which is all that is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client at work.
#[derive(Debug)]
pub struct RunningProbe {
    worker: Worker,
    /// If it came before it was waited for.
    report: Option<Report>,
}

impl RunningProbe {
    /// Waits until a client that goes on until it is stopped has ended so many more exchanges, of
    /// which as many as it makes at a time may have begun before; or has come to an end by itself.
    pub fn go_on(&mut self, exchanges: u64) -> Result<()> {
        let Some(before) = self.ended()? else { return Ok(()) };
        while self.ended()?.is_some_and(|ended| ended < before + exchanges) {
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// How many exchanges it has ended; `None` if it makes no more.
    fn ended(&mut self) -> Result<Option<u64>> {
        if self.report.is_some() {
            return Ok(None);
        }
        if let Some(input) = &mut self.worker.child.stdin {
            // One that has come to an end reads nothing, but has left its report.
            let _ = input.write_all(b"?");
        }
        match self.worker.line()? {
            Line::Ended(exchanges) => Ok(Some(exchanges)),
            Line::Report(report) => {
                self.report = Some(report);
                Ok(None)
            }
            line => Err(self.worker.unexpected(line)),
        }
    }

    /// Tells a client that goes on until it is stopped to stop, and waits for its report.
    pub fn stop(mut self) -> Result<Report> {
        drop(self.worker.child.stdin.take());
        self.report()
    }

    /// Waits for its report.
    pub fn report(mut self) -> Result<Report> {
        if let Some(report) = self.report {
            return Ok(report);
        }
        match self.worker.line()? {
            Line::Report(report) => Ok(report),
            line => Err(self.worker.unexpected(line)),
        }
    }
}

type Spawned = io::Result<Child>;
type Job = (Command, mpsc::Sender<Spawned>);

/// Starts a process from a thread that lives as long as this process does. A child that asks to
/// be killed with its parent is killed when the *thread* that started it ends.
pub fn spawn(command: Command) -> Spawned {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in queue {
                // Nobody waits for the answer only if the caller is gone.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    let (answer, spawned) = mpsc::channel();
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
    spawned.recv().map_err(gone)?
}
