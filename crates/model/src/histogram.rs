//! Durations in buckets whose edges grow by a tenth: the only source of a percentile in Muster.
//!
//! A percentile cannot be had from a count, a sum and a deviation, and an average of percentiles is none. So durations are
//! counted in 20 buckets a decade, such histograms are merged over servers and time, and every quantile says its method and
//! its bounds. What was cut off below a threshold, or is not there, is refused with the reason.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Buckets in which a duration grows tenfold.
const PER_DECADE: f64 = 20.0;
/// Below this is one bucket.
const LOWEST_MS: f64 = 0.01;
/// The bucket of everything from 100 s on; 0 is that of everything below [`LOWEST_MS`].
const LAST: u16 = 141;
/// How far the middle of a bucket is from a duration in it at most, as a share of it: the root of its width.
pub const RELATIVE_ERROR: f64 = 0.06;
/// Two-sided 95 %.
const CONFIDENCE: f64 = 1.96;

/// Where durations come from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Durations in the server's log, those of all statements.
    Log,
    /// Durations in the server's log, sampled: each counts as many as it stands for.
    LogSampled,
    /// Durations in the server's log above a threshold, all of them.
    LogThreshold,
    /// Durations that clients or a pooler measured.
    Client,
}

/// A distribution of durations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Histogram {
    methods: BTreeSet<Method>,
    /// The first bucket that is complete; what is shorter was not counted one by one.
    first: u16,
    /// How many were shorter; `None` when nobody knows.
    below: Option<f64>,
    counts: BTreeMap<u16, f64>,
    /// Sum of the squares of the weights: how much the sampling blurs.
    squares: f64,
    /// Whether one observation stands for several.
    sampled: bool,
    /// How many were looked at one by one, whatever each stands for.
    #[serde(default)]
    samples: u64,
}

/// A quantile with what is to be known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Quantile {
    /// Which one, 0 to 1.
    pub q: f64,
    /// The middle of its bucket, in milliseconds.
    pub ms: f64,
    /// It is not less than this.
    pub low_ms: f64,
    /// It is less than this; absent when it is beyond what is counted in buckets.
    pub high_ms: Option<f64>,
    /// How the durations were had.
    pub methods: BTreeSet<Method>,
}

/// Why there is no quantile.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum NoQuantile {
    /// Nothing was counted.
    #[error("no duration was seen")]
    Empty,
    /// Only durations above a threshold were seen, and nobody knows how many were below.
    #[error("only durations of at least {floor_ms} ms were seen, and how many were shorter is not known")]
    Truncated {
        /// The threshold.
        floor_ms: f64,
    },
    /// It lies below the threshold.
    #[error("it is less than {floor_ms} ms; shorter durations were not seen one by one")]
    Below {
        /// The threshold.
        floor_ms: f64,
    },
    /// Too few for a rank so far out: the highest one would stand for it.
    #[error("only {samples} durations were seen; this one needs {needed}")]
    Few {
        /// How many there are.
        samples: u64,
        /// How many it takes.
        needed: u64,
    },
}

impl Histogram {
    /// Of durations of which none is left out.
    #[must_use]
    pub fn complete(method: Method) -> Self {
        Self::starting(method, 0, Some(0.0))
    }

    /// Of durations from a threshold on; how many were shorter is not known ([`Self::total`] may say it).
    #[must_use]
    pub fn above(method: Method, floor_ms: f64) -> Self {
        let bucket = bucket(floor_ms);
        let whole = edge(bucket) >= floor_ms;
        Self::starting(method, if whole { bucket } else { bucket + 1 }.min(LAST), None)
    }

    fn starting(method: Method, first: u16, below: Option<f64>) -> Self {
        Self {
            methods: BTreeSet::from([method]),
            first,
            below,
            counts: BTreeMap::new(),
            squares: 0.0,
            sampled: false,
            samples: 0,
        }
    }

    /// How many durations were looked at one by one.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// How many durations those stand for that were looked at.
    #[must_use]
    pub fn seen(&self) -> f64 {
        self.counts.values().sum()
    }

