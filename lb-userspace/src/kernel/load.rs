//! From the object's bytes to loaded programs and pinned maps.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::{
    Ebpf, EbpfLoader,
    maps::MapInfo,
    programs::{CgroupSockAddr, Program, ProgramError, SchedClassifier, Xdp},
};
use lb_common::{limits, names, settings::flags};
use nix::time::{ClockId, clock_getres};
use tracing::{debug, warn};

use super::{
    Error,
    hook::Hook,
    object,
    pins::{self, Pins},
    spec::{MapSpec, Sizes},
};

/// What is fixed for as long as the programs live.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How large the tables are.
    pub sizes: Sizes,
    /// A set of [`lb_common::settings::flags`].
    pub flags: u32,
    /// First and last NodePort.
    pub node_ports: (u16, u16),
    /// First and last source port of ours, of flows to backends elsewhere.
    pub snat_ports: (u16, u16),
}

/// Loaded programs, attached or not.
#[derive(Debug)]
pub struct Programs(Ebpf);

impl Programs {
    /// Loads all programs of the object. Maps that are pinned already are used, with all they
    /// contain, if their shape is right; else they are replaced.
    ///
    /// # Errors
    ///
    /// See [`Error`]; nothing is attached by then.
    pub fn load(object: &[u8], settings: &Settings, pins: &Pins) -> Result<Self, Error> {
        let specs = MapSpec::all(&settings.sizes);
        remove_misfits(&specs, pins)?;
        let (first_port, last_port) = settings.node_ports;
        let (first_snat_port, last_snat_port) = settings.snat_ports;
        let snat_ports = last_snat_port.saturating_sub(first_snat_port).saturating_add(1);
        let flow_refresh = flow_refresh_jiffies();
        let mut loader = EbpfLoader::new();
        loader
            .override_global(names::GLOBAL_FLAGS, &settings.flags, true)
            .override_global(names::GLOBAL_NODE_PORT_FIRST, &first_port, true)
            .override_global(names::GLOBAL_NODE_PORT_LAST, &last_port, true)
            .override_global(names::GLOBAL_FLOW_REFRESH_JIFFIES, &flow_refresh, true)
            .override_global(names::GLOBAL_SNAT_PORT_FIRST, &first_snat_port, true)
            .override_global(names::GLOBAL_SNAT_PORTS, &snat_ports, true);
        for spec in &specs {
            loader.map_pin_path(spec.name, pins.map(spec.name));
            if spec.max_entries > 0 {
                loader.map_max_entries(spec.name, spec.max_entries);
            }
        }
        let object = object::of(object, settings.flags & flags::XDP_FRAGS != 0);
        let mut ebpf = loader.load(&object).map_err(Error::Object)?;
        for spec in &specs {
            if ebpf.map(spec.name).is_none() {
                return Err(Error::NotInObject(format!("table {}", spec.name)));
            }
            if let Some(difference) = pinned_difference(spec, pins)? {
                // The object's fault: no later start may take this table for one of ours.
                pins::remove(&pins.map(spec.name))?;
                return Err(Error::Shape { name: spec.name, difference });
            }
        }
        for hook in Hook::sockets().chain([Hook::XDP]).chain(Hook::ALL_TC) {
            load_program(&mut ebpf, hook.program)?;
        }
        load_program(&mut ebpf, names::SWEEP)?;
        Ok(Self(ebpf))
    }

    /// The program of a hook.
    ///
    /// # Errors
    ///
    /// [`Error::NotInObject`].
    pub fn descriptor(&self, hook: Hook) -> Result<BorrowedFd<'_>, Error> {
        let missing = || Error::NotInObject(format!("program {}", hook.program));
        let program = self.0.program(hook.program).ok_or_else(missing)?;
        program.fd().map(AsFd::as_fd).map_err(|_| missing())
    }

    /// The kernel's number of a hook's program.
    ///
    /// # Errors
    ///
    /// [`Error::NotInObject`], or the kernel does not tell.
    pub fn id(&self, hook: Hook) -> Result<u32, Error> {
        let missing = || Error::NotInObject(format!("program {}", hook.program));
        let program = self.0.program(hook.program).ok_or_else(missing)?;
        let info = program.info();
        info.map(|info| info.id())
            .map_err(|source| Error::Program { program: hook.program, source })
    }

    /// Pins again what is no longer pinned. Returns the names of those tables.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn keep_pinned(&self, pins: &Pins) -> Result<Vec<&str>, Error> {
        let mut repaired = Vec::new();
        for name in MapSpec::all(&Sizes::default()).iter().map(|spec| spec.name) {
            let (path, map) = (pins.map(name), self.0.map(name));
            if let Some(map) = map.filter(|_| !path.exists()) {
                map.pin(&path).map_err(|source| Error::Pin { name, source })?;
                repaired.push(name);
            }
        }
        Ok(repaired)
    }

    /// The program that looks through flows, to be run and not attached.
    ///
    /// # Errors
    ///
    /// [`Error::NotInObject`], or no descriptor was left.
    pub fn sweep(&self) -> Result<OwnedFd, Error> {
        let missing = || Error::NotInObject(format!("program {}", names::SWEEP));
        let program = self.0.program(names::SWEEP).ok_or_else(missing)?;
        let descriptor = program.fd().map_err(|_| missing())?.as_fd();
        descriptor
            .try_clone_to_owned()
            .map_err(|source| Error::Program { program: names::SWEEP, source: source.into() })
    }

    /// The classifier of a hook, for the older interface of traffic control.
    ///
    /// # Errors
    ///
    /// [`Error::NotInObject`].
    pub fn classifier(&mut self, hook: Hook) -> Result<&mut SchedClassifier, Error> {
        let missing = || Error::NotInObject(format!("program {}", hook.program));
        let program = self.0.program_mut(hook.program).ok_or_else(missing)?;
        program.try_into().map_err(|_| missing())
    }

    /// The object as aya has it, for what reads its log lines.
    pub fn object(&mut self) -> &mut Ebpf {
        &mut self.0
    }
}

