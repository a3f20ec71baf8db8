//! How far a server is from running out of transaction ids, for the two rules that say so.

use muster_model::Span;
use muster_model::snapshot::{FreezeAge, Horizons, ServerView, Vacuuming};

/// Transaction ids and multixacts between the oldest and the next one, at most.
pub(crate) const WRAP: u64 = 2_147_483_647;

/// The database that is nearest to the end.
pub(crate) struct Oldest<'a> {
    pub(crate) age: &'a FreezeAge,
    /// Whether it is its multixacts that are nearer.
    pub(crate) multixacts: bool,
    /// How many are used up since its oldest row.
    pub(crate) used: u64,
    /// How many are left until the server refuses to give out another one.
    pub(crate) left: u64,
}

impl Oldest<'_> {
    /// What is running out, in words.
    pub(crate) fn what(&self) -> &'static str {
        if self.multixacts {
            "multixacts"
        } else {
            "transaction ids"
        }
    }
}

/// Where a server stops before the end: `(transaction ids, multixacts)`.
fn reserve(server: &ServerView) -> (u64, u64) {
    let old = server.identity.as_ref().is_some_and(|i| i.value.major() < 14);
    if old {
        (1_000_000, 100)
    } else {
        (3_000_000, 3_000_000)
    }
}

/// The database that is nearest to the end.
pub(crate) fn oldest<'a>(server: &ServerView, vacuuming: &'a Vacuuming) -> Option<Oldest<'a>> {
    let (xids, multixacts) = reserve(server);
    vacuuming
        .freeze
        .iter()
        .map(|age| {
            let left = |used: u64, reserve: u64| (WRAP - reserve).saturating_sub(used);
            let (x, m) = (left(age.xids, xids), left(age.multixacts, multixacts));
            let multi = m < x;
            Oldest {
                age,
                multixacts: multi,
                used: if multi { age.multixacts } else { age.xids },
                left: x.min(m),
            }
        })
        .min_by(|a, b| (a.left, &a.age.database).cmp(&(b.left, &b.age.database)))
}

/// In which time so many transaction ids are used up at the rate of the last minutes; absent when none are.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
pub(crate) fn in_time(left: u64, horizons: Option<&Horizons>) -> Option<Span> {
    let grown = horizons?.next_xid.in_five_minutes(|n| *n)?;
    let rate = grown.per_second();
    // Slower than one in ten seconds is no rate: the end is centuries away.
    (rate >= 0.1).then(|| Span::from_millis((left as f64 / rate * 1000.0) as u64))
}

/// A long time in words: days where there are many.
pub(crate) fn long(span: Span) -> String {
    let days = span.millis() / 86_400_000;
    if days >= 3 {
        format!("{days} days")
    } else {
        span.human()
    }
}
