//! What sessions were doing, sampled once a second: how many were active, and what they waited for.
//!
//! Knows counts of samples and says how many were taken, also when nobody was active: nothing seen is not the same as not
//! looked. Refuses to say shares of waits alone: what counts is active sessions against cores.

use serde::{Deserialize, Serialize};

use crate::span::Span;

/// What an active session that waits for nothing is counted as: on a processor, or in code that names no wait.
pub const CPU: &str = "CPU*";

/// How often active sessions were seen at one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WaitSeen {
    /// `IO`, `LWLock`, `Lock`, …; [`CPU`] for no wait.
    pub wait_type: String,
    /// Wait event; empty for no wait.
    pub event: String,
    /// Sessions seen at it, summed over all samples.
    pub seen: u64,
}

/// The samples of the last minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Waits {
    /// Samples taken: the heartbeat.
    pub samples: u32,
    /// From the first of them to the last.
    pub over: Span,
    /// Active sessions, summed over all samples. Idle ones, also inside a transaction, are none.
    pub active: u64,
    /// Most at once.
    pub peak: u32,
    /// Cores of the host, when it is known.
    pub cores: Option<u32>,
    /// Whether this role sees what the sessions of others do; else the numbers are its own sessions'.
    pub sees_all: bool,
    /// By what they were at, the most seen first.
    pub by: Vec<WaitSeen>,
}

impl Waits {
    /// Sessions that were active on the average; `None` without a sample. A wait of less than a second is seen with a
    /// probability of about its length.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn average_active(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.active as f64 / f64::from(self.samples))
    }

    /// The same against cores; `None` where nobody knows how many there are.
    #[must_use]
    pub fn against_cores(&self) -> Option<f64> {
        let cores = self.cores.filter(|c| *c > 0)?;
        Some(self.average_active()? / f64::from(cores))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sample_is_not_no_load() {
        let mut waits = Waits::default();
        assert_eq!(waits.average_active(), None);
        waits.samples = 4;
        assert_eq!(waits.average_active(), Some(0.0));
        waits.active = 6;
        assert_eq!(waits.against_cores(), None);
        waits.cores = Some(2);
        assert_eq!(waits.against_cores(), Some(0.75));
    }
}
