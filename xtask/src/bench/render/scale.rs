//! An axis in numbers: from where to where, in equal steps or equal factors, and what is marked.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::super::report::{Axis, figure};

/// Room beyond the outermost values of an axis of factors.
const FACTOR: f64 = 1.25;
/// Of an axis of steps, as a part of the whole.
const PART: f64 = 0.08;
/// With at least so many powers of ten in view nothing between them is marked.
const ENOUGH_DECADES: usize = 4;

/// Up to so many places of measurement are marked themselves, on an axis of factors.
const MOST_PLACES: usize = 6;
/// Marks that are closer than this would run into each other.
const CLOSEST: f64 = 1.6;

/// See the module.
#[derive(Clone, PartialEq, Debug)]
pub struct Scale {
    from: f64,
    to: f64,
    log: bool,
    /// What is marked, if not round numbers.
    places: Vec<f64>,
}

impl Scale {
    /// With room for all of these values. An axis of steps shows where 0 is if `grounded`.
    pub fn of(axis: &Axis, values: impl IntoIterator<Item = f64>, grounded: bool) -> Self {
        let log = axis.log;
        let usable = values.into_iter().filter(|value| value.is_finite() && (!log || *value > 0.0));
        let ends = usable.fold(None, |ends: Option<(f64, f64)>, value| match ends {
            Some((least, most)) => Some((least.min(value), most.max(value))),
            None => Some((value, value)),
        });
        let (mut from, mut to) = ends.unwrap_or((1.0, 1.0));
        if log {
            return Self { from: from / FACTOR, to: to * FACTOR, log, places: Vec::new() };
        }
        if grounded {
            (from, to) = (from.min(0.0), to.max(0.0));
        }
        let room = if from < to { PART * (to - from) } else { 1.0 };
        to += room;
        if from != 0.0 || !grounded {
            from -= room;
        }
        Self { from, to, log, places: Vec::new() }
    }

    /// With marks where something was measured, if these are few and far enough apart.
    pub fn marked(self, places: impl IntoIterator<Item = f64>) -> Self {
        let mut places: Vec<f64> = places.into_iter().collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let apart = places.windows(2).all(|pair| pair[1] >= CLOSEST * pair[0]);
        if self.log && apart && (2..=MOST_PLACES).contains(&places.len()) {
            return Self { places, ..self };
        }
        self
    }

    /// The nearest value that an axis of factors can show.
    pub fn shown(&self, value: f64) -> f64 {
        if self.log { value.max(self.from) } else { value }
    }

    /// What is marked, at most about so many.
    fn marks(&self, most: usize) -> Vec<f64> {
        match self.log {
            _ if !self.places.is_empty() => self.places.clone(),
            true => self.powers(),
            false => self.steps(most),
        }
    }

    fn powers(&self) -> Vec<f64> {
        let first = self.from.log10().floor() as i32;
        let last = self.to.log10().ceil() as i32;
        let within = |factors: &[f64]| -> Vec<f64> {
            let all = (first..=last)
                .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)));
            all.filter(|value| (self.from..=self.to).contains(value)).collect()
        };
        let decades = within(&[1.0]);
        if decades.len() >= ENOUGH_DECADES { decades } else { within(&[1.0, 2.0, 5.0]) }
    }

    fn steps(&self, most: usize) -> Vec<f64> {
        let least = (self.to - self.from) / most.max(2) as f64;
        let power = 10f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = step.into_iter().find(|step| *step >= least).unwrap_or(least);
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step).floor() as i64;
        (first..=last).map(|number| number as f64 * step).collect()
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let part = match self.log {
            true => (value / self.from).ln() / (self.to / self.from).ln(),
            false => (value - self.from) / (self.to - self.from),
        };
        low + (part * f64::from(high - low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        self.marks(hint.bold_points())
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        figure::mark(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, Ranged as _, Scale};

    #[track_caller]
    fn check(axis: Axis, values: &[f64], marks: &[f64]) {
        let found = Scale::of(&axis, values.iter().copied(), true).marks(6);
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= b.abs() * 1e-9;
        let same = found.len() == marks.len() && found.iter().zip(marks).all(near);
        assert!(same, "{found:?}, not {marks:?}");
    }

    #[test]
    fn marks_are_round_numbers() {
        check(Axis::linear(""), &[3.0, 9.0], &[0.0, 2.0, 4.0, 6.0, 8.0]);
        check(Axis::linear(""), &[0.9, 1.02], &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        check(Axis::log(""), &[10.0, 30_000.0], &[10.0, 100.0, 1e3, 1e4]);
        check(Axis::log(""), &[20.0, 300.0], &[20.0, 50.0, 100.0, 200.0]);
        check(Axis::linear(""), &[], &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    }

    #[test]
    fn few_places_of_measurement_are_marked_themselves() {
        let marks = |places: &[f64]| {
            let places = places.iter().copied();
            Scale::of(&Axis::log(""), places.clone(), false).marked(places).marks(6)
        };
        assert_eq!(marks(&[10.0, 10_000.0, 30_000.0, 10.0]), [10.0, 10_000.0, 30_000.0]);
        assert_eq!(marks(&[10.0, 100.0, 110.0]), [10.0, 20.0, 50.0, 100.0]);
    }

    #[test]
    fn equal_factors_are_equally_far_apart() {
        let scale = Scale::of(&Axis::log(""), [1.0, 100.0], true);
        let [one, ten, hundred] = [1.0, 10.0, 100.0].map(|value| scale.map(&value, (0, 1_000)));
        assert!((hundred - ten).abs_diff(ten - one) <= 1, "{one} {ten} {hundred}");
        assert_eq!(scale.shown(0.0), 0.8, "a value that is not on the axis stands at its end");
    }
}
