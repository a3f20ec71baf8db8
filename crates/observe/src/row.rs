//! Reading rows: times come as microseconds of the server's clock and are moved to ours.

use muster_model::Time;
use tokio_postgres::Row;

/// The difference between the server's clock and ours, measured in this pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offset {
    micros: i64,
}

impl Offset {
    /// From the server's `now` and ours.
    pub(crate) fn between(server_micros: i64, ours: Time) -> Self {
        Self {
            micros: ours.micros() - server_micros,
        }
    }

    /// A server time on our clock, so that an age is the age that the server would report.
    pub(crate) fn ours(self, server_micros: i64) -> Time {
        Time::from_micros(server_micros.saturating_add(self.micros))
    }

    /// A nullable column of microseconds.
    pub(crate) fn time(self, row: &Row, column: &str) -> Option<Time> {
        row.get::<_, Option<i64>>(column).map(|m| self.ours(m))
    }
}

/// A log position as bytes.
pub(crate) fn lsn(row: &Row, column: &str) -> Option<u64> {
    row.get::<_, Option<i64>>(column).map(i64::unsigned_abs)
}

/// A counter; one that this version does not have counts nothing.
pub(crate) fn count(row: &Row, column: &str) -> u64 {
    row.get::<_, Option<i64>>(column).map_or(0, i64::unsigned_abs)
}

/// An oid, sent as a number.
pub(crate) fn oid(row: &Row, column: &str) -> u32 {
    u32::try_from(row.get::<_, i64>(column)).unwrap_or(0)
}
