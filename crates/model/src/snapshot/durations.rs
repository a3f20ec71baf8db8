//! How long statements took: the durations of the last minute as a distribution, and all of them in the buckets of Prometheus.
//!
//! Knows only durations that were seen one by one. Refuses to give a percentile of which too little was seen.

use serde::{Deserialize, Serialize};

use crate::histogram::{Histogram, NoQuantile, Quantile};
use crate::span::Span;

/// Durations of some time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Distribution {
    /// How much time was seen.
    pub over: Span,
    /// What was seen in it.
    pub histogram: Histogram,
    /// How many calls there were in that time by another source, at least and at most; for durations above a threshold.
    pub calls: Option<(f64, f64)>,
}

impl Distribution {
    /// A quantile, 0 to 1.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn quantile(&self, q: f64) -> Result<Quantile, NoQuantile> {
        let Some((least, most)) = self.calls else {
            let found = self.histogram.quantile(q)?;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let needed = (1.0 / (1.0 - q.clamp(0.0, 0.999))).round() as u64;
            let samples = self.histogram.samples();
            return if samples < needed {
                Err(NoQuantile::Few { samples, needed })
            } else {
                Ok(found)
            };
        };
        // The more calls there were, the lower the rank lies. Both must be in the part that was seen.
        let of = |calls: f64| {
            let mut histogram = self.histogram.clone();
            histogram.total(calls);
            histogram.quantile(q)
        };
        let (high, low) = (of(least)?, of(most)?);
        let middle = of(f64::midpoint(least, most))?;
        Ok(Quantile {
            low_ms: low.low_ms,
            high_ms: high.high_ms,
            ..middle
        })
    }

    /// Whether it tells of all calls: each was seen, or it is known how many were not.
    #[must_use]
    pub fn tells_of_all(&self) -> bool {
        self.calls.is_some() || !self.histogram.is_truncated()
    }

    /// Adds what another server saw in about the same time. Both tell of all calls.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        let known = |d: &Self| d.calls.unwrap_or((d.histogram.seen(), d.histogram.seen()));
        if self.calls.is_some() || other.calls.is_some() {
            let (mine, theirs) = (known(&self), known(other));
            self.calls = Some((mine.0 + theirs.0, mine.1 + theirs.1));
        }
        self.over = self.over.max(other.over);
        self.histogram.merge(&other.histogram);
        self
    }
}

/// Counts of durations since some beginning, in buckets that a Prometheus histogram shows. They only grow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DurationBuckets {
    /// How many are in each bucket alone; the last one is everything beyond [`Self::EDGES`].
    pub counts: Vec<u64>,
    /// Their sum, in milliseconds.
    pub sum_ms: f64,
}

impl DurationBuckets {
    /// Upper edges in seconds, each belonging to its bucket.
    pub const EDGES: [f64; 16] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    ];

    /// Counts one.
    pub fn add(&mut self, ms: f64) {
        self.counts.resize(Self::EDGES.len() + 1, 0);
        let place = Self::EDGES.partition_point(|edge| ms / 1000.0 > *edge);
        self.counts[place] += 1;
        self.sum_ms += ms;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Method;

    fn tail(slow: u32, calls: Option<(f64, f64)>) -> Distribution {
        let mut histogram = Histogram::above(Method::LogThreshold, 500.0);
        for _ in 0..slow {
            histogram.record(800.0, 1.0);
        }
        Distribution {
            over: Span::from_secs(60),
            histogram,
            calls,
        }
    }

    #[test]
    fn a_tail_gives_a_percentile_only_when_the_calls_say_that_it_lies_there() {
        assert!(matches!(
            tail(8, None).quantile(0.95),
            Err(NoQuantile::Truncated { .. })
        ));
        let told = tail(8, Some((97.0, 103.0)))
            .quantile(0.95)
            .expect("8 of 100 are slower");
        assert!(told.low_ms <= 800.0 && told.high_ms > Some(800.0), "{told:?}");
        assert!(
            matches!(
                tail(5, Some((97.0, 103.0))).quantile(0.95),
                Err(NoQuantile::Below { .. })
            ),
            "5 of 97 are more than 5 %, 5 of 103 are not"
        );
    }

    #[test]
    fn the_highest_of_three_is_no_p95() {
        let mut histogram = Histogram::complete(Method::Log);
        for _ in 0..3 {
            histogram.record(20.0, 1.0);
        }
        let of = Distribution {
            over: Span::from_secs(60),
            histogram,
            calls: None,
        };
        assert!(of.quantile(0.5).is_ok());
        let few = of.quantile(0.95).expect_err("too few");
        assert_eq!(few.to_string(), "only 3 durations were seen; this one needs 20");
    }

    #[test]
    fn an_edge_belongs_to_the_bucket_below_it() {
        let mut buckets = DurationBuckets::default();
        for ms in [0.5, 20.0, 25.0, 61_000.0] {
            buckets.add(ms);
        }
        assert_eq!(
            (buckets.counts[0], buckets.counts[5], buckets.counts[16]),
            (1, 2, 1)
        );
        assert_eq!(buckets.count(), 4);
    }
}
