//! Metrics as text in the format that Prometheus has always read, version 0.0.4.
//!
//! The library writes OpenMetrics, where the name of a counter in the lines about it lacks the
//! `_total` of its samples, and where a gauge may not end in `_total`, as one of kube-proxy's does.
//! The older format knows no such rules, and is what kube-proxy and everything that reads it speak.
//! Samples are the same in both; so the lines about counters get their suffix, and those that are
//! OpenMetrics' own go. The bounds of buckets are written as kube-proxy writes them, `20` and not
//! `20.0`: alerts name them.

use std::fmt;

use prometheus_client::{encoding::text::encode_registry, registry::Registry};

/// Type of the text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of a registry.
pub(super) fn write(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    encode_registry(&mut text, registry)?;
    Ok(translate(&text))
}

fn translate(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + open.len() / 16);
    let mut lines = open.lines().peekable();
    while let Some(line) = lines.next() {
        let counter = |line: &str| {
            let about = line.strip_prefix("# TYPE ")?;
            about.strip_suffix(" counter").map(str::to_owned)
        };
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let renamed = match line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            Some((name, help)) => lines
                .peek()
                .is_some_and(|next| counter(next).is_some())
                .then(|| format!("# HELP {name}_total {help}")),
            None => counter(line).map(|name| format!("# TYPE {name}_total counter")),
        };
        match line.split_once(".0\"") {
            Some((before, after)) if before.rsplit('"').nth(1).is_some_and(is_bound) => {
                text.extend([before, "\"", after]);
            }
            _ => text.push_str(renamed.as_deref().unwrap_or(line)),
        }
        text.push('\n');
    }
    text
}

/// Whether what stands before a value says that it is a bucket's bound.
fn is_bound(before: &str) -> bool {
    before.ends_with("_bucket{le=") || before.ends_with(",le=")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use prometheus_client::metrics::{
        counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
    };

    use super::*;

    #[test]
    fn names_are_written_in_full() {
        let mut registry = Registry::default();
        let counted: Family<[(&str, u16); 1], Counter> = Family::default();
        counted.get_or_create(&[("code", 200)]).inc_by(3);
        registry.register("answers", "How many", counted);
        let seconds: Counter<f64, AtomicU64> = Counter::default();
        seconds.inc_by(0.5);
        registry.register("process_cpu_seconds", "Time", seconds);
        let gauge: Gauge = Gauge::default();
        gauge.set(7);
        registry.register("lacking_total", "A gauge, despite its name", gauge);
        let histogram = Histogram::new([1.0, 2.5]);
        histogram.observe(2.0);
        registry.register("took_seconds", "Time", histogram);
        let expected = "\
# HELP answers_total How many.
# TYPE answers_total counter
answers_total{code=\"200\"} 3
# HELP process_cpu_seconds_total Time.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 0.5
# HELP lacking_total A gauge, despite its name.
# TYPE lacking_total gauge
lacking_total 7
# HELP took_seconds Time.
# TYPE took_seconds histogram
took_seconds_sum 2.0
took_seconds_count 1
took_seconds_bucket{le=\"1\"} 0
took_seconds_bucket{le=\"2.5\"} 1
took_seconds_bucket{le=\"+Inf\"} 1
";
        assert_eq!(write(&registry).unwrap(), expected);
    }
}