    /// Whether nobody knows how many were below its threshold.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.below.is_none()
    }

    /// Counts a duration that stands for `weight` of them (1 / sampling rate). What is no duration is not counted.
    pub fn record(&mut self, ms: f64, weight: f64) {
        if !(ms.is_finite() && ms >= 0.0 && weight.is_finite() && weight > 0.0) {
            return;
        }
        let bucket = bucket(ms);
        if bucket < self.first {
            self.below = self.below.map(|b| b + weight);
            return;
        }
        self.sampled |= (weight - 1.0).abs() > 1e-9;
        self.squares += weight * weight;
        self.samples += 1;
        *self.counts.entry(bucket).or_default() += weight;
    }

    /// Says how many calls there were in all, also those that were not seen: what was not seen was shorter.
    pub fn total(&mut self, calls: f64) {
        self.below = Some((calls - self.counts.values().sum::<f64>()).max(0.0));
    }

    /// Adds another one. The higher threshold of the two counts.
    pub fn merge(&mut self, other: &Self) {
        self.methods.extend(&other.methods);
        self.sampled |= other.sampled;
        self.squares += other.squares;
        self.samples += other.samples;
        self.first = self.first.max(other.first);
        for (bucket, weight) in &other.counts {
            *self.counts.entry(*bucket).or_default() += weight;
        }
        self.below = self.below.zip(other.below).map(|(a, b)| a + b);
        let kept = self.counts.split_off(&self.first);
        let cut: f64 = std::mem::replace(&mut self.counts, kept).values().sum();
        self.below = self.below.map(|b| b + cut);
    }

    /// How many durations reach `ms`; its bucket counts in full. `None` below the threshold.
    #[must_use]
    pub fn reaching(&self, ms: f64) -> Option<f64> {
        let from = bucket(ms);
        (from >= self.first).then(|| self.counts.range(from..).map(|(_, w)| w).sum())
    }

    /// A quantile, 0 to 1.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn quantile(&self, q: f64) -> Result<Quantile, NoQuantile> {
        let seen: f64 = self.counts.values().sum();
        let floor_ms = edge(self.first);
        let Some(below) = self.below else {
            return Err(if seen > 0.0 {
                NoQuantile::Truncated { floor_ms }
            } else {
                NoQuantile::Empty
            });
        };
        let total = seen + below;
        if total <= 0.0 {
            return Err(NoQuantile::Empty);
        }
        let q = q.clamp(0.0, 1.0);
        let at = self.at(q * total, below).ok_or(NoQuantile::Below { floor_ms })?;
        // What a sample says of the rank is as sure as so many observations of the same weight.
        let blur = if self.sampled && self.squares > 0.0 {
            CONFIDENCE * (q * (1.0 - q) / (seen * seen / self.squares)).sqrt()
        } else {
            0.0
        };
        let low = self.at((q - blur).max(0.0) * total, below);
        let high = self.at((q + blur).min(1.0) * total, below).unwrap_or(at);
        let edges = (edge(at), edge(at + 1));
        Ok(Quantile {
            q,
            ms: match at {
                0 => LOWEST_MS / 2.0,
                LAST => edges.0,
                _ => (edges.0 * edges.1).sqrt(),
            },
            low_ms: low.map_or(0.0, edge),
            high_ms: (high < LAST).then(|| edge(high + 1)),
            methods: self.methods.clone(),
        })
    }

    /// The bucket of a rank; `None` when it is among what was not seen one by one.
    fn at(&self, rank: f64, below: f64) -> Option<u16> {
        if rank <= below && below > 0.0 {
            return None;
        }
        let mut sum = below;
        for (bucket, weight) in &self.counts {
            sum += weight;
            if sum >= rank {
                return Some(*bucket);
            }
        }
        // Sums of weights round: the last one it is.
        self.counts.keys().next_back().copied()
    }
}

/// Lower edge of a bucket, in milliseconds.
fn edge(bucket: u16) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    LOWEST_MS * 10f64.powf(f64::from(bucket - 1) / PER_DECADE)
}

