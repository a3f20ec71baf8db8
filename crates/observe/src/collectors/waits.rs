//! What active sessions are at: one sample of each picture of the sessions, kept for a minute. Asks the server nothing.

use std::collections::{BTreeMap, VecDeque};

use muster_model::snapshot::waits::CPU;
use muster_model::snapshot::{Activity, Session, WaitSeen, Waits};
use muster_model::{Span, Time};

use super::CollectorInfo;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "waits",
    about: "How many sessions were active in the last minute and what they waited for, from one sample a second; the number of \
            samples says that somebody looked, also while nobody was active. Idle sessions are left out, inside a transaction \
            too.",
    reads: "what the collector activity has read",
    needs: "pg_monitor",
    cadence: "1 s",
    gap: "nothing beyond the gap of activity",
};

/// A second more than the window: cadences are not exact.
const MINUTE: Span = Span::from_secs(61);
/// Pictures closer together than this are one sample: a probe that looks more often must not weigh more.
const APART: Span = Span::from_millis(900);

struct Sample {
    at: Time,
    active: u32,
    by: BTreeMap<(String, String), u32>,
}

/// The samples of a minute.
#[derive(Default)]
pub(crate) struct Memory(VecDeque<Sample>);

impl Memory {
    /// Takes a sample when the last is old enough, and says what the minute was like.
    pub(crate) fn take(&mut self, now: Time, activity: &Activity) -> Waits {
        if self.0.back().is_none_or(|s| now.since(s.at) >= APART) {
            let mut by: BTreeMap<(String, String), u32> = BTreeMap::new();
            for session in activity.sessions.iter().filter(|s| works(s)) {
                let wait_type = session.wait_type.as_deref().unwrap_or(CPU).to_owned();
                let event = session.wait_event.clone().unwrap_or_default();
                *by.entry((wait_type, event)).or_default() += 1;
            }
            self.0.push_back(Sample {
                at: now,
                active: by.values().sum(),
                by,
            });
        }
        while self.0.front().is_some_and(|s| now.since(s.at) > MINUTE) {
            self.0.pop_front();
        }
        self.sum(activity.sees_all)
    }

    fn sum(&self, sees_all: bool) -> Waits {
        let mut by: BTreeMap<&(String, String), u64> = BTreeMap::new();
        for (what, seen) in self.0.iter().flat_map(|s| &s.by) {
            *by.entry(what).or_default() += u64::from(*seen);
        }
        let mut by: Vec<WaitSeen> = by
            .into_iter()
            .map(|((wait_type, event), seen)| WaitSeen {
                wait_type: wait_type.clone(),
                event: event.clone(),
                seen,
            })
            .collect();
        by.sort_by_key(|w| std::cmp::Reverse(w.seen));
        let over = match (self.0.front(), self.0.back()) {
            (Some(first), Some(last)) => last.at.since(first.at),
            _ => Span::ZERO,
        };
        Waits {
            samples: u32::try_from(self.0.len()).unwrap_or(u32::MAX),
            over,
            active: self.0.iter().map(|s| u64::from(s.active)).sum(),
            peak: self.0.iter().map(|s| s.active).max().unwrap_or(0),
            cores: None,
            sees_all,
            by,
        }
    }
}

/// Whether a session works or waits within its work. A walsender is always active and mostly idle, we ourselves are active
/// in every sample, and `Activity` is what idle background processes wait for.
fn works(s: &Session) -> bool {
    s.state.as_deref() == Some("active")
        && s.backend_type != "walsender"
        && s.wait_type.as_deref() != Some("Activity")
        && !s.application.starts_with("muster/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(state: &str, wait: Option<(&str, &str)>) -> Session {
        Session {
            pid: 1,
            backend_start: Time::from_millis(0),
            xact_start: None,
            query_start: None,
            state_change: None,
            state: Some(state.into()),
            user: None,
            database: None,
            application: "notes".into(),
            client: None,
            backend_type: "client backend".into(),
            wait_type: wait.map(|w| w.0.into()),
            wait_event: wait.map(|w| w.1.into()),
            query: None,
            has_xid: false,
            superuser: false,
            blocked_by: vec![],
        }
    }

    fn activity(sessions: Vec<Session>) -> Activity {
        Activity {
            sessions,
            sees_all: true,
            ..Activity::default()
        }
    }

    #[test]
    fn active_sessions_are_counted_by_what_they_are_at_and_idle_ones_are_none() {
        let mut own = session("active", None);
        own.application = "muster/observe".into();
        let mut sender = session("active", Some(("Client", "WalSenderWaitForWal")));
        sender.backend_type = "walsender".into();
        let picture = activity(vec![
            session("active", None),
            session("active", Some(("IO", "DataFileRead"))),
            session("active", Some(("IO", "DataFileRead"))),
            session("idle", Some(("Client", "ClientRead"))),
            session("idle in transaction", Some(("Client", "ClientRead"))),
            session("active", Some(("Activity", "LogicalApplyMain"))),
            own,
            sender,
        ]);
        let mut memory = Memory::default();
        memory.take(Time::from_millis(0), &picture);
        let waits = memory.take(Time::from_millis(1000), &picture);
        assert_eq!((waits.samples, waits.active, waits.peak), (2, 6, 3));
        assert_eq!(waits.average_active(), Some(3.0));
        let seen: Vec<(&str, u64)> = waits.by.iter().map(|w| (w.wait_type.as_str(), w.seen)).collect();
        assert_eq!(seen, [("IO", 4), ("CPU*", 2)]);
    }

    #[test]
    fn the_heart_beats_while_nobody_works_and_looking_more_often_weighs_no_more() {
        let mut memory = Memory::default();
        for tenth in 0..1200 {
            memory.take(Time::from_millis(tenth * 100), &activity(vec![]));
        }
        let waits = memory.take(Time::from_millis(120_000), &activity(vec![]));
        assert!((60..=68).contains(&waits.samples), "{}", waits.samples);
        assert!(waits.over <= MINUTE && waits.active == 0);
        assert_eq!(waits.average_active(), Some(0.0));
    }
}
