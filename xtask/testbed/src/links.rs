//! Devices, addresses and routes, by netlink. [`Netns::links`] gives a [`Links`] that acts inside
//! that namespace.

use std::{fs::File, io, net::IpAddr, os::fd::AsRawFd, time::Duration};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use rtnetlink::{
    Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::{AddressAttribute, AddressFlags, CacheInfo},
        link::{BridgePortState, InfoBridgePort, InfoPortData, LinkAttribute, LinkInfo, State},
        route::{RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType},
    },
};
use tokio::runtime::Builder;

use crate::{
    error::{During, Error, Result},
    netns::Netns,
};

/// Ethernet address of every bridge; no two are on one segment. A bridge without one of its own
/// takes that of a port, and another when ports come and go: neighbours then send to nobody.
const BRIDGE_ADDRESS: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// How long a device may take until it passes packets, and how often to look.
const SETTLING: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A connection to the kernel from inside a namespace.
#[derive(Debug)]
pub struct Links {
    handle: Handle,
}

impl Netns {
    /// Runs `work` with a connection from inside this namespace.
    pub fn links<T: Send>(&self, work: impl AsyncFnOnce(&Links) -> Result<T> + Send) -> Result<T> {
        self.enter(|| {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .during("start", "an event loop")?;
            runtime.block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection()
                    .during("open a route socket in", self.path().display())?;
                let links = Links { handle };
                // The connection never ends while `links` lives, so this ends with the work.
                let work = std::pin::pin!(work(&links));
                let connection = std::pin::pin!(connection);
                match futures_util::future::select(work, connection).await {
                    futures_util::future::Either::Left((result, _)) => result,
                    futures_util::future::Either::Right((_, work)) => work.await,
                }
            })
        })
    }
}

impl Links {
    /// Makes a bridge and brings it up. Multicast, which neighbour discovery is, goes to every port:
    /// a bridge that listens to who wants what may lose the first question.
    pub async fn bridge(&self, name: &str) -> Result<()> {
        let bridge = LinkBridge::new(name).mcast_snooping(false).address(BRIDGE_ADDRESS.to_vec());
        let message = bridge.up().build();
        self.handle.link().add(message).execute().await.during("make bridge", name)
    }

    /// Makes a pair of veth devices, here and in `far`. The far one is down,
    /// as moving takes a device down.
    pub async fn veth(&self, name: &str, far_name: &str, far: &Netns) -> Result<()> {
        // Made under a name that is free here, whatever the far one is to be called.
        let passing = format!("{name}-far");
        let pair = LinkVeth::new(name, &passing).up().build();
        self.handle.link().add(pair).execute().await.during("make veth pair", name)?;
        let target = File::open(far.path()).during("open", far.path().display())?;
        let moved = LinkUnspec::new_with_index(index(&passing)?)
            .name(far_name)
            .setns_by_fd(target.as_raw_fd())
            .build();
        self.handle.link().change(moved).execute().await.during("move", &passing)
    }

    /// Brings a device up.
    pub async fn up(&self, name: &str) -> Result<()> {
        let message = LinkUnspec::new_with_index(index(name)?).up().build();
        self.handle.link().change(message).execute().await.during("bring up", name)
    }

    /// Takes a device down.
    pub async fn down(&self, name: &str) -> Result<()> {
        let message = LinkUnspec::new_with_index(index(name)?).down().build();
        self.handle.link().change(message).execute().await.during("take down", name)
    }

    /// Gives a device another name, while it is up (Linux 6.2).
    pub async fn rename(&self, name: &str, new: &str) -> Result<()> {
        let message = LinkUnspec::new_with_index(index(name)?).name(new).build();
        self.handle.link().change(message).execute().await.during("rename", name)
    }

    /// Sets the largest packet a device takes.
    pub async fn mtu(&self, name: &str, bytes: u32) -> Result<()> {
        let message = LinkUnspec::new_with_index(index(name)?).mtu(bytes).build();
        self.handle.link().change(message).execute().await.during("set the MTU of", name)
    }

    /// Makes a device a port of a bridge.
    pub async fn enslave(&self, name: &str, bridge: &str) -> Result<()> {
        let message = LinkUnspec::new_with_index(index(name)?).controller(index(bridge)?).build();
        self.handle.link().change(message).execute().await.during("add a port to", bridge)
    }

    /// Makes a device that is a port of a bridge one no more.
    pub async fn release(&self, name: &str) -> Result<()> {
        let message = LinkUnspec::new_with_index(index(name)?).nocontroller().build();
        self.handle.link().change(message).execute().await.during("release", name)
    }

