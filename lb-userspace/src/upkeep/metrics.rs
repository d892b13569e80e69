//! What can be told of source ports towards backends on other nodes. docs/metrics.md lists it.

use std::sync::atomic::AtomicU64;

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

use crate::maps::PoolFill;

/// See the module. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pools: Gauge,
    taken: Gauge,
    fullest: Gauge<f64, AtomicU64>,
}

impl Metrics {
    /// Metrics that are shown by `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("sluice_snat");
        let help = "Backends, each with one of our addresses, that source ports are taken towards";
        registry.register("pools", help, metrics.pools.clone());
        registry.register("ports_taken", "Source ports taken, of all pools", metrics.taken.clone());
        let help = "Share of the fullest pool's source ports that are taken, 0 to 1";
        registry.register("fullest_pool_ratio", help, metrics.fullest.clone());
        metrics
    }

    /// Takes note of every pool there is.
    pub(super) fn saw(&self, pools: &[PoolFill]) {
        let share = |pool: &PoolFill| f64::from(pool.taken) / f64::from(pool.ports.max(1));
        self.pools.set(pools.len() as i64);
        self.taken.set(pools.iter().map(|pool| i64::from(pool.taken)).sum());
        self.fullest.set(pools.iter().map(share).fold(0.0, f64::max));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use prometheus_client::encoding::text::encode_registry;

    use super::*;

    fn pool(taken: u32, ports: u32) -> PoolFill {
        let backend: SocketAddr = "192.0.2.1:80".parse().unwrap();
        PoolFill { taken, ports, backend, address: backend.ip(), protocol: 6 }
    }

    #[test]
    fn the_fullest_pool_is_told_beside_the_sum() {
        #[track_caller]
        fn check(pools: &[PoolFill], expected: [&str; 3]) {
            let mut registry = Registry::default();
            Metrics::new(&mut registry).saw(pools);
            let mut text = String::new();
            encode_registry(&mut text, &registry).unwrap();
            for sample in expected {
                assert!(text.lines().any(|line| line == sample), "{sample}: {text}");
            }
        }
        check(
            &[pool(10, 100), pool(90, 200), pool(1, 100)],
            [
                "sluice_snat_pools 3",
                "sluice_snat_ports_taken 101",
                "sluice_snat_fullest_pool_ratio 0.45",
            ],
        );
        check(
            &[],
            [
                "sluice_snat_pools 0",
                "sluice_snat_ports_taken 0",
                "sluice_snat_fullest_pool_ratio 0.0",
            ],
        );
    }
}
