//! What a server counts for each statement (`pg_stat_statements`), over the last minute and against the hour before it.
//!
//! Carries sums and what follows from them: calls, time, mean, rows, blocks. Refuses to carry a percentile: it cannot be had
//! from a sum ([`crate::histogram`] says where one can). Texts are without literals.

use serde::{Deserialize, Serialize};

use crate::span::Span;

/// What was done in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Work {
    /// Calls that ended.
    pub calls: u64,
    /// Time of execution, in milliseconds.
    pub ms: f64,
    /// Rows returned or changed.
    pub rows: u64,
    /// Shared blocks touched: found in shared buffers, or read.
    pub blocks: u64,
    /// Of these, blocks read from outside shared buffers.
    pub blocks_read: u64,
    /// Blocks written to temporary files.
    pub temp_blocks: u64,
    /// Write-ahead log, in bytes.
    pub wal_bytes: u64,
    /// Time of reading and writing blocks, in milliseconds; 0 as well where `track_io_timing` is off.
    pub io_ms: f64,
}

#[allow(clippy::cast_precision_loss)]
impl Work {
    /// Adds.
    pub fn add(&mut self, more: &Self) {
        self.calls += more.calls;
        self.ms += more.ms;
        self.rows += more.rows;
        self.blocks += more.blocks;
        self.blocks_read += more.blocks_read;
        self.temp_blocks += more.temp_blocks;
        self.wal_bytes += more.wal_bytes;
        self.io_ms += more.io_ms;
    }

    /// What came since; `None` when anything became less: the counters began anew in between, and nobody knows when.
    #[must_use]
    pub fn since(&self, before: &Self) -> Option<Self> {
        let less = |now: f64, then: f64| (now - then >= -1e-6).then_some((now - then).max(0.0));
        Some(Self {
            calls: self.calls.checked_sub(before.calls)?,
            ms: less(self.ms, before.ms)?,
            rows: self.rows.checked_sub(before.rows)?,
            blocks: self.blocks.checked_sub(before.blocks)?,
            blocks_read: self.blocks_read.checked_sub(before.blocks_read)?,
            temp_blocks: self.temp_blocks.checked_sub(before.temp_blocks)?,
            wal_bytes: self.wal_bytes.checked_sub(before.wal_bytes)?,
            io_ms: less(self.io_ms, before.io_ms)?,
        })
    }

    /// Mean time of a call in milliseconds; 0 without calls.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        self.per_call(self.ms)
    }

    /// Rows a call.
    #[must_use]
    pub fn rows_per_call(&self) -> f64 {
        self.per_call(self.rows as f64)
    }

    /// Blocks a call.
    #[must_use]
    pub fn blocks_per_call(&self) -> f64 {
        self.per_call(self.blocks as f64)
    }

    fn per_call(&self, of: f64) -> f64 {
        of / (self.calls.max(1) as f64)
    }
}

/// What is usual: exponentially weighted over about the last hour, the window itself left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Usual {
    /// Calls that it rests on, weighted.
    pub calls: f64,
    /// Mean time of a call in milliseconds.
    pub mean_ms: f64,
    /// Calls a second.
    pub calls_per_second: f64,
    /// Rows a call.
    pub rows_per_call: f64,
    /// Blocks a call.
    pub blocks_per_call: f64,
    /// For how long it has been watched.
    pub over: Span,
}

/// One statement of one user in one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Statement {
    /// The server's own id of it, as text (it exceeds what JSON numbers hold). Another one on each server, and after a
    /// table was made anew.
    pub queryid: String,
    /// Id of its text ([`crate::fingerprint`]), the same everywhere; absent while its text is not known.
    pub fingerprint: Option<String>,
    /// Its text without literals, cut at 500 characters.
    pub text: Option<String>,
    /// Database.
    pub database: String,
    /// User.
    pub user: String,
    /// Whether a client sent it; else a function did, and its time is in that of its caller too.
    pub toplevel: bool,
    /// What it did in the window.
    pub work: Work,
    /// What it usually does.
    pub usual: Option<Usual>,
}

/// What happened in the last minute, or in what was seen of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StatementWindow {
    /// How much time was seen.
    pub over: Span,
    /// Everything that clients sent, our own statements left out.
    pub total: Work,
    /// The statements that took most time, the longest first.
    pub top: Vec<Statement>,
    /// Everything that clients sent and that is not in `top`.
    pub rest: Work,
    /// Our own statements: what this observation costs.
    pub own: Work,
    /// Statements that were called.
    pub called: u64,
    /// Statements that the server forgot meanwhile: their last calls are in no number here.
    pub forgotten: u64,
    /// Statements whose counters began anew: what they did in that time is left out.
    pub reset: u64,
    /// What is usual for `total`.
    pub usual: Option<Usual>,
}

/// Why statements are not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum StatementsOff {
    /// The library is not in `shared_preload_libraries` (or the server was not restarted since).
    NotPreloaded {
        /// A database that has the extension nevertheless.
        created_in: Option<String>,
    },
    /// The library counts, but the extension is in none of the databases that were looked into.
    NotCreated {
        /// How many were looked into.
        looked_into: u32,
        /// How many could not be.
        refused: u32,
    },
    /// A setting keeps it from counting.
    NotCounting {
        /// Which one.
        setting: String,
        /// What it is.
        value: String,
    },
    /// The extension is older than the server's library can be read by.
    Outdated {
        /// Its version.
        version: String,
        /// Where it is.
        database: String,
    },
}

/// The statistics about statements of one server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Statements {
    /// Why there are none.
    pub off: Option<StatementsOff>,
    /// The database whose extension was asked; it speaks for all.
    pub database: String,
    /// Version of the extension.
    pub version: String,
    /// Statements of other users that this role may not tell apart.
    pub hidden: u64,
    /// Statements that are remembered.
    pub entries: u64,
    /// How many can be (`pg_stat_statements.max`).
    pub max: Option<u64>,
    /// Bytes of their texts, as last read.
    pub text_bytes: Option<u64>,
    /// How often the least used ones were forgotten to make room (14 and later), since the last reset.
    pub evictions: Option<u64>,
    /// Of these, in the last five minutes.
    pub evictions_lately: u64,
    /// The window; absent at the first look.
    pub window: Option<StatementWindow>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(calls: u64, ms: f64) -> Work {
        Work {
            calls,
            ms,
            ..Work::default()
        }
    }

    #[test]
    fn what_became_less_is_no_work() {
        assert_eq!(work(5, 9.0).since(&work(3, 4.0)), Some(work(2, 5.0)));
        assert_eq!(work(2, 9.0).since(&work(3, 4.0)), None);
        assert_eq!(work(5, 3.0).since(&work(3, 4.0)), None);
    }

    #[test]
    fn a_mean_of_nothing_is_nothing() {
        assert!(work(0, 0.0).mean_ms().abs() < f64::EPSILON);
        assert!((work(4, 10.0).mean_ms() - 2.5).abs() < 1e-9);
    }
}