/// [`limits::FLOW_REFRESH_MS`] in jiffies of this kernel, whose length the coarse clock's resolution
/// is: one at least, and where that is not told the most there can be.
fn flow_refresh_jiffies() -> u32 {
    let jiffy = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |jiffy| jiffy.tv_nsec());
    let refresh_ns = i64::from(limits::FLOW_REFRESH_MS) * 1_000_000;
    let jiffies = refresh_ns.checked_div(jiffy).and_then(|jiffies| u32::try_from(jiffies).ok());
    jiffies.map_or(limits::FLOW_REFRESH_MS, |jiffies| jiffies.max(1))
}

/// The way in which a pinned map is unlike its specification; `None` also if nothing is pinned.
fn pinned_difference(spec: &MapSpec, pins: &Pins) -> Result<Option<String>, Error> {
    let path = pins.map(spec.name);
    if !path.exists() {
        return Ok(None);
    }
    let info = MapInfo::from_pin(&path).map_err(|source| Error::Map { name: spec.name, source })?;
    Ok(spec.difference(&info))
}

/// Unpins maps whose shape is not what it should be, so that loading makes new ones. Programs that
/// are attached go on with the old ones until they are replaced.
///
/// The tables that are planned refer to each other by index, and what the programs remember refers
/// to them: if one of those must go, all must.
fn remove_misfits(specs: &[MapSpec], pins: &Pins) -> Result<(), Error> {
    let mut misfits = Vec::new();
    for spec in specs {
        if let Some(difference) = pinned_difference(spec, pins)? {
            warn!("pinned table {} is replaced: {difference}", spec.name);
            misfits.push(*spec);
        }
    }
    if misfits.iter().any(MapSpec::is_planned) {
        warn!(
            "all tables are replaced: open flows from outside are lost, UDP and session \
               affinity choose anew"
        );
        misfits.extend(specs.iter().filter(|spec| spec.names_rows()));
    }
    if misfits.iter().any(MapSpec::is_of_flows) {
        misfits.extend(specs.iter().filter(|spec| spec.is_of_flows()));
    }
    misfits.iter().try_for_each(|spec| pins::remove(&pins.map(spec.name)))
}

fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<(), Error> {
    let missing = || Error::NotInObject(format!("program {name}"));
    let program = ebpf.program_mut(name).ok_or_else(missing)?;
    let loaded = match program {
        Program::CgroupSockAddr(program) => CgroupSockAddr::load(program),
        Program::Xdp(program) => Xdp::load(program),
        Program::SchedClassifier(program) => SchedClassifier::load(program),
        _ => return Err(missing()),
    };
    loaded.map_err(|error| refused(name, error))?;
    let info = program.info().map_err(|source| Error::Program { program: name, source })?;
    if info.btf_id().is_none() {
        return Err(Error::BtfRefused);
    }
    let instructions = info.verified_instruction_count().unwrap_or_default();
    debug!(program = name, id = info.id(), instructions, "loaded");
    Ok(())
}

/// A load error with the verifier's log cut down to what it came to.
fn refused(program: &'static str, error: ProgramError) -> Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let summary = summary(&log).to_owned();
            debug!("verifier log of {program}:\n{log}");
            Error::Verifier { program, summary, log, source: io_error }
        }
        source => Error::Program { program, source },
    }
}

/// The last line that is neither a statistic nor an echo of an instruction.
fn summary(log: &str) -> &str {
    const STATISTICS: [&str; 5] =
        ["processed ", "verification time", "stack depth", "func#", "mark_precise"];
    log.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start)))
        .unwrap_or("without saying why; is it the size of the program, or a missing right?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_last_word_is_found() {
        #[track_caller]
        fn check(log: &str, expected: &str) {
            assert_eq!(summary(log), expected);
        }
        check(
            "0: (79) r1 = *(u64 *)(r1 +0)\ninvalid access to packet, off=0 size=8, R1\nprocessed 3 \
             insns (limit 1000000)\nverification time 12 usec\nstack depth 0\n\n",
            "invalid access to packet, off=0 size=8, R1",
        );
        check("R0 !read_ok\n", "R0 !read_ok");
        check("", "without saying why; is it the size of the program, or a missing right?");
    }
}