    /// Removes a device, and with it its peer.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.handle.link().del(index(name)?).execute().await.during("delete", name)
    }

    /// Waits until a device passes packets on: it has a carrier, and its bridge, if it has one,
    /// forwards. The kernel sees to both a little after a device is brought up, and until then
    /// drops what is sent.
    pub async fn settled(&self, name: &str) -> Result<()> {
        let index = index(name)?;
        until(name, async || self.passes(index, name).await).await
    }

    async fn passes(&self, index: u32, name: &str) -> Result<bool> {
        let mut links = self.handle.link().get().match_index(index).execute();
        let link = links.try_next().await.during("look at device", name)?;
        let attributes = link.map(|link| link.attributes).unwrap_or_default();
        Ok(attributes.contains(&LinkAttribute::OperState(State::Up)) && forwards(&attributes))
    }

    /// Adds an address with the length of its network, and waits until it answers neighbours.
    pub async fn address(&self, device: &str, address: IpNet) -> Result<()> {
        self.add_address(device, address, &[]).await
    }

    /// The same for an address that nothing is sent from unless a program asks for it.
    pub async fn spare_address(&self, device: &str, address: IpNet) -> Result<()> {
        let mut lifetime = CacheInfo::default();
        (lifetime.ifa_preferred, lifetime.ifa_valid) = (0, u32::MAX);
        self.add_address(device, address, &[AddressAttribute::CacheInfo(lifetime)]).await
    }

    async fn add_address(
        &self,
        device: &str,
        address: IpNet,
        further: &[AddressAttribute],
    ) -> Result<()> {
        let index = index(device)?;
        let mut request = self.handle.address().add(index, address.addr(), address.prefix_len());
        request.message_mut().attributes.extend_from_slice(further);
        request.execute().await.during("add address", format_args!("{address} to {device}"))?;
        // With accept_dad off nobody is asked whether the address is free, but its multicast group
        // is still joined only when the kernel gets round to it.
        until(device, async || self.answers(index, address.addr()).await).await
    }

    async fn answers(&self, index: u32, address: IpAddr) -> Result<bool> {
        let mut found = self
            .handle
            .address()
            .get()
            .set_link_index_filter(index)
            .set_address_filter(address)
            .execute();
        let found = found.try_next().await.during("look at address", address)?;
        Ok(found.is_some_and(|message| {
            !message.attributes.iter().any(|attribute| match attribute {
                AddressAttribute::Flags(flags) => flags.contains(AddressFlags::Tentative),
                _ => false,
            })
        }))
    }

    /// Adds a route by way of a neighbour, in place of one that is there.
    pub async fn route(&self, to: IpNet, via: IpAddr) -> Result<()> {
        let message = route(to, Some(via))?;
        let request = self.handle.route().add(message).replace();
        request.execute().await.during("add route", format_args!("{to} via {via}"))
    }

    /// Adds a route to what is on a device's own link.
    pub async fn direct_route(&self, to: IpNet, device: &str) -> Result<()> {
        let mut message = route(to, None)?;
        message.attributes.push(RouteAttribute::Oif(index(device)?));
        let request = self.handle.route().add(message).replace();
        request.execute().await.during("add route", format_args!("{to} dev {device}"))
    }

    /// Adds a route by way of a neighbour that packets of no more than so many bytes fit, in place of
    /// one that is there.
    pub async fn narrow_route(&self, to: IpNet, via: IpAddr, mtu: u32) -> Result<()> {
        /// Bit of the MTU among the metrics that are locked: others do not bind who forwards.
        const MTU_IS_LOCKED: u32 = 1 << 2;

        let mut message = route(to, Some(via))?;
        let metrics = vec![RouteMetric::Lock(MTU_IS_LOCKED), RouteMetric::Mtu(mtu)];
        message.attributes.push(RouteAttribute::Metrics(metrics));
        let request = self.handle.route().add(message).replace();
        request.execute().await.during("add route", format_args!("{to} via {via}, MTU {mtu}"))
    }

    /// Says which Ethernet address a neighbour has, whatever it says itself.
    pub async fn neighbour(&self, device: &str, address: IpAddr, ethernet: [u8; 6]) -> Result<()> {
        let request = self.handle.neighbours().add(index(device)?, address).replace();
        request.link_layer_address(&ethernet).execute().await.during("add neighbour", address)
    }

    /// Says to whoever asks that a network cannot be reached.
    pub async fn refuse(&self, to: IpNet) -> Result<()> {
        self.dead_end(to, RouteType::Unreachable).await
    }

    /// Drops what is for a network without a word.
    pub async fn swallow(&self, to: IpNet) -> Result<()> {
        self.dead_end(to, RouteType::BlackHole).await
    }

    async fn dead_end(&self, to: IpNet, kind: RouteType) -> Result<()> {
        let mut message = route(to, None)?;
        message.header.kind = kind;
        let request = self.handle.route().add(message).replace();
        request.execute().await.during("add route", format_args!("{to}, {kind:?}"))
    }

    /// Removes the route to a network, whoever made it.
    pub async fn unroute(&self, to: IpNet) -> Result<()> {
        let mut message = route(to, None)?;
        message.header.kind = RouteType::Unspec;
        message.header.scope = RouteScope::NoWhere;
        message.header.protocol = RouteProtocol::Unspec;
        self.handle.route().del(message).execute().await.during("remove route", to)
    }
}

/// Waits until something that the kernel does in its own time has happened.
async fn until(device: &str, mut happened: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let waiting = async {
        while !happened().await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    };
    match tokio::time::timeout(SETTLING, waiting).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)).during("wait for", device),
    }
}

/// Whether a device is no port of a bridge, or one that forwards.
fn forwards(attributes: &[LinkAttribute]) -> bool {
    attributes.iter().all(|attribute| {
        let LinkAttribute::LinkInfo(infos) = attribute else { return true };
        infos.iter().all(|info| {
            let LinkInfo::PortData(InfoPortData::BridgePort(port)) = info else { return true };
            port.contains(&InfoBridgePort::State(BridgePortState::Forwarding))
        })
    })
}

fn index(name: &str) -> Result<u32> {
    if_nametoindex(name).during("find device", name)
}

fn route(to: IpNet, via: Option<IpAddr>) -> Result<RouteMessage> {
    let invalid = |_| Error::Unknown { what: format!("route {to} via {via:?}") };
    let mut builder = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(to.network(), to.prefix_len())
        .map_err(invalid)?;
    if let Some(via) = via {
        builder = builder.gateway(via).map_err(invalid)?;
    }
    Ok(builder.build())
}
