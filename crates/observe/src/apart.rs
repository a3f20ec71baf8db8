//! Collectors of the passes that fail alone: what one of them cannot read is a Gap of that one, and the rest goes on.
//!
//! Only a session that is gone ends the pass: then nothing can be read.

use std::collections::BTreeMap;

use muster_model::snapshot::{Gap, Part, ServerView};
use muster_model::{Span, Time};
use muster_reach::error::Trouble;
use muster_reach::{PgSession, ReachError};

use crate::collectors::{horizons, prepared, slru, vacuuming};
use crate::pass::Cadence;
use crate::row::Offset;

/// What they remember.
#[derive(Default)]
pub(crate) struct Memory {
    horizons: horizons::Memory,
    slrus: slru::Memory,
    vacuuming: vacuuming::Memory,
    /// When each was last tried: what cannot be read is not asked for at every pass.
    tried: BTreeMap<&'static str, Time>,
}

impl Memory {
    /// A server that does not answer cannot be said to do anything now; when it is back, everything is due.
    pub(crate) fn forget(&mut self, view: &mut ServerView) {
        self.tried.clear();
        view.prepared = None;
        view.horizons = None;
        view.vacuuming = None;
        view.slrus = None;
    }

    fn begins(&mut self, collector: &'static str, now: Time, due: impl Fn(Option<Time>) -> bool) -> bool {
        let begins = due(self.tried.get(collector).copied());
        if begins {
            self.tried.insert(collector, now);
        }
        begins
    }
}

/// Reads those of them that are due.
pub(crate) async fn read(
    session: &PgSession,
    view: &mut ServerView,
    memory: &mut Memory,
    gaps: &mut Vec<Gap>,
    (now, offset): (Time, Offset),
    cadence: Cadence,
    due: impl Fn(Option<Time>, Span) -> bool,
) -> Result<(), ReachError> {
    let address = view.address.clone();
    if memory.begins(prepared::INFO.name, now, |t| due(t, cadence.replication)) {
        let read = prepared::read(session, now, offset).await;
        view.prepared = alone(session, prepared::INFO.name, &address, gaps, now, read)?;
    }
    if memory.begins(horizons::INFO.name, now, |t| due(t, cadence.tables)) {
        let read = horizons::read(session, now, offset, &mut memory.horizons).await;
        view.horizons = alone(session, horizons::INFO.name, &address, gaps, now, read)?;
    }
    if memory.begins(vacuuming::INFO.name, now, |t| due(t, cadence.tables)) {
        let read = vacuuming::read(session, now, offset, &mut memory.vacuuming).await;
        view.vacuuming = alone(session, vacuuming::INFO.name, &address, gaps, now, read)?;
    }
    if memory.begins(slru::INFO.name, now, |t| due(t, cadence.tables)) {
        let read = slru::read(session, now, &mut memory.slrus).await;
        view.slrus = alone(session, slru::INFO.name, &address, gaps, now, read)?;
    }
    Ok(())
}

fn alone<T>(
    session: &PgSession,
    collector: &str,
    target: &str,
    gaps: &mut Vec<Gap>,
    now: Time,
    read: Result<T, ReachError>,
) -> Result<Option<Part<T>>, ReachError> {
    gaps.retain(|g| g.collector != collector);
    match read {
        Ok(value) => Ok(Some(Part { taken_at: now, value })),
        Err(e) if session.is_closed() || e.trouble == Trouble::Closed => Err(e),
        Err(e) => {
            gaps.push(Gap {
                collector: collector.to_owned(),
                target: target.to_owned(),
                reason: e.reason.clone(),
                remedy: Some(e.remedy()),
            });
            Ok(None)
        }
    }
}
