//! Whether a namespace has packet-filter tables. The balancer makes none and needs none; looking
//! is how demo and tests can say so.

use std::{fs, io, path::Path};

use nix::sys::socket::SockProtocol;

use crate::{
    error::{During, Result},
    netlink::{Message, Netlink, attributes, text},
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
/// Attribute: a table's name.
const TABLE_NAME: u16 = 1;
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

#[cfg(all(test, feature = "privileged"))]
mod tests {
    use super::*;
    use crate::{netlink::Attributes, netns::Netns, run::RunName};

    const BATCH_BEGIN: u16 = 16;
    const BATCH_END: u16 = 17;
    /// A batch's header names its subsystem in network byte order.
    const BATCH_HEADER: [u8; 4] = [0, 0, 0, (NF_TABLES >> 8) as u8];
    const FAMILY_INET: u8 = 1;

    /// Makes a table in the calling thread's namespace.
    fn make_table(name: &str) -> Result<()> {
        let table = Attributes::default().text(TABLE_NAME, name);
        let batch = [
            Message::silent(BATCH_BEGIN, 1, &BATCH_HEADER),
            Message::new(NEW_TABLE, 2, &[FAMILY_INET, 0, 0, 0]).with(&table),
            Message::silent(BATCH_END, 3, &BATCH_HEADER),
        ];
        Netlink::open(SockProtocol::NetlinkNetFilter)?.request("make a table", &batch, 2)?;
        Ok(())
    }

    #[test]
    fn a_table_is_seen_where_it_is_and_nowhere_else() {
        let run = RunName::next();
        let with = Netns::create(&run, "with").expect("a namespace");
        let without = Netns::create(&run, "without").expect("a namespace");
        with.enter(|| make_table("guard")).expect("a table");
        let table = Table { tool: "nft", name: "guard".into() };
        assert_eq!(tables(with.path()).expect("its tables"), [table]);
        assert_eq!(tables(without.path()).expect("its tables"), []);
    }
}
