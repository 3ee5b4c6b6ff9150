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

/// A curve through points `(n, value)`, by least squares.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Curve {
    /// `a·n^b`, fitted to the logarithms: a line where both axes are logarithmic.
    Power(f64, f64),
    /// `a + b/n`: what each of n costs, and what is there once.
    Share(f64, f64),
}

impl Curve {
    /// Fits a power.
    pub(crate) fn power(points: &[(f64, f64)]) -> Self {
        // A time below a tenth of a nanosecond is noise.
        let (a, b) = line(points.iter().map(|&(n, value)| (n.ln(), value.max(0.1).ln())));
        Self::Power(a.exp(), b)
    }

    /// Fits a share.
    pub(crate) fn share(points: &[(f64, f64)]) -> Self {
        let (a, b) = line(points.iter().map(|&(n, value)| (1.0 / n, value)));
        Self::Share(a, b)
    }

    /// Its value at n.
    pub(crate) fn at(self, n: f64) -> f64 {
        match self {
            Self::Power(a, b) => a * n.powf(b),
            Self::Share(a, b) => a + b / n,
        }
    }
}

impl std::fmt::Display for Curve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Power(a, b) => write!(f, "{a:.3}·n^{b:.2}"),
            Self::Share(a, b) => write!(f, "{a:.2} + {b:.0}/n"),
        }
    }
}

/// The line `a + b·x` with the least squares; flat through fewer than two points.
fn line(points: impl Iterator<Item = (f64, f64)> + Clone) -> (f64, f64) {
    let count = points.clone().count().max(1) as f64;
    let x = points.clone().map(|point| point.0).sum::<f64>() / count;
    let y = points.clone().map(|point| point.1).sum::<f64>() / count;
    let spread: f64 = points.clone().map(|point| (point.0 - x).powi(2)).sum();
    let common: f64 = points.map(|point| (point.0 - x) * (point.1 - y)).sum();
    let b = if spread > 0.0 { common / spread } else { 0.0 };
    (y - b * x, b)
}

#[cfg(test)]
mod tests {
    use super::Curve;

    #[test]
    fn curves_go_through_points_that_lie_on_one() {
        let points = |value: fn(f64) -> f64| [1e4, 1e5, 4e6].map(|n| (n, value(n)));
        let power = Curve::power(&points(|n| 3.0 * n.powf(0.25)));
        assert!((power.at(1e6) - 3.0 * 1e6f64.powf(0.25)).abs() < 1e-6, "{power}");
        let share = Curve::share(&points(|n| 6.0 + 4e5 / n));
        assert!((share.at(2e4) - 26.0).abs() < 1e-6, "{share}");
    }
}
