//! Features of a device, by ethtool's netlink family: what `ethtool -K` sets.
//!
//! On veth they matter twice. A packet redirected to a veth device is only received if the other
//! end has GRO on (or runs XDP), and XDP only sees complete checksums if the sender's transmit
//! checksumming is off.

use nix::sys::socket::SockProtocol;

use crate::{
    error::{Error, Result},
    netlink::{Answers, Attributes, Message, Netlink, attributes, text},
    netns::Netns,
};

/// Bytes of generic netlink's own header.
const HEADER_BYTES: usize = 4;
/// The generic netlink family that knows the others, and its request for a family's number.
const CONTROL: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_NUMBER: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// ethtool's requests about features, and their attributes.
const GET_FEATURES: u8 = 11;
const SET_FEATURES: u8 = 12;
const FEATURES_DEVICE: u16 = 1;
const FEATURES_WANTED: u16 = 3;
const FEATURES_ACTIVE: u16 = 4;
const DEVICE_NAME: u16 = 2;
const BITSET_BITS: u16 = 3;
const BITSET_BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

/// A feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// `tx`: checksums of sent packets are left to the device.
    TransmitChecksum,
    /// `tx-checksum-sctp`: so are those of SCTP.
    SctpChecksum,
    /// `tx-sctp-segmentation`: many packets of SCTP are sent as one, which the device divides.
    SctpSegmentation,
    /// `gro`: received packets are merged.
    ReceiveMerging,
}

impl Feature {
    /// The kernel's own name.
    fn name(self) -> &'static str {
        match self {
            Self::TransmitChecksum => "tx-checksum-ip-generic",
            Self::SctpChecksum => "tx-checksum-sctp",
            Self::SctpSegmentation => "tx-sctp-segmentation",
            Self::ReceiveMerging => "rx-gro",
        }
    }
}

impl Netns {
    /// Switches a feature of a device in this namespace on or off.
    pub fn set_feature(&self, device: &str, feature: Feature, on: bool) -> Result<()> {
        let mut bit = Attributes::default().text(BIT_NAME, feature.name());
        if on {
            bit = bit.bytes(BIT_VALUE, &[]);
        }
        let bits = Attributes::default().nest(BITSET_BIT, &bit);
        let bitset = Attributes::default().nest(BITSET_BITS, &bits);
        let list = device_header(device).nest(FEATURES_WANTED, &bitset);
        self.ethtool("set device features", SET_FEATURES, &list).map(|_| ())
    }

    /// Whether a feature of a device in this namespace is on.
    pub fn feature(&self, device: &str, feature: Feature) -> Result<bool> {
        let list = device_header(device);
        let answers = self.ethtool("get device features", GET_FEATURES, &list)?;
        // Three levels down: the set that is active, its bits, each bit's name.
        let active = answers.iter().any(|(_, payload)| {
            let list = payload.get(HEADER_BYTES..).unwrap_or(&[]);
            within(list, FEATURES_ACTIVE)
                .flat_map(|set| within(set, BITSET_BITS))
                .flat_map(|bits| within(bits, BITSET_BIT))
                .flat_map(|bit| within(bit, BIT_NAME))
                .any(|name| text(name) == feature.name())
        });
        Ok(active)
    }

    fn ethtool(&self, operation: &'static str, command: u8, list: &Attributes) -> Result<Answers> {
        self.enter(|| {
            let netlink = Netlink::open(SockProtocol::NetlinkGeneric)?;
            let family = family(&netlink, "ethtool")?;
            netlink.request(operation, &[Message::new(family, 1, &header(command)).with(list)], 1)
        })
    }
}

fn device_header(device: &str) -> Attributes {
    let name = Attributes::default().text(DEVICE_NAME, device);
    Attributes::default().nest(FEATURES_DEVICE, &name)
}

/// Values of the attributes of one type in a list.
fn within(list: &[u8], wanted: u16) -> impl Iterator<Item = &[u8]> {
    attributes(list).filter(move |(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// A family's number, which the kernel gives at its start.
fn family(netlink: &Netlink, name: &str) -> Result<u16> {
    let list = Attributes::default().text(FAMILY_NAME, name);
    let message = Message::new(CONTROL, 1, &header(GET_FAMILY)).with(&list);
    let answers = netlink.request("find a netlink family", &[message], 1)?;
    let number = answers.iter().find_map(|(_, payload)| {
        let list = payload.get(HEADER_BYTES..)?;
        within(list, FAMILY_NUMBER).next()?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
    });
    number.ok_or(Error::ShortAnswer { operation: "find a netlink family" })
}

/// Generic netlink's header: command, version, two bytes unused.
fn header(command: u8) -> [u8; HEADER_BYTES] {
    [command, 1, 0, 0]
}
