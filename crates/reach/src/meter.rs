//! What reaching costs: counted a target, published, and the base of the budget.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use muster_model::snapshot::Cost;

/// Counts statements, rows and waiting time.
#[derive(Debug)]
pub struct Meter {
    queries: AtomicU64,
    rows: AtomicU64,
    busy_us: AtomicU64,
    quickest_us: AtomicU64,
    backends: Mutex<VecDeque<i32>>,
}

/// Sessions of ours whose process ids are remembered: enough for some minutes of short ones.
const BACKENDS: usize = 512;

impl Default for Meter {
    fn default() -> Self {
        Self {
            queries: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
            quickest_us: AtomicU64::new(u64::MAX),
            backends: Mutex::default(),
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

    /// A session of ours is served by this process.
    pub fn served_by(&self, pid: i32) {
        let mut backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        if backends.len() >= BACKENDS {
            backends.pop_front();
        }
        backends.push_back(pid);
    }

    /// The processes that serve or served our newest sessions: what they did is not what clients did.
    #[must_use]
    pub fn backends(&self) -> BTreeSet<i32> {
        let backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        backends.iter().copied().collect()
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
