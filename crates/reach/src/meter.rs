//! What reaching costs: counted a target, published, and the base of the budget.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_model::snapshot::Cost;

/// Counts statements, rows and waiting time.
#[derive(Debug, Default)]
pub struct Meter {
    queries: AtomicU64,
    rows: AtomicU64,
    busy_us: AtomicU64,
}

impl Meter {
    /// One statement answered.
    pub fn add(&self, rows: usize, busy: Duration) {
        self.queries.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.busy_us.fetch_add(
            u64::try_from(busy.as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// The sums since the start.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn cost(&self) -> Cost {
        Cost {
            queries: self.queries.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            busy_ms: self.busy_us.load(Ordering::Relaxed) as f64 / 1000.0,
        }
    }
}
