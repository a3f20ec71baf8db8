//! Two measurements of a statement: percentiles with what they can bear, and whether the difference is more than noise.
//!
//! The method is that of Mann and Whitney, with the shift of Hodges and Lehmann and its 95 % interval: it asks for no shape of the
//! distribution, and one slow run does not decide. Refuses a p99 of twenty runs.

use serde::{Deserialize, Serialize};

/// Fewer runs on a side bear no verdict.
const FEWEST: usize = 8;
/// A difference below this share of the median is none that matters.
const MATTERS: f64 = 0.05;
/// Normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.96;

/// Times of some runs, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Runs.
    pub runs: usize,
    /// Median.
    pub p50_ms: Option<f64>,
    /// 95 % interval of the median, from the order of the runs.
    pub p50_interval_ms: Option<(f64, f64)>,
    /// With 20 runs or more.
    pub p95_ms: Option<f64>,
    /// With 100 runs or more.
    pub p99_ms: Option<f64>,
    /// The quickest.
    pub least_ms: Option<f64>,
    /// The slowest.
    pub most_ms: Option<f64>,
    /// How it was computed, and what is missing.
    pub method: String,
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The second is faster.
    Faster,
    /// The second is slower.
    Slower,
    /// None that is more than noise, or none that matters.
    None,
    /// Too few runs to say.
    TooFew,
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The verdict.
    pub verdict: Difference,
    /// How much is added, in milliseconds: below zero is faster.
    pub shift_ms: Option<f64>,
    /// Its 95 % interval.
    pub interval_ms: Option<(f64, f64)>,
    /// Two-sided probability that such a difference is chance.
    pub p: Option<f64>,
    /// How it was computed.
    pub method: String,
}

/// Sums up runs.
#[must_use]
pub fn summary(runs: &[f64]) -> Summary {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let mut missing = Vec::new();
    let mut rank = |percent: usize, needs: usize| {
        if n < needs {
            missing.push(format!("p{percent} needs {needs} runs"));
            return None;
        }
        sorted.get((n * percent).div_ceil(100).saturating_sub(1)).copied()
    };
    let (p50, p95, p99) = (rank(50, 1), rank(95, 20), rank(99, 100));
    let mut method = format!("nearest rank of {n} runs");
    if !missing.is_empty() {
        method.push_str(&format!("; {}", missing.join(", ")));
    }
    Summary {
        runs: n,
        p50_ms: p50,
        p50_interval_ms: of_median(&sorted),
        p95_ms: p95,
        p99_ms: p99,
        least_ms: sorted.first().copied(),
        most_ms: sorted.last().copied(),
        method,
    }
}

/// Ranks between which the median lies in 95 of 100 cases.
fn of_median(sorted: &[f64]) -> Option<(f64, f64)> {
    let n = sorted.len();
    if n < FEWEST {
        return None;
    }
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let low = ((n as f64 - Z * (n as f64).sqrt()) / 2.0).floor().max(0.0) as usize;
    Some((sorted[low.min(n - 1)], sorted[n - 1 - low.min(n - 1)]))
}

