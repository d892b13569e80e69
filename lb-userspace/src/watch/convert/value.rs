//! Single values out of the strings and numbers that objects hold them as.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use lb_common::Protocol;

/// Why a value cannot be used; reads on after the name of the field.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum BadValue {
    #[error("`{0}` is not an IP address")]
    NotAnAddress(String),
    #[error("{address} is {kind}, which can be neither a frontend nor an endpoint")]
    SpecialAddress { address: IpAddr, kind: &'static str },
    #[error("`{0}` is not a network in CIDR notation")]
    NotANetwork(String),
    #[error("{0} is not a port number (1 to 65535)")]
    NotAPort(i32),
    #[error("`{0}` is not a protocol (TCP, UDP or SCTP)")]
    UnknownProtocol(String),
    #[error("`{given}` is not known here ({known})")]
    UnknownValue { given: String, known: &'static str },
}

/// An address that can be a frontend or an endpoint.
pub(super) fn address(text: &str) -> Result<IpAddr, BadValue> {
    let address = sloppy(text).ok_or_else(|| BadValue::NotAnAddress(text.to_owned()))?;
    match special(address) {
        Some(kind) => Err(BadValue::SpecialAddress { address, kind }),
        None => Ok(address),
    }
}

/// A network, with or without blanks around it; bits beyond the prefix are cleared.
pub(super) fn network(text: &str) -> Result<IpNet, BadValue> {
    let parse = |text: &str| {
        let (address, prefix) = text.split_once('/')?;
        IpNet::new(sloppy(address)?, prefix.parse().ok()?).ok()
    };
    match parse(text.trim()) {
        Some(network) => Ok(network.trunc()),
        None => Err(BadValue::NotANetwork(text.to_owned())),
    }
}

/// A port number.
pub(super) fn port(number: i32) -> Result<u16, BadValue> {
    match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(BadValue::NotAPort(number)),
    }
}

/// A port number that may be left out or zero.
pub(super) fn optional_port(number: Option<i32>) -> Result<Option<u16>, BadValue> {
    match number {
        None | Some(0) => Ok(None),
        Some(number) => port(number).map(Some),
    }
}

/// A protocol; TCP if nothing is said.
pub(super) fn protocol(text: Option<&str>) -> Result<Protocol, BadValue> {
    match text {
        None | Some("" | "TCP") => Ok(Protocol::Tcp),
        Some("UDP") => Ok(Protocol::Udp),
        Some("SCTP") => Ok(Protocol::Sctp),
        Some(other) => Err(BadValue::UnknownProtocol(other.to_owned())),
    }
}

/// One of a field's closed set of values; the first of them if nothing is said.
pub(super) fn one_of<T: Copy>(
    text: Option<&str>,
    values: &[(&str, T)],
    known: &'static str,
) -> Result<T, BadValue> {
    let given = text.unwrap_or_default();
    values
        .iter()
        .find(|(name, _)| given.is_empty() || *name == given)
        .map(|(_, value)| *value)
        .ok_or_else(|| BadValue::UnknownValue { given: given.to_owned(), known })
}

/// Objects from old clusters write IPv4 with leading zeros and mean decimal numbers; and they
/// write IPv4 in its IPv6-mapped form. Kubernetes reads both as plain IPv4, so we do.
fn sloppy(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    }
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets).into())
}

fn special(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if link_local {
        Some("a link-local address")
    } else if address == Ipv4Addr::BROADCAST {
        Some("the broadcast address")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_address(text: &str, expected: Result<&str, &str>) {
        let expected = expected.map(|text| text.parse().unwrap()).map_err(str::to_owned);
        assert_eq!(address(text).map_err(|bad| bad.to_string()), expected, "{text}");
    }

    #[test]
    fn addresses_are_read_as_old_objects_meant_them() {
        check_address("10.96.0.10", Ok("10.96.0.10"));
        check_address("010.096.000.008", Ok("10.96.0.8"));
        check_address("fd00::0a", Ok("fd00::a"));
        check_address("::ffff:10.0.0.1", Ok("10.0.0.1"));
        for text in ["10.0.0", "10.0.0.1.2", "10.0.0.256", "10.0.0.+1", "10..0.1", "", "web"] {
            check_address(text, Err(&format!("`{text}` is not an IP address")));
        }
        check_address("fe80::1%eth0", Err("`fe80::1%eth0` is not an IP address"));
    }

    #[test]
    fn addresses_that_lead_nowhere_are_refused_by_kind() {
        for (text, kind) in [
            ("0.0.0.0", "the unspecified address"),
            ("::", "the unspecified address"),
            ("127.0.0.53", "a loopback address"),
            ("::1", "a loopback address"),
            ("224.0.0.1", "a multicast address"),
            ("ff02::1", "a multicast address"),
            ("169.254.1.1", "a link-local address"),
            ("fe80::1", "a link-local address"),
            ("255.255.255.255", "the broadcast address"),
        ] {
            let expected =
                format!("{text} is {kind}, which can be neither a frontend nor an endpoint");
            check_address(text, Err(&expected));
        }
    }

    #[test]
    fn networks_are_trimmed_and_cut_to_their_prefix() {
        #[track_caller]
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(network(text).ok(), expected.map(|text| text.parse().unwrap()), "{text}");
        }
        check(" 10.0.0.0/8 ", Some("10.0.0.0/8"));
        check("10.1.2.3/8", Some("10.0.0.0/8"));
        check("010.0.0.0/08", Some("10.0.0.0/8"));
        check("fd00::/16\n", Some("fd00::/16"));
        check("10.0.0.0/33", None);
        check("10.0.0.0", None);
        check("fd00::/x", None);
    }

    #[test]
    fn ports_and_protocols_have_their_defaults_and_bounds() {
        assert_eq!(port(65_535), Ok(65_535));
        assert_eq!(port(0), Err(BadValue::NotAPort(0)));
        assert_eq!(port(70_000), Err(BadValue::NotAPort(70_000)));
        assert_eq!(port(-1), Err(BadValue::NotAPort(-1)));
        assert_eq!(optional_port(Some(0)), Ok(None));
        assert_eq!(optional_port(Some(30_080)), Ok(Some(30_080)));
        assert_eq!(protocol(None), Ok(Protocol::Tcp));
        assert_eq!(protocol(Some("SCTP")), Ok(Protocol::Sctp));
        assert_eq!(protocol(Some("tcp")), Err(BadValue::UnknownProtocol("tcp".to_owned())));
    }
}
