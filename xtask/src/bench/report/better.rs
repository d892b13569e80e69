//! Which way a measurement improves.

use serde::{Deserialize, Serialize};

/// What one wants of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Rates.
    More,
    /// Times, sizes, work done.
    Less,
}

/// Units of times.
const TIMES: [&str; 4] = ["ns", "us", "ms", "s"];
/// Units of sizes and of work done.
const AMOUNTS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "instructions", "calls"];

impl Better {
    /// What the unit says: rates should be high, times, sizes and work done low. Parts of a whole
    /// say nothing.
    pub fn by_unit(unit: &str) -> Option<Self> {
        match unit {
            _ if is_rate(unit) => Some(Self::More),
            _ if TIMES.contains(&unit) || AMOUNTS.contains(&unit) => Some(Self::Less),
            _ => None,
        }
    }

    /// Whether values of this unit depend on who else is at work on the machine.
    pub fn is_of_the_hour(unit: &str) -> bool {
        is_rate(unit) || TIMES.contains(&unit) || unit == "%"
    }
}

fn is_rate(unit: &str) -> bool {
    unit.ends_with("/s")
}

#[cfg(test)]
mod tests {
    use super::Better;

    #[test]
    fn a_unit_says_which_way_is_an_improvement() {
        for (unit, expected) in [
            ("/s", Some(Better::More)),
            ("Gbit/s", Some(Better::More)),
            ("us", Some(Better::Less)),
            ("MiB", Some(Better::Less)),
            ("%", None),
            ("", None),
        ] {
            assert_eq!(Better::by_unit(unit), expected, "{unit}");
        }
    }
}