/// Compares: did the second differ from the first?
#[must_use]
pub fn compare(before: &[f64], after: &[f64]) -> Compared {
    let (m, n) = (before.len(), after.len());
    let told = |verdict, shift, interval, p| Compared {
        verdict,
        shift_ms: shift,
        interval_ms: interval,
        p,
        method: format!(
            "Mann-Whitney of {m} and {n} runs, shift of Hodges-Lehmann with its 95 % interval; a difference below {:.0} % of the \
             median before does not count",
            MATTERS * 100.0
        ),
    };
    if m < FEWEST || n < FEWEST {
        return told(Difference::TooFew, None, None, None);
    }
    let mut differences: Vec<f64> = after
        .iter()
        .flat_map(|a| before.iter().map(move |b| a - b))
        .collect();
    differences.sort_by(f64::total_cmp);
    let shift = middle(&differences);
    #[allow(clippy::cast_precision_loss)]
    let (fm, fn_) = (m as f64, n as f64);
    let deviation = (fm * fn_ * (fm + fn_ + 1.0) / 12.0).sqrt();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let cut = (fm * fn_ / 2.0 - Z * deviation).floor().max(0.0) as usize;
    let last = differences.len() - 1;
    let interval = (differences[cut.min(last)], differences[last - cut.min(last)]);
    let u: f64 = differences
        .iter()
        .map(|d| {
            if *d > 0.0 {
                1.0
            } else if *d < 0.0 {
                0.0
            } else {
                0.5
            }
        })
        .sum();
    let z = ((u - fm * fn_ / 2.0).abs() - 0.5).max(0.0) / deviation;
    let p = (2.0 * upper_tail(z)).min(1.0);
    let median = summary(before).p50_ms.unwrap_or(0.0);
    let matters = shift.abs() >= MATTERS * median;
    let verdict = if matters && interval.1 < 0.0 {
        Difference::Faster
    } else if matters && interval.0 > 0.0 {
        Difference::Slower
    } else {
        Difference::None
    };
    told(verdict, Some(shift), Some(interval), Some(p))
}

fn middle(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    if n % 2 == 1 {
        sorted[n / 2]
    } else {
        f64::midpoint(sorted[n / 2 - 1], sorted[n / 2])
    }
}

/// Of the normal distribution, by the formula 26.2.17 of Abramowitz and Stegun: wrong by less than 1e-7.
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let poly = t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * poly
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(from: f64, n: usize) -> Vec<f64> {
        #[allow(clippy::cast_precision_loss)]
        (0..n).map(|i| from + (i % 7) as f64 * 0.1).collect()
    }

    #[test]
    fn a_difference_is_one_only_beyond_noise() {
        let faster = compare(&runs(10.0, 20), &runs(2.0, 20));
        assert_eq!(faster.verdict, Difference::Faster);
        assert!(
            faster.shift_ms.is_some_and(|s| (s + 8.0).abs() < 0.05),
            "{faster:?}"
        );
        assert!(faster.p.is_some_and(|p| p < 1e-6));
        assert_eq!(
            compare(&runs(2.0, 20), &runs(10.0, 20)).verdict,
            Difference::Slower
        );
        let same = compare(&runs(10.0, 20), &runs(10.0, 20));
        assert_eq!(same.verdict, Difference::None);
        assert!(same.p.is_some_and(|p| p > 0.9));
        let little = compare(&runs(10.0, 50), &runs(10.45, 50));
        assert_eq!(little.verdict, Difference::None, "true, and it does not matter");
        assert!(little.p.is_some_and(|p| p < 0.001));
        // One slow run decides nothing.
        let mut odd = runs(10.0, 20);
        odd[3] = 900.0;
        assert_eq!(compare(&runs(10.0, 20), &odd).verdict, Difference::None);
        assert_eq!(
            compare(&runs(10.0, 7), &runs(1.0, 20)).verdict,
            Difference::TooFew
        );
    }

    #[test]
    fn percentiles_that_the_runs_do_not_bear_are_absent() {
        let s = summary(&(1..=20).map(f64::from).collect::<Vec<_>>());
        assert_eq!((s.p50_ms, s.p95_ms, s.p99_ms), (Some(10.0), Some(19.0), None));
        assert!(s.method.contains("p99 needs 100 runs"), "{s:?}");
        assert_eq!(s.p50_interval_ms, Some((6.0, 15.0)));
        let s = summary(&(1..=100).map(f64::from).collect::<Vec<_>>());
        assert_eq!((s.p95_ms, s.p99_ms), (Some(95.0), Some(99.0)));
        assert_eq!(summary(&[]).p50_ms, None);
    }

    #[test]
    fn the_tail_is_that_of_the_table() {
        for (z, p) in [(0.0, 0.5), (1.96, 0.025), (2.576, 0.005)] {
            assert!((upper_tail(z) - p).abs() < 1e-4);
        }
    }
}
