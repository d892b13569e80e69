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

impl Better {
    /// What the unit says: rates should be high, times, sizes and counts of work low. Parts of a
    /// whole say nothing.
    pub fn by_unit(unit: &str) -> Option<Self> {
        match unit {
            "ns" | "us" | "ms" | "s" | "B" | "KiB" | "MiB" | "GiB" | "instructions" | "calls" => {
                Some(Self::Less)
            }
            _ if unit.ends_with("/s") => Some(Self::More),
            _ => None,
        }
    }
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