fn bucket(ms: f64) -> u16 {
    if ms.is_nan() || ms < LOWEST_MS {
        return 0;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let guess = ((ms / LOWEST_MS).log10() * PER_DECADE).min(f64::from(LAST)) as u16 + 1;
    // The logarithm rounds: the edges decide.
    let mut bucket = guess.min(LAST);
    while bucket > 1 && ms < edge(bucket) {
        bucket -= 1;
    }
    while bucket < LAST && ms >= edge(bucket + 1) {
        bucket += 1;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(durations: &[f64]) -> Histogram {
        let mut h = Histogram::complete(Method::Client);
        for ms in durations {
            h.record(*ms, 1.0);
        }
        h
    }

    #[test]
    fn two_peaks_are_told_apart_where_a_mean_cannot() {
        // 3 % of the calls take 900 ms: the mean is 32 ms, and p95 is 5 ms all the same.
        let mut h = of(&vec![5.0; 970]);
        h.merge(&of(&vec![900.0; 30]));
        let p95 = h.quantile(0.95).expect("p95");
        assert!(p95.low_ms <= 5.0 && p95.high_ms > Some(5.0), "{p95:?}");
        let p99 = h.quantile(0.99).expect("p99");
        assert!((p99.ms / 900.0 - 1.0).abs() < 0.06, "{p99:?}");
    }

    #[test]
    fn what_was_cut_off_gives_no_quantile_until_the_calls_are_known() {
        let mut h = Histogram::above(Method::LogThreshold, 250.0);
        assert_eq!(h.quantile(0.5), Err(NoQuantile::Empty));
        for _ in 0..6 {
            h.record(1000.0, 1.0);
        }
        h.record(100.0, 1.0);
        let refused = h.quantile(0.95).expect_err("truncated");
        assert!(matches!(refused, NoQuantile::Truncated { floor_ms } if floor_ms >= 250.0));
        assert!(refused.to_string().contains("at least 251"), "{refused}");
        assert_eq!(h.reaching(500.0), Some(6.0));
        assert_eq!(h.reaching(100.0), None, "nobody counted those");
        h.total(100.0);
        assert!(matches!(h.quantile(0.5), Err(NoQuantile::Below { .. })));
        let p95 = h.quantile(0.95).expect("it is in the tail");
        assert!(p95.low_ms <= 1000.0 && p95.high_ms > Some(1000.0), "{p95:?}");
    }

    #[test]
    fn a_sample_says_that_it_is_one() {
        let mut whole = Histogram::complete(Method::LogSampled);
        let mut sampled = whole.clone();
        for i in 0..10_000u32 {
            let ms = f64::from(i % 1000) + 1.0;
            whole.record(ms, 1.0);
            if i % 50 == 0 {
                sampled.record(ms, 50.0);
            }
        }
        let (sure, blurred) = (
            whole.quantile(0.5).expect("p50"),
            sampled.quantile(0.5).expect("p50"),
        );
        assert!(
            blurred.low_ms < sure.low_ms && blurred.high_ms > sure.high_ms,
            "{blurred:?}"
        );
        assert!(blurred.low_ms <= 500.0 && blurred.high_ms > Some(500.0));
    }

    #[test]
    fn the_ends_are_open() {
        let p = of(&[200_000.0]).quantile(0.5).expect("p50");
        assert_eq!((p.low_ms, p.high_ms), (edge(LAST), None));
        let p = of(&[0.0]).quantile(0.5).expect("p50");
        assert_eq!((p.low_ms, p.high_ms), (0.0, Some(LOWEST_MS)));
        let mut h = of(&[]);
        h.record(f64::NAN, 1.0);
        h.record(1.0, 0.0);
        h.record(-1.0, 1.0);
        assert_eq!(h.quantile(0.5), Err(NoQuantile::Empty));
    }

    proptest! {
        #[test]
        fn a_quantile_lies_within_its_bounds(
            mut durations in prop::collection::vec(0.0f64..300_000.0, 1..300), q in 0.001f64..1.0
        ) {
            let found = of(&durations).quantile(q).expect("something was counted");
            durations.sort_by(f64::total_cmp);
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let rank = (q * durations.len() as f64).ceil().max(1.0) as usize;
            let truth = durations[rank - 1];
            prop_assert!(found.low_ms <= truth, "{found:?} {truth}");
            prop_assert!(found.high_ms.is_none_or(|h| truth < h), "{found:?} {truth}");
            if (LOWEST_MS..100_000.0).contains(&truth) {
                prop_assert!((found.ms / truth - 1.0).abs() < 0.0595, "{found:?} {truth}");
            }
        }

        #[test]
        fn merging_is_counting_together(
            a in prop::collection::vec(0.0f64..5000.0, 0..100), b in prop::collection::vec(0.0f64..5000.0, 0..100)
        ) {
            let (mut left, mut right) = (of(&a), of(&b));
            left.merge(&of(&b));
            right.merge(&of(&a));
            prop_assert_eq!(&left, &right);
            prop_assert_eq!(left, of(&[a, b].concat()));
        }

        #[test]
        fn the_higher_threshold_counts(
            all in prop::collection::vec(0.0f64..5000.0, 1..100), floor in 1.0f64..1000.0
        ) {
            let mut whole = of(&all);
            let mut tail = Histogram::above(Method::Client, floor);
            tail.total(0.0);
            whole.merge(&tail);
            let mut direct = tail.clone();
            for ms in &all {
                direct.record(*ms, 1.0);
            }
            prop_assert_eq!(whole.quantile(0.9), direct.quantile(0.9));
        }

        #[test]
        fn every_duration_has_one_bucket(ms in 0.0f64..1_000_000.0) {
            let b = bucket(ms);
            prop_assert!(edge(b) <= ms && (b == LAST || ms < edge(b + 1)));
        }
    }
}
