//! The emulator: a machine with a kernel and a memory full of files, and what it says.
//!
//! The kernel's own console is one serial port, to a file; the tests' is another, to us.

use anyhow::{Context as _, Result, bail};
use lb_testbed::guest;
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// The program.
pub const EMULATOR: &str = "qemu-system-x86_64";

/// By the processor, and without its help.
const ACCELERATORS: [Accelerator; 2] = [
    Accelerator { name: "kvm", device: Some("/dev/kvm"), first_word: Duration::from_secs(45) },
    Accelerator { name: "tcg", device: None, first_word: Duration::from_secs(300) },
];
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(20 * 60);
const MEBIBYTES: &str = "2048";
/// Beside the file of the machine's memory: what its kernel, and what the emulator has to say.
const LOGS: [&str; 2] = ["console.log", "emulator.log"];
const LOG_LINES_SHOWN: usize = 20;

struct Accelerator {
    name: &'static str,
    device: Option<&'static str>,
    /// How long a machine may be silent at first.
    first_word: Duration,
}

/// What a machine is made of.
pub struct Machine<'a> {
    /// The compressed kernel.
    pub kernel: &'a Path,
    /// The files it begins with.
    pub memory: &'a Path,
    /// Which of them is the first process.
    pub init: &'a Path,
}

/// How a machine came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Off,
    Silent,
    Late,
}

impl Machine<'_> {
    /// Runs it until it turns itself off, and has every line read that it says by then.
    ///
    /// # Errors
    ///
    /// It never said a word, or had not ended in time. That it ended early is for the reader to
    /// notice.
    pub fn run(&self, read: &mut impl FnMut(&str)) -> Result<()> {
        let there = |one: &&Accelerator| one.device.is_none_or(|device| Path::new(device).exists());
        for accelerator in ACCELERATORS.iter().filter(there) {
            match self.boot(accelerator, read)? {
                End::Off => return Ok(()),
                End::Silent => println!("  it does not come up by {}", accelerator.name),
                End::Late => bail!("not done after {} s", LIMIT.as_secs()),
            }
        }
        bail!("it does not come up")
    }

    fn boot(&self, accelerator: &Accelerator, read: &mut impl FnMut(&str)) -> Result<End> {
        let mut child = self.command(accelerator)?.spawn().context(EMULATOR)?;
        let lines = lines(&mut child)?;
        let begun = Instant::now();
        let mut spoken = false;
        let end = loop {
            let limit = if spoken { LIMIT } else { accelerator.first_word };
            let left = limit.checked_sub(begun.elapsed());
            match left.map_or(Err(RecvTimeoutError::Timeout), |left| lines.recv_timeout(left)) {
                Ok(line) => {
                    spoken = true;
                    read(&line);
                }
                Err(RecvTimeoutError::Disconnected) if spoken => break End::Off,
                Err(RecvTimeoutError::Timeout) if spoken => break End::Late,
                Err(_) => break End::Silent,
            }
        };
        if end != End::Off {
            child.kill()?;
        }
        child.wait()?;
        Ok(end)
    }

    fn command(&self, accelerator: &Accelerator) -> Result<Command> {
        let [console, emulator] = self.logs();
        // What an earlier machine said is no word of this one.
        File::create(&console)?;
        let init = self.init.display();
        let mut command = Command::new(EMULATOR);
        command.args(["-accel", accelerator.name, "-m", MEBIBYTES, "-smp", "2"]);
        if accelerator.name == "kvm" {
            command.args(["-cpu", "host"]);
        }
        command.arg("-kernel").arg(self.kernel).arg("-initrd").arg(self.memory);
        command.arg("-append").arg(format!(
            "console=ttyS0 panic=-1 oops=panic quiet rdinit={init} -- {}",
            guest::VERB
        ));
        command.args(["-nodefaults", "-display", "none", "-no-reboot"]);
        command.arg("-serial").arg(format!("file:{}", console.display()));
        command.args(["-serial", "stdio"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(emulator)?);
        Ok(command)
    }

    fn logs(&self) -> [PathBuf; 2] {
        LOGS.map(|name| self.memory.with_file_name(name))
    }

    /// The end of what the kernel and the emulator have said, for people.
    pub fn last_words(&self) -> String {
        let mut words = String::new();
        for log in self.logs() {
            let bytes = fs::read(log).unwrap_or_default();
            let said = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
            for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
                words = words + "\n    " + line.trim_end();
            }
        }
        words
    }
}

/// What it says, line by line, as it comes.
fn lines(child: &mut Child) -> Result<Receiver<String>> {
    let output = child.stdout.take().context("a child without output")?;
    let (tell, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            // The device ends lines for a terminal.
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    Ok(lines)
}
