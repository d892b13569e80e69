//! From samples to what a report says of them: the median, and how far they spread.

use serde::{Deserialize, Serialize};

/// What samples come to.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Half are no larger.
    pub median: f64,
    /// The tenth percentile; the least of fewer than ten.
    pub low: f64,
    /// The ninetieth percentile; the largest of fewer than ten.
    pub high: f64,
    /// How many there were.
    pub samples: usize,
}

impl Summary {
    /// Of at least one sample; all are 0 without.
    pub fn of(samples: &[f64]) -> Self {
        Self {
            median: (percentile(samples, 50) + percentile_from_above(samples, 50)) / 2.0,
            low: percentile(samples, 10),
            high: percentile_from_above(samples, 10),
            samples: samples.len(),
        }
    }

    /// The same in another unit.
    pub fn times(self, factor: f64) -> Self {
        let Self { median, low, high, samples } = self;
        Self { median: median * factor, low: low * factor, high: high * factor, samples }
    }
}

/// The value that this many percent of the samples do not exceed, by the nearest rank.
pub fn percentile(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

fn percentile_from_above(samples: &[f64], percent: usize) -> f64 {
    let negative: Vec<f64> = samples.iter().map(|sample| -sample).collect();
    -percentile(&negative, percent)
}

/// Two kinds of samples that were taken in turn.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// Of the baseline.
    pub baseline: Summary,
    /// The ratio of the medians.
    pub ratio: f64,
    /// The ratio of each sample to the baseline's that was taken beside it.
    pub ratios: Summary,
}

impl Comparison {
    /// Of samples to as many of the baseline.
    pub fn of(samples: &[f64], baseline: &[f64]) -> Self {
        let ratios: Vec<f64> = samples.iter().zip(baseline).map(|(a, b)| a / b).collect();
        let summary = Summary::of(baseline);
        let ratio = Summary::of(samples).median / summary.median;
        Self { baseline: summary, ratio, ratios: Summary::of(&ratios) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Summary};

    #[track_caller]
    fn check(samples: &[f64], low: f64, median: f64, high: f64) {
        let expected = Summary { median, low, high, samples: samples.len() };
        assert_eq!(Summary::of(samples), expected);
    }

    #[test]
    fn few_samples_spread_from_the_least_to_the_largest() {
        check(&[3.0], 3.0, 3.0, 3.0);
        check(&[4.0, 1.0, 2.0], 1.0, 2.0, 4.0);
        check(&[4.0, 1.0, 2.0, 3.0], 1.0, 2.5, 4.0);
    }

    #[test]
    fn of_many_samples_a_tenth_on_either_side_is_left_out() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        check(&samples, 10.0, 50.5, 91.0);
    }

    #[test]
    fn a_comparison_is_of_medians_and_its_spread_of_pairs() {
        let comparison = Comparison::of(&[1.0, 4.0, 9.0], &[1.0, 2.0, 3.0]);
        assert_eq!(comparison.ratio, 2.0);
        assert_eq!((comparison.ratios.low, comparison.ratios.high), (1.0, 3.0));
    }
}
