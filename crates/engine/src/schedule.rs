//! Schedules: when a runbook is planned by the clock. Pure: what is due is a function of the time and of what was done.
//!
//! Slots that were missed while nobody watched are not made up for one by one: the newest counts, when it is not an hour old.

use std::hash::{DefaultHasher, Hash, Hasher};

use muster_model::{Span, Time};

/// How late a slot may still be used.
const LATE: Span = Span::from_mins(60);

/// One schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name in the config.
    pub name: String,
    /// Five fields: minute, hour, day, month, weekday.
    pub cron: String,
    /// Time zone of the fields.
    pub zone: String,
    /// A slot is used at a moment of its own within this span after it, so that not everything begins at once.
    pub jitter: Span,
    /// Runbook.
    pub runbook: String,
    /// Target, as for `--target`; empty where there is only one cluster.
    pub target: String,
    /// Parameters.
    pub params: std::collections::BTreeMap<String, String>,
}

impl Schedule {
    fn crontab(&self) -> Result<cronexpr::Crontab, String> {
        cronexpr::parse_crontab(&format!("{} {}", self.cron, self.zone)).map_err(|e| e.to_string())
    }

    /// Whether it can be understood.
    ///
    /// # Errors
    /// A sentence that says what cannot.
    pub fn check(&self) -> Result<(), String> {
        self.crontab().map(|_| ())
    }

    /// The slot that is to be used now: the newest after the last one that was used, late slots left out.
    ///
    /// # Errors
    /// A sentence that says what cannot be understood.
    pub fn due(&self, used: Time, now: Time) -> Result<Option<Time>, String> {
        let crontab = self.crontab()?;
        let oldest = Time::from_micros(now.micros() - i64::try_from(LATE.millis() * 1000).unwrap_or(0));
        let mut at = used.max(oldest);
        let mut found = None;
        // An hour has sixty slots at most.
        for _ in 0..=60 {
            let stamp = jiff::Timestamp::from_microsecond(at.micros()).map_err(|e| e.to_string())?;
            let next = crontab.find_next(stamp).map_err(|e| e.to_string())?;
            at = Time::from_micros(next.timestamp().as_microsecond());
            if at > now {
                break;
            }
            if at.plus(self.delay(at)) <= now {
                found = Some(at);
            }
        }
        Ok(found)
    }

    /// The same slot of the same schedule always has the same delay.
    fn delay(&self, slot: Time) -> Span {
        let mut hasher = DefaultHasher::new();
        (&self.name, slot.micros()).hash(&mut hasher);
        Span::from_millis(hasher.finish().checked_rem(self.jitter.millis()).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily() -> Schedule {
        Schedule {
            name: "morning".into(),
            cron: "0 9 * * *".into(),
            zone: "Europe/Berlin".into(),
            jitter: Span::ZERO,
            runbook: "replica-health".into(),
            target: String::new(),
            params: std::collections::BTreeMap::new(),
        }
    }

    fn at(text: &str) -> Time {
        text.parse().expect("a time")
    }

    #[test]
    fn a_slot_is_used_once_and_by_the_clock_of_its_zone() {
        let s = daily();
        let before = at("2026-11-20T12:00:00Z");
        assert_eq!(
            s.due(before, at("2026-11-21T07:59:59Z")),
            Ok(None),
            "8:59 in Berlin"
        );
        let slot = at("2026-11-21T08:00:00Z");
        assert_eq!(s.due(before, at("2026-11-21T08:00:00Z")), Ok(Some(slot)));
        assert_eq!(s.due(slot, at("2026-11-21T08:30:00Z")), Ok(None), "used");
        assert_eq!(
            s.due(before, at("2026-11-21T08:59:00Z")),
            Ok(Some(slot)),
            "late, not too late"
        );
        assert_eq!(
            s.due(before, at("2026-11-21T09:00:01Z")),
            Ok(None),
            "an hour late: the next one"
        );
        assert_eq!(
            s.due(at("2026-06-30T12:00:00Z"), at("2026-07-01T07:00:00Z")),
            Ok(Some(at("2026-07-01T07:00:00Z"))),
            "summer time"
        );
    }

    #[test]
    fn of_many_missed_slots_the_newest_counts() {
        let s = Schedule {
            cron: "*/5 * * * *".into(),
            zone: "UTC".into(),
            ..daily()
        };
        let due = s.due(at("2026-11-20T00:00:00Z"), at("2026-11-21T08:03:00Z"));
        assert_eq!(due, Ok(Some(at("2026-11-21T08:00:00Z"))));
    }

    #[test]
    fn jitter_is_the_same_every_time_it_is_asked_and_stays_within_its_span() {
        let s = Schedule {
            jitter: Span::from_mins(10),
            ..daily()
        };
        let before = at("2026-11-20T12:00:00Z");
        let slot = at("2026-11-21T08:00:00Z");
        let delay = s.delay(slot);
        assert!(delay < Span::from_mins(10));
        let due = slot.plus(delay);
        assert_eq!(s.due(before, Time::from_micros(due.micros() - 1)), Ok(None));
        assert_eq!(s.due(before, due), Ok(Some(slot)));
        let other = Schedule {
            name: "evening".into(),
            ..s.clone()
        };
        assert_ne!(other.delay(slot), delay, "another schedule, another moment");
    }

    #[test]
    fn what_cannot_be_understood_is_said() {
        for (cron, zone) in [
            ("61 * * * *", "UTC"),
            ("* * *", "UTC"),
            ("0 9 * * *", "Nowhere/Town"),
        ] {
            let s = Schedule {
                cron: cron.into(),
                zone: zone.into(),
                ..daily()
            };
            assert!(s.check().is_err(), "{cron} {zone}");
        }
        assert_eq!(daily().check(), Ok(()));
    }
}
