//! Devices, addresses and routes, by netlink. [`Netns::links`] gives a [`Links`] that acts inside
//! that namespace.

use std::{fs::File, net::IpAddr, os::fd::AsRawFd};

use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use rtnetlink::{
    Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::route::{RouteMessage, RouteType},
};
use tokio::runtime::Builder;

use crate::{
    error::{During, Error, Result},
    netns::Netns,
};

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
                .enable_io()
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
    /// Makes a bridge and brings it up.
    pub async fn bridge(&self, name: &str) -> Result<()> {
        let message = LinkBridge::new(name).up().build();
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

    /// Makes a device a port of a bridge.
    pub async fn enslave(&self, name: &str, bridge: &str) -> Result<()> {
        let message = LinkUnspec::new_with_index(index(name)?).controller(index(bridge)?).build();
        self.handle.link().change(message).execute().await.during("add a port to", bridge)
    }

    /// Removes a device, and with it its peer.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.handle.link().del(index(name)?).execute().await.during("delete", name)
    }

    /// Adds an address with the length of its network.
    pub async fn address(&self, device: &str, address: IpNet) -> Result<()> {
        self.handle
            .address()
            .add(index(device)?, address.addr(), address.prefix_len())
            .execute()
            .await
            .during("add address", format_args!("{address} to {device}"))
    }

    /// Adds a route by way of a neighbour, in place of one that is there.
    pub async fn route(&self, to: IpNet, via: IpAddr) -> Result<()> {
        let message = route(to, Some(via))?;
        let request = self.handle.route().add(message).replace();
        request.execute().await.during("add route", format_args!("{to} via {via}"))
    }

    /// Removes the route to a network.
    pub async fn unroute(&self, to: IpNet) -> Result<()> {
        let mut message = route(to, None)?;
        message.header.kind = RouteType::Unspec;
        self.handle.route().del(message).execute().await.during("remove route", to)
    }
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
