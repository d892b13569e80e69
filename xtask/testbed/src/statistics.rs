//! Whether counts are as evenly spread as chance would have them: Pearson's chi-squared test
//! against the uniform distribution.

/// The chance that counts at least this uneven come from an even spread. Fewer than two counts
/// cannot be uneven; all zero neither.
pub fn even_spread_p(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    if counts.len() < 2 || total == 0 {
        return 1.0;
    }
    let expected = total as f64 / counts.len() as f64;
    let statistic: f64 =
        counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    chi_squared_tail(statistic, counts.len() - 1)
}

/// The chance that a chi-squared variable with so many degrees of freedom reaches `statistic`:
/// the regularised upper incomplete gamma function of half of both.
fn chi_squared_tail(statistic: f64, degrees: usize) -> f64 {
    let (shape, at) = (degrees as f64 / 2.0, statistic / 2.0);
    if at <= 0.0 {
        return 1.0;
    }
    // The density's factor that both expansions share.
    let scale = (shape * at.ln() - at - ln_gamma_of_half(degrees)).exp();
    if at < shape + 1.0 {
        1.0 - scale * lower_series(shape, at)
    } else {
        scale * upper_fraction(shape, at)
    }
}

/// The logarithm of the gamma function at half a natural number, by its recurrence from 1/2 or 1.
fn ln_gamma_of_half(twice: usize) -> f64 {
    let (first, start) =
        if twice.is_multiple_of(2) { (2, 0.0) } else { (1, std::f64::consts::PI.ln() / 2.0) };
    (first..twice).step_by(2).fold(start, |sum, twice| sum + (twice as f64 / 2.0).ln())
}

/// Sum of at^n / (shape (shape+1) ... (shape+n)), which converges fast for small `at`.
fn lower_series(shape: f64, at: f64) -> f64 {
    let mut term = 1.0 / shape;
    let mut sum = term;
    let mut divisor = shape;
    while term > sum * f64::EPSILON {
        divisor += 1.0;
        term *= at / divisor;
        sum += term;
    }
    sum
}

/// The continued fraction for large `at`, evaluated from the far end: its n-th step is
/// n (shape - n) over at + 2n + 1 - shape.
fn upper_fraction(shape: f64, at: f64) -> f64 {
    const STEPS: u32 = 200;
    let mut rest = 0.0;
    for step in (1..=STEPS).rev().map(f64::from) {
        rest = step * (shape - step) / (at + 2.0 * step + 1.0 - shape + rest);
    }
    1.0 / (at + 1.0 - shape + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_agrees_with_printed_tables() {
        // Critical values as any table of the chi-squared distribution gives them.
        for (statistic, degrees, p) in [
            (3.841, 1, 0.05),
            (10.828, 1, 0.001),
            (5.991, 2, 0.05),
            (11.070, 5, 0.05),
            (20.515, 5, 0.001),
            (18.307, 10, 0.05),
            (3.940, 10, 0.95),
            (124.342, 100, 0.05),
        ] {
            let tail = chi_squared_tail(statistic, degrees);
            assert!((tail - p).abs() < p * 0.002, "{statistic} with {degrees}: {tail}");
        }
    }

    #[test]
    fn spreads_are_told_apart() {
        for (counts, even) in [
            (vec![100, 100, 100, 100, 100, 100], true),
            (vec![88, 112, 95, 108, 91, 106], true),
            (vec![60, 140, 100, 100, 100, 100], false),
            (vec![120, 120, 120, 120, 120, 0], false),
            (vec![600], true),
            (vec![], true),
            (vec![0, 0], true),
        ] {
            assert_eq!(even_spread_p(&counts) > 0.001, even, "{counts:?}");
        }
    }
}
