//! How numbers are written.

use super::super::samples::Summary;

/// How far samples spread; nothing of a single one.
pub fn spread(summary: &Summary) -> String {
    match summary.samples {
        0 | 1 => String::new(),
        _ => format!("{}..{}", number(summary.low), number(summary.high)),
    }
}

/// The same of ratios.
pub fn spread_of_ratios(ratios: &Summary) -> String {
    match ratios.samples {
        0 | 1 => String::new(),
        _ => format!("{}..{}", ratio(ratios.low), ratio(ratios.high)),
    }
}

/// Near one the third digit behind the point counts.
pub fn ratio(value: f64) -> String {
    if value < 2.0 { format!("{value:.3}") } else { number(value) }
}

/// Three digits that count, more only before the point, and none that is not there.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size.fract() == 0.0 => grouped(value),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => grouped(value),
    }
}

/// A value on an axis: as many digits as it has.
pub fn mark(value: f64) -> String {
    if value.abs() >= 1_000.0 { grouped(value) } else { format!("{}", (value * 1e6).round() / 1e6) }
}

/// Seconds as people say them.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// Whole, with a comma before every three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let first = match digits.len() % 3 {
        0 => 3,
        rest => rest,
    };
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at >= first && (at - first) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{duration, mark, number};

    #[test]
    fn numbers_have_the_digits_that_count() {
        for (value, expected) in [
            (0.0, "0"),
            (3.0, "3"),
            (0.9712, "0.971"),
            (1.239, "1.24"),
            (47.46, "47.5"),
            (999.4, "999"),
            (12_345.6, "12,346"),
            (-1_234_567.0, "-1,234,567"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn marks_of_an_axis_have_no_more_digits_than_they_need() {
        for (value, expected) in
            [(0.0, "0"), (0.1 + 0.2, "0.3"), (2.0, "2"), (500.0, "500"), (30_000.0, "30,000")]
        {
            assert_eq!(mark(value), expected);
        }
    }

    #[test]
    fn durations_are_said_in_minutes_from_a_minute_on() {
        for (value, expected) in [(2.4, "2 s"), (59.6, "1 min 0 s"), (1_900.0, "31 min 40 s")] {
            assert_eq!(duration(value), expected);
        }
    }
}
