//! Figures over interleaved rounds. The machine's speed drifts, so whatever is compared is compared within a round.

use serde::Serialize;

/// Median and spread over rounds.
#[derive(Clone, Copy, Serialize, Debug)]
pub(crate) struct Figure {
    /// The median.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The most.
    pub(crate) max: f64,
}

impl Figure {
    /// Of one value a round.
    ///
    /// # Panics
    /// Without a round.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().map(|value| (value * 100.0).round() / 100.0).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Self { median, min: values[0], max: values[values.len() - 1] }
    }

    /// The same in another unit.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self { median: self.median * factor, min: self.min * factor, max: self.max * factor }
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{:.1} ({:.1}–{:.1})", self.median, self.min, self.max))
    }
}
