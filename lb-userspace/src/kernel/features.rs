//! What this kernel can do, asked once by trying, with the version that first had it.

use aya::{
    maps::Array,
    programs::{SchedClassifier, TcAttachType},
    util::KernelVersion,
};
use tracing::debug;

use super::{Error, hook::Hook, sys};

/// The oldest kernel that is supported.
pub const FLOOR: (u8, u8) = (5, 10);

/// An ability that some kernels lack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// Type information of objects: socket storage cannot do without.
    Btf,
    /// Programs held by links, replaced by one call.
    Links,
    /// A hook in getpeername().
    GetPeerName,
    /// Array tables shared with the agent's memory.
    MappedArrays,
    /// Many entries of a table in one call.
    Batch,
    /// Waiting for all running programs.
    GracePeriods,
    /// A socket hook may choose the error its caller sees.
    SetRetval,
    /// XDP programs see frames of more than one buffer.
    XdpFrags,
    /// Links at the traffic-control hook.
    Tcx,
}

impl Feature {
    /// All of them, oldest first.
    pub const ALL: [Self; 9] = [
        Self::GracePeriods,
        Self::Btf,
        Self::MappedArrays,
        Self::Batch,
        Self::Links,
        Self::GetPeerName,
        Self::SetRetval,
        Self::XdpFrags,
        Self::Tcx,
    ];

    /// What people know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Btf => "BTF (CONFIG_DEBUG_INFO_BTF)",
            Self::Links => "bpf links for cgroup and XDP programs",
            Self::GetPeerName => "getpeername hooks",
            Self::MappedArrays => "mmapable arrays",
            Self::Batch => "map batch operations",
            Self::GracePeriods => "membarrier",
            Self::SetRetval => "bpf_set_retval in socket hooks",
            Self::XdpFrags => "XDP frames of more than one buffer",
            Self::Tcx => "tcx links",
        }
    }

    /// The first version that has it.
    pub const fn since(self) -> &'static str {
        match self {
            Self::GracePeriods => "4.16",
            Self::Btf => "5.2",
            Self::MappedArrays => "5.5",
            Self::Batch => "5.6",
            Self::Links => "5.9",
            Self::GetPeerName => "5.8",
            Self::SetRetval | Self::XdpFrags => "5.18",
            Self::Tcx => "6.6",
        }
    }

    /// What is done where it is missing; `None`: the agent cannot run.
    pub const fn fall_back(self) -> Option<&'static str> {
        match self {
            Self::Btf | Self::Links | Self::GetPeerName | Self::MappedArrays => None,
            Self::Batch => Some("entries are written one by one"),
            Self::GracePeriods => Some("retired entries wait out a fixed time"),
            Self::SetRetval => Some("a refused connection fails with EPERM"),
            Self::XdpFrags => Some("tc does all of it on devices with large frames"),
            Self::Tcx => Some("clsact filters are used"),
        }
    }

    fn probe(self) -> bool {
        match self {
            Self::Btf => aya::features().btf().is_some(),
            Self::Links => sys::links_supported(),
            Self::GetPeerName => {
                let hook = Hook::GETPEERNAME4.attach_type;
                sys::program_loads(kind::CGROUP_SOCK_ADDR, hook, 0, &[code::RETURN_1, code::EXIT])
            }
            Self::MappedArrays => Array::<_, u64>::create(1, MMAPABLE).is_ok(),
            Self::Batch => sys::batch_supported(),
            Self::GracePeriods => sys::grace_periods_supported(),
            Self::SetRetval => {
                let hook = Hook::CONNECT4.attach_type;
                let refuse = [code::ARGUMENT_IS_ECONNREFUSED, code::CALL_SET_RETVAL];
                let code = [&refuse[..], &[code::RETURN_0, code::EXIT]].concat();
                sys::program_loads(kind::CGROUP_SOCK_ADDR, hook, 0, &code)
            }
            Self::XdpFrags => {
                let code = [code::RETURN_1, code::EXIT];
                sys::program_loads(kind::XDP, Hook::XDP.attach_type, HAS_FRAGS, &code)
            }
            Self::Tcx => SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_ok(),
        }
    }
}

/// The map flag `BPF_F_MMAPABLE`.
pub const MMAPABLE: u32 = 1 << 10;

/// The program flag `BPF_F_XDP_HAS_FRAGS`.
const HAS_FRAGS: u32 = 1 << 5;

/// Program types by their number.
mod kind {
    pub const XDP: u32 = 6;
    pub const CGROUP_SOCK_ADDR: u32 = 18;
}

/// Instructions of the probes: operation, registers, offset and immediate in one word.
mod code {
    const fn word(operation: u8, register: u8, immediate: i32) -> u64 {
        operation as u64 | (register as u64) << 8 | (immediate as u32 as u64) << 32
    }
    const MOVE: u8 = 0xb7;
    const CALL: u8 = 0x85;
    const SET_RETVAL: i32 = 187;

    pub const RETURN_0: u64 = word(MOVE, 0, 0);
    pub const RETURN_1: u64 = word(MOVE, 0, 1);
    pub const ARGUMENT_IS_ECONNREFUSED: u64 = word(MOVE, 1, -111);
    pub const CALL_SET_RETVAL: u64 = word(CALL, 0, SET_RETVAL);
    pub const EXIT: u64 = word(0x95, 0, 0);
}

/// The abilities of this kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Features {
    present: Vec<Feature>,
}

impl Features {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// The kernel is older than [`FLOOR`], or lacks what has no fall-back.
    pub fn probe() -> Result<Self, Error> {
        let (major, minor) = FLOOR;
        let floor = KernelVersion::new(major, minor, 0);
        if KernelVersion::current().is_ok_and(|version| version < floor) {
            let release = nix::sys::utsname::uname()
                .map(|name| name.release().to_string_lossy().into_owned())
                .unwrap_or_default();
            return Err(Error::KernelTooOld { release, major, minor });
        }
        let present: Vec<_> = Feature::ALL.into_iter().filter(|feature| feature.probe()).collect();
        let features = Self { present };
        for feature in Feature::ALL.into_iter().filter(|feature| !features.has(*feature)) {
            let (name, since) = (feature.name(), feature.since());
            match feature.fall_back() {
                None => return Err(Error::Feature { name, since }),
                Some(instead) => debug!("kernel without {name} (first in {since}): {instead}"),
            }
        }
        Ok(features)
    }

    /// Whether an ability is there.
    pub fn has(&self, feature: Feature) -> bool {
        self.present.contains(&feature)
    }

    /// The same kernel without an ability, to take the fall-back on purpose.
    #[must_use]
    pub fn without(mut self, feature: Feature) -> Self {
        self.present.retain(|present| *present != feature);
        self
    }
}
