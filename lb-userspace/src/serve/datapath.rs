//! What the programs in the kernel counted, read from their table at each scrape.

use std::fmt;

use lb_common::counter::Counter;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};
use tracing::warn;

use crate::{maps::Error, telemetry::Causes};

/// Counters with this at the start of their label count lost packets.
const DROP: &str = "drop_";

/// The collector of the kernel's counters, over what reads them.
pub struct Datapath<R>(R);

impl<R> Datapath<R>
where
    R: Fn() -> Result<Vec<(Counter, u64)>, Error> + Send + Sync + 'static,
{
    /// Shows what this reads.
    pub fn new(read: R) -> Self {
        Self(read)
    }
}

impl<R> fmt::Debug for Datapath<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Datapath")
    }
}

impl<R> Collector for Datapath<R>
where
    R: Fn() -> Result<Vec<(Counter, u64)>, Error> + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let values = match (self.0)() {
            Ok(values) => values,
            Err(error) => {
                warn!("no counters of the programs in the metrics: {}", Causes(&error));
                return Ok(());
            }
        };
        let (name, help) = ("sluice_dropped_packets", "Packets dropped, by reason");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (counter, value) in &values {
            if let Some(reason) = counter.label().strip_prefix(DROP) {
                let labels = [("reason", reason)];
                ConstCounter::new(*value).encode(family.encode_family(&labels)?)?;
            }
        }
        let (name, help) =
            ("sluice_datapath_events", "Socket calls and packets, by what became of them");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (counter, value) in &values {
            let event = counter.label();
            if !event.starts_with(DROP) {
                let labels = [("event", event)];
                ConstCounter::new(*value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text::encode_registry, registry::Registry};

    use super::*;

    #[test]
    fn every_counter_is_shown_once() {
        let mut registry = Registry::default();
        let values = |counter: &Counter| (*counter, counter.index().into());
        let read = move || Ok(Counter::ALL.iter().map(values).collect());
        registry.register_collector(Box::new(Datapath::new(read)));
        let mut text = String::new();
        encode_registry(&mut text, &registry).unwrap();
        for counter in Counter::ALL {
            let (label, value) = (counter.label(), counter.index());
            let sample = match label.strip_prefix(DROP) {
                Some(reason) => {
                    format!("sluice_dropped_packets_total{{reason=\"{reason}\"}} {value}")
                }
                None => format!("sluice_datapath_events_total{{event=\"{label}\"}} {value}"),
            };
            assert_eq!(text.lines().filter(|line| **line == *sample).count(), 1, "{sample}");
        }
    }
}
