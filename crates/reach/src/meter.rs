//! What reaching costs: counted a target, published, and the base of the budget.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_model::snapshot::Cost;

/// Counts statements, rows and waiting time.
#[derive(Debug)]
pub struct Meter {
    queries: AtomicU64,
    rows: AtomicU64,
    busy_us: AtomicU64,
    quickest_us: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            queries: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
            quickest_us: AtomicU64::new(u64::MAX),
        }
    }
}

impl Meter {
    /// One statement answered.
    pub fn add(&self, rows: usize, busy: Duration) {
        self.queries.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        let us = u64::try_from(busy.as_micros()).unwrap_or(u64::MAX);
        self.busy_us.fetch_add(us, Ordering::Relaxed);
        self.quickest_us.fetch_min(us, Ordering::Relaxed);
    }

    /// Work that is no measure of the way there and back: a login, a refusal, a statement that the server ended.
    pub fn add_work(&self, busy: Duration) {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(busy.as_micros()).unwrap_or(u64::MAX);
        self.busy_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The quickest answer so far, in milliseconds: about the way there and back. Nothing before the first.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn quickest_ms(&self) -> f64 {
        match self.quickest_us.load(Ordering::Relaxed) {
            u64::MAX => 0.0,
            us => us as f64 / 1000.0,
        }
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
