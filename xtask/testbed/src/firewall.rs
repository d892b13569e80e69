//! Whether a namespace has packet-filter tables. The balancer makes none and needs none; looking
//! is how demo and tests can say so. Tests that need some can make them.

use std::{fs, io, path::Path};

use nix::sys::socket::SockProtocol;

use crate::{
    error::{During, Result},
    netlink::{Attributes, Message, Netlink, attributes, text},
    netns,
};

/// Files that list the tables of the older interface, per namespace. They are absent where the
/// kernel does not have that interface.
const LEGACY: [(&str, &str); 2] = [
    ("iptables", "/proc/thread-self/net/ip_tables_names"),
    ("ip6tables", "/proc/thread-self/net/ip6_tables_names"),
];
/// nfnetlink's subsystem number of nf_tables, in a message type's upper byte.
const NF_TABLES: u16 = 10 << 8;
const NEW_TABLE: u16 = NF_TABLES;
const GET_TABLE: u16 = NF_TABLES | 1;
const NEW_CHAIN: u16 = NF_TABLES | 3;
/// Attributes of a table and of a chain.
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
/// What makes tables and chains stands between these two.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// Their header names the subsystem, in network byte order.
const BATCH_HEADER: [u8; 4] = [0, 0, 0, (NF_TABLES >> 8) as u8];
/// nfnetlink's own header: family (0 for all), version, resource (two bytes).
const HEADER: [u8; 4] = [0; 4];

/// A table, by the tool that would show it, and its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Table {
    /// `iptables`, `ip6tables` or `nft`.
    pub tool: &'static str,
    /// Its name.
    pub name: String,
}

/// All tables in the namespace that a file stands for.
pub fn tables(namespace: &Path) -> Result<Vec<Table>> {
    netns::enter(namespace, || {
        let mut tables = legacy()?;
        tables.extend(nf_tables()?);
        Ok(tables)
    })
}

fn legacy() -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for (tool, path) in LEGACY {
        match fs::read_to_string(path) {
            Ok(names) => {
                tables.extend(names.lines().map(|name| Table { tool, name: name.to_owned() }));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).during("read", path),
        }
    }
    Ok(tables)
}

fn nf_tables() -> Result<Vec<Table>> {
    let netlink = Netlink::open(SockProtocol::NetlinkNetFilter)?;
    let request = Message::dump(GET_TABLE, 1, &HEADER);
    let answers = netlink.request("list nf_tables tables", &[request], 1)?;
    let mut tables = Vec::new();
    for (kind, payload) in answers {
        let list = payload.get(HEADER.len()..).unwrap_or(&[]);
        let name = attributes(list).find(|(attribute, _)| *attribute == TABLE_NAME);
        if let (NEW_TABLE, Some((_, name))) = (kind, name) {
            tables.push(Table { tool: "nft", name: text(name) });
        }
    }
    Ok(tables)
}

/// nf_tables' numbers of the families of tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// `inet`: IPv4 and IPv6.
    Inet = 1,
    /// `ip`.
    Ip = 2,
    /// `ip6`.
    Ip6 = 10,
}

/// Makes an nf_tables table with a chain in the namespace that a file stands for, for tests that
/// need to find some. The chain hooks in nowhere, so nothing is filtered.
pub fn plant(namespace: &Path, family: Family, table: &str, chain: &str) -> Result<()> {
    let header = [family as u8, 0, 0, 0];
    let new_table = Attributes::default().text(TABLE_NAME, table);
    let new_chain = Attributes::default().text(CHAIN_TABLE, table).text(CHAIN_NAME, chain);
    let batch = [
        Message::silent(BATCH_BEGIN, 1, &BATCH_HEADER),
        Message::new(NEW_TABLE, 2, &header).with(&new_table),
        Message::new(NEW_CHAIN, 3, &header).with(&new_chain),
        Message::silent(BATCH_END, 4, &BATCH_HEADER),
    ];
    netns::enter(namespace, || {
        Netlink::open(SockProtocol::NetlinkNetFilter)?.request("make a table", &batch, 3)?;
        Ok(())
    })
}

#[cfg(all(test, feature = "privileged"))]
mod tests {
    use super::*;
    use crate::{netns::Netns, run::RunName};

    #[test]
    fn a_table_is_seen_where_it_is_and_nowhere_else() {
        let run = RunName::next();
        let with = Netns::create(&run, "with").expect("a namespace");
        let without = Netns::create(&run, "without").expect("a namespace");
        plant(with.path(), Family::Inet, "guard", "doors").expect("a table");
        let table = Table { tool: "nft", name: "guard".into() };
        assert_eq!(tables(with.path()).expect("its tables"), [table]);
        assert_eq!(tables(without.path()).expect("its tables"), []);
    }
}
