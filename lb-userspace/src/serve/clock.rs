//! Times as Go prints them, which is what readers of the health ports know.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_S: u64 = 24 * 60 * 60;

/// A time in UTC as Go's `Time.String()` has it: `2006-01-02 15:04:05.999999999 +0000 UTC`, without
/// zeros at the end of the fraction. Times before 1970 are shown as its start.
pub(super) fn go_text(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / DAY_S, since.as_secs() % DAY_S);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = match since.subsec_nanos() {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} +0000 UTC")
}

/// Year, month and day of a day counted from 1 January 1970. Years are counted from March, so that
/// a leap day is a year's last, in eras of 400 years, after which the calendar repeats itself.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    const FROM_YEAR_ZERO: u64 = 719_468;
    let days = days + FROM_YEAR_ZERO;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next_year, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(since_epoch: Duration, expected: &str) {
        assert_eq!(go_text(UNIX_EPOCH + since_epoch), expected);
    }

    #[test]
    fn times_are_as_go_prints_them() {
        check(Duration::ZERO, "1970-01-01 00:00:00 +0000 UTC");
        check(Duration::from_millis(1_500), "1970-01-01 00:00:01.5 +0000 UTC");
        check(Duration::new(951_782_400, 0), "2000-02-29 00:00:00 +0000 UTC");
        check(Duration::new(951_868_799, 7), "2000-02-29 23:59:59.000000007 +0000 UTC");
        check(Duration::new(1_709_251_199, 120), "2024-02-29 23:59:59.00000012 +0000 UTC");
        check(Duration::new(1_735_689_600, 0), "2025-01-01 00:00:00 +0000 UTC");
        check(Duration::new(1_795_346_243, 123_456_789), "2026-11-22 11:17:23.123456789 +0000 UTC");
        check(Duration::new(4_107_542_400, 0), "2100-03-01 00:00:00 +0000 UTC");
    }
}
