//! Reading rows: times come as microseconds of the server's clock and are moved to ours, texts as the bytes that they are.
//!
//! What sessions of other databases say (statements, names, identifiers) is in the encoding of those databases, whatever
//! the session that reads them was told. So no text is ever refused for its bytes: one that is not UTF-8 is shown with marks.

use std::error::Error;

use muster_model::Time;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, FromSqlOwned, Type};

/// A text or its bytes, as they can be shown.
pub(crate) struct Said(String);

impl<'a> FromSql<'a> for Said {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        // Bytes were cut where it fell: half a letter at the end says nothing.
        let raw = match std::str::from_utf8(raw) {
            Err(e) if *ty == Type::BYTEA && e.error_len().is_none() => &raw[..e.valid_up_to()],
            _ => raw,
        };
        Ok(Self(String::from_utf8_lossy(raw).into_owned()))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::BYTEA || <&str as FromSql>::accepts(ty)
    }
}

/// What a column is read as.
pub(crate) trait Column: Sized {
    /// As it comes.
    type Wire: FromSqlOwned;

    /// As it is used.
    fn of(wire: Self::Wire) -> Self;
}

impl Column for String {
    type Wire = Said;

    fn of(wire: Said) -> Self {
        wire.0
    }
}

impl<T: Column> Column for Option<T> {
    type Wire = Option<T::Wire>;

    fn of(wire: Self::Wire) -> Self {
        wire.map(T::of)
    }
}

impl<T: Column> Column for Vec<T> {
    type Wire = Vec<T::Wire>;

    fn of(wire: Self::Wire) -> Self {
        wire.into_iter().map(T::of).collect()
    }
}

macro_rules! as_it_comes {
    ($($of:ty),*) => {$(
        impl Column for $of {
            type Wire = Self;

            fn of(wire: Self) -> Self {
                wire
            }
        }
    )*};
}

as_it_comes!(bool, i16, i32, i64, u32, f32, f64);

/// A column of a row. One that our own statement does not have, or has as something else, is a defect of Muster; the pass
/// makes a gap of it.
pub(crate) fn get<T: Column>(row: &Row, column: &str) -> T {
    T::of(row.get::<_, T::Wire>(column))
}

/// An offset that is larger by this many microseconds is nearer to the truth.
const TRUER: i64 = 50_000;
/// One that is smaller by this many says that a clock was set: no answer that is waited for is so late. A late answer that was
/// believed would make every statement older than it is.
const MOVED: i64 = 5_000_000;

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

    /// What is believed after another reading. A reading is late by the time that the answer took, so a larger offset is the truer
    /// one; but a start that moved by a millisecond at every look would look like another transaction each time, so small
    /// differences change nothing. A clock that was set is believed at once.
    #[must_use]
    pub(crate) fn refined(self, read: Self) -> Self {
        let truer = read.micros - self.micros;
        if !(-MOVED..=TRUER).contains(&truer) {
            read
        } else {
            self
        }
    }

    /// A server time on our clock, so that an age is the age that the server would report.
    pub(crate) fn ours(self, server_micros: i64) -> Time {
        Time::from_micros(server_micros.saturating_add(self.micros))
    }

    /// A nullable column of microseconds.
    pub(crate) fn time(self, row: &Row, column: &str) -> Option<Time> {
        get::<Option<i64>>(row, column).map(|m| self.ours(m))
    }
}

/// A log position as bytes.
pub(crate) fn lsn(row: &Row, column: &str) -> Option<u64> {
    get::<Option<i64>>(row, column).map(i64::unsigned_abs)
}

/// A counter; one that this version does not have counts nothing.
pub(crate) fn count(row: &Row, column: &str) -> u64 {
    get::<Option<i64>>(row, column).map_or(0, i64::unsigned_abs)
}

/// An oid, sent as a number.
pub(crate) fn oid(row: &Row, column: &str) -> u32 {
    u32::try_from(get::<i64>(row, column)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_stay_where_they_are_while_answers_are_early_and_late() {
        let of = |micros| Offset { micros };
        let mut known = of(-40_000);
        for late in [3_000, 90_000, 2_700_000, 12_000, 55_000] {
            known = known.refined(of(-late));
            assert_eq!(known.micros, -40_000, "late by {late}");
        }
        known = of(-400_000).refined(of(-2_000));
        assert_eq!(known.micros, -2_000, "the first answer was late");
        assert_eq!(known.refined(of(3_600_000_000)).micros, 3_600_000_000);
        assert_eq!(known.refined(of(-50_000_000)).micros, -50_000_000);
    }
}
