//! Asking the kernel for its links, addresses and routes.

use futures_util::TryStreamExt;
use rtnetlink::{
    Handle,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
        link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
        route::{RouteAttribute, RouteMessage, RouteType},
    },
};

use super::choose::{Address, Link, Listing, Route};
use crate::{
    model::IpFamily,
    watch::error::WatchError::{self, Dump, Netlink},
};

/// Lists everything, over a socket of its own: what goes on elsewhere cannot overrun it.
pub(super) async fn list() -> Result<Listing, WatchError> {
    let (connection, handle, _) = rtnetlink::new_connection()
        .map_err(|source| Netlink { operation: "open a socket", source })?;
    tokio::select! {
        // Ends only when it is broken, and then every request has failed.
        () = connection => Err(Dump { what: "anything", source: rtnetlink::Error::RequestFailed }),
        listing = ask(&handle) => listing,
    }
}

async fn ask(handle: &Handle) -> Result<Listing, WatchError> {
    let failed = |what| move |source| Dump { what, source };
    let links: Vec<_> =
        handle.link().get().execute().try_collect().await.map_err(failed("links"))?;
    let addresses: Vec<_> =
        handle.address().get().execute().try_collect().await.map_err(failed("addresses"))?;
    // A node may have a million routes; keep the few that matter as they come.
    let mut messages = handle.route().get(RouteMessage::default()).execute();
    let mut routes = Vec::new();
    while let Some(message) = messages.try_next().await.map_err(failed("routes"))? {
        routes.extend(ways_out(&message));
    }
    Ok(Listing {
        links: links.iter().map(link).collect(),
        addresses: addresses.iter().filter_map(address).collect(),
        routes,
    })
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: None,
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        loopback: message.header.flags.contains(LinkFlags::Loopback),
        up: message.header.flags.contains(LinkFlags::Up),
        port: false,
        vlan_of: None,
        reaches_out: false,
    };
    let mut below = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(index) => below = Some(*index),
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Controller(_) => link.port = true,
            LinkAttribute::LinkNetNsId(_) => link.reaches_out = true,
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    // Of a link in another namespace the number means nothing here.
    if link.kind.as_deref() == Some("vlan") && !link.reaches_out {
        link.vlan_of = below;
    }
    link
}

fn address(message: &AddressMessage) -> Option<Address> {
    let (mut local, mut other) = (None, None);
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            // The far end of a point-to-point link, if there is a local address beside it.
            AddressAttribute::Address(address) => other = Some(*address),
            // The header has room for the first eight alone.
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let waiting =
        flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
    // Temporary IPv6 addresses have the flag that means secondary for IPv4.
    Some(Address {
        link: message.header.index,
        address: local.or(other)?,
        global: message.header.scope == AddressScope::Universe,
        primary: !flags.intersects(AddressFlags::Secondary | AddressFlags::Deprecated),
        usable: !waiting && !flags.contains(AddressFlags::Dadfailed),
    })
}

/// The next hops of a route that may make a device external.
fn ways_out(message: &RouteMessage) -> Vec<Route> {
    if message.header.kind != RouteType::Unicast {
        return Vec::new();
    }
    let family = match message.header.address_family {
        AddressFamily::Inet => IpFamily::V4,
        AddressFamily::Inet6 => IpFamily::V6,
        _ => return Vec::new(),
    };
    let default = message.header.destination_prefix_length == 0;
    let (mut link, mut gateway, mut metric, mut hops) = (None, false, 0, Vec::new());
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => link = Some(*index),
            RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => gateway = true,
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::MultiPath(next) => hops.extend(next.iter().map(|hop| {
                let is_gateway = |attribute: &RouteAttribute| {
                    matches!(attribute, RouteAttribute::Gateway(_) | RouteAttribute::Via(_))
                };
                (hop.interface_index, hop.attributes.iter().any(is_gateway))
            })),
            _ => {}
        }
    }
    hops.extend(link.map(|link| (link, gateway)));
    hops.into_iter()
        .filter(|(_, gateway)| default || *gateway)
        .map(|(link, gateway)| Route { family, default, gateway, metric, link })
        .collect()
}
