//! What a server says about its write-ahead log: how fast it is written, archived and checkpointed.
//!
//! Counters come with what they were before. Refuses to judge: whether a checkpoint came too early is for a rule.

use serde::{Deserialize, Serialize};

use super::Counted;
use super::replication::Lsn;
use crate::time::Time;

/// What a server counts about its WAL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WalCounters {
    /// Where its WAL ends: written on a primary, received or replayed on a standby.
    pub position: Lsn,
    /// Segments archived.
    pub archived: u64,
    /// Tries to archive a segment that failed.
    pub archive_failed: u64,
    /// Checkpoints that began because it was time.
    pub timed: u64,
    /// Checkpoints that began because so much WAL was written, or because somebody asked.
    pub requested: u64,
}

/// The WAL of one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Wal {
    /// `archive_mode`: `off`, `on`, `always`.
    pub archive_mode: String,
    /// Size of a segment in bytes.
    pub segment: u64,
    /// Last segment (or history file) that was archived.
    pub last_archived: Option<String>,
    /// When that was.
    pub last_archived_at: Option<Time>,
    /// Last segment (or history file) that could not be archived.
    pub last_failed: Option<String>,
    /// When that was.
    pub last_failed_at: Option<Time>,
    /// The counters.
    pub counted: Counted<WalCounters>,
}

impl Wal {
    /// Whole segments that were written and are not archived yet; `None` when no segment was ever archived here, or the
    /// last file that was archived is none.
    #[must_use]
    pub fn backlog(&self) -> Option<u64> {
        let number = segment_number(self.last_archived.as_deref()?, self.segment)?;
        let current = self.counted.now.position.checked_div(self.segment)?;
        Some(current.saturating_sub(number + 1))
    }
}

/// The number of a segment from its file name, 24 hexadecimal digits: timeline, high half, low half.
fn segment_number(file: &str, segment: u64) -> Option<u64> {
    let hex = |at: std::ops::Range<usize>| u64::from_str_radix(file.get(at)?, 16).ok();
    let digits = file.len() == 24 && file.bytes().all(|b| b.is_ascii_hexdigit());
    let each = (1u64 << 32).checked_div(segment)?;
    digits.then_some(())?;
    hex(8..16)?.checked_mul(each)?.checked_add(hex(16..24)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wal(last: &str, position: Lsn) -> Wal {
        Wal {
            archive_mode: "on".into(),
            segment: 16 << 20,
            last_archived: Some(last.into()),
            last_archived_at: None,
            last_failed: None,
            last_failed_at: None,
            counted: Counted {
                at: Time::from_millis(0),
                now: WalCounters {
                    position,
                    ..WalCounters::default()
                },
                minute: None,
                five_minutes: None,
            },
        }
    }

    #[test]
    fn a_backlog_is_counted_in_whole_segments() {
        let seg = 16u64 << 20;
        // 1/05 is segment 256 + 5; the server writes into the next one: nothing waits.
        let name = "000000030000000100000005";
        assert_eq!(wal(name, 262 * seg + 7).backlog(), Some(0));
        assert_eq!(wal(name, 266 * seg).backlog(), Some(4));
        assert_eq!(
            wal(name, 3).backlog(),
            Some(0),
            "another server's position is no backlog"
        );
    }

    #[test]
    fn what_is_no_segment_says_nothing_about_the_backlog() {
        for name in [
            "00000002.history",
            "",
            "0000000300000001000000zz",
            "é00000030000000100000",
        ] {
            assert_eq!(wal(name, 1 << 40).backlog(), None, "{name}");
        }
        let mut no_size = wal("000000030000000100000005", 1 << 40);
        no_size.segment = 0;
        assert_eq!(no_size.backlog(), None);
    }
}
