//! Addresses to listen on, in the words of kube-proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Port of `/healthz` and `/livez`.
const HEALTHZ_PORT: u16 = 10256;
/// Port of `/metrics` and `/proxyMode`.
const METRICS_PORT: u16 = 10249;

/// One of the two servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Server {
    Healthz,
    Metrics,
}

impl Server {
    /// Where it listens unless told: health on all addresses, as load balancers ask from outside.
    pub(super) fn default_address(self, ipv6: bool) -> SocketAddr {
        match self {
            // Of both families.
            Self::Healthz if ipv6 => (Ipv6Addr::UNSPECIFIED, HEALTHZ_PORT).into(),
            Self::Healthz => (Ipv4Addr::UNSPECIFIED, HEALTHZ_PORT).into(),
            Self::Metrics => (Ipv4Addr::LOCALHOST, METRICS_PORT).into(),
        }
    }

    /// Reads an address with or without a port; nothing or `0` switches the server off.
    pub(super) fn address(self, text: &str) -> Result<Option<SocketAddr>, String> {
        if ["", "0"].contains(&text) {
            return Ok(None);
        }
        let port = match self {
            Self::Healthz => HEALTHZ_PORT,
            Self::Metrics => METRICS_PORT,
        };
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let alone = bare.parse::<IpAddr>().map(|address| (address, port).into());
        match alone.or_else(|_| text.parse::<SocketAddr>()) {
            Ok(address) if address.port() != 0 => Ok(Some(address)),
            _ => Err(format!("`{text}` is not like 0.0.0.0:{port} or [::]:{port}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_port() {
        #[track_caller]
        fn check(text: &str, expected: Option<Option<&str>>) {
            let found = Server::Healthz.address(text).ok();
            assert_eq!(found, expected.map(|some| some.map(|text| text.parse().unwrap())));
        }
        check("127.0.0.1:9000", Some(Some("127.0.0.1:9000")));
        check("127.0.0.1", Some(Some("127.0.0.1:10256")));
        check("[::1]:9000", Some(Some("[::1]:9000")));
        check("[::1]", Some(Some("[::1]:10256")));
        check("::1", Some(Some("[::1]:10256")));
        check("", Some(None));
        check("0", Some(None));
        for wrong in ["localhost:9000", ":9000", "127.0.0.1:0", "127.0.0.1:70000", "10256"] {
            check(wrong, None);
        }
    }

    #[test]
    fn health_is_for_everybody_and_metrics_for_the_node() {
        #[track_caller]
        fn check(server: Server, ipv6: bool, expected: &str) {
            assert_eq!(server.default_address(ipv6), expected.parse().unwrap());
        }
        check(Server::Healthz, true, "[::]:10256");
        check(Server::Healthz, false, "0.0.0.0:10256");
        check(Server::Metrics, true, "127.0.0.1:10249");
    }
}
