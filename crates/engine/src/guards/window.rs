//! Changes wait for their maintenance window, and must be over before it ends. Asked when a plan is made, when it starts and
//! before every batch: a window can close in the middle.

use jiff::tz::TimeZone;
use muster_model::{Span, Time, Window};

use super::{Facts, Phase, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.phase == Phase::Plan || super::glass::broken(facts) {
        return Ok(());
    }
    let mine: Vec<&Window> = facts
        .windows
        .iter()
        .filter(|w| facts.plan.risk >= w.risk && (w.incidents || facts.plan.incident.is_none()))
        .collect();
    if mine.is_empty() {
        return Ok(());
    }
    // A batch of a run that has begun needs less than the whole; what is left of its window is what counts for a start.
    let needs = if facts.phase == Phase::Start {
        facts.plan.estimate()
    } else {
        Span::ZERO
    };
    let mut next: Option<(Time, &str)> = None;
    for window in mine {
        match state(window, facts.now) {
            Err(why) => {
                return Err(Refusal::new(
                    "window",
                    format!("the window `{}` cannot be understood: {why}", window.name),
                    "correct it in the config",
                ));
            }
            Ok(State::Open { until }) if until.since(facts.now) >= needs => return Ok(()),
            Ok(State::Open { .. }) => {}
            Ok(State::Closed { opens }) => {
                if next.is_none_or(|(at, _)| opens < at) {
                    next = Some((opens, &window.name));
                }
            }
        }
    }
    let (why, remedy) = match next {
        Some((at, name)) => (
            format!("the window `{name}` opens at {at}"),
            "it goes on by itself then".to_owned(),
        ),
        None => (
            format!(
                "what is left of its window is less than the {} that it may take",
                needs.human()
            ),
            "it goes on by itself in the next one".to_owned(),
        ),
    };
    let mut refusal = Refusal::new("window", why, remedy);
    refusal.until = next.map(|(at, _)| at);
    Err(refusal)
}

enum State {
    Open { until: Time },
    Closed { opens: Time },
}

/// Whether it is open, by the wall clock of its zone: days that have 23 or 25 hours included.
fn state(window: &Window, now: Time) -> Result<State, String> {
    let zone = TimeZone::get(&window.zone).map_err(|e| e.to_string())?;
    let stamp = jiff::Timestamp::from_microsecond(now.micros()).map_err(|e| e.to_string())?;
    let today = stamp.to_zoned(zone.clone()).date();
    let at = |date: jiff::civil::Date, minute: u16| -> Result<Time, String> {
        let (h, m) = (i8::try_from(minute / 60), i8::try_from(minute % 60));
        let (Ok(h), Ok(m)) = (h, m) else {
            return Err("a time of day".to_owned());
        };
        // 24:00 is 0:00 of the next day. A time that does not exist on that day is the first one after it.
        let (date, h) = if h >= 24 {
            (date.tomorrow().map_err(|e| e.to_string())?, h - 24)
        } else {
            (date, h)
        };
        let zoned = date
            .at(h, m, 0, 0)
            .to_zoned(zone.clone())
            .map_err(|e| e.to_string())?;
        Ok(Time::from_micros(zoned.timestamp().as_microsecond()))
    };
    let mut opens: Option<Time> = None;
    for back in -1..=8_i64 {
        let date = today
            .checked_add(jiff::Span::new().days(back))
            .map_err(|e| e.to_string())?;
        if !window.days.contains(&date.weekday().to_monday_one_offset()) {
            continue;
        }
        let from = at(date, window.from)?;
        let end_date = if window.to > window.from {
            date
        } else {
            date.tomorrow().map_err(|e| e.to_string())?
        };
        let until = at(end_date, window.to)?;
        if from <= now && now < until {
            return Ok(State::Open { until });
        }
        if from > now && opens.is_none_or(|o| from < o) {
            opens = Some(from);
        }
    }
    opens
        .map(|opens| State::Closed { opens })
        .ok_or_else(|| "it never opens".to_owned())
}

#[cfg(test)]
mod tests {
    use muster_model::Risk;

    use super::super::fixture::{facts, nights, plan, policy};
    use super::*;

    fn asked(window: &Window, phase: Phase, now: &str) -> Result<(), Refusal> {
        let (plan, policy) = (plan(1), policy());
        let windows = [window.clone()];
        let mut f = facts(&plan, &policy, &[]);
        f.windows = &windows;
        f.phase = phase;
        f.now = now.parse().expect("a time");
        check(&f)
    }

    #[test]
    fn outside_its_window_a_change_waits_and_says_until_when() {
        let w = nights();
        assert_eq!(
            asked(&w, Phase::Start, "2026-11-20T22:00:00Z"),
            Ok(()),
            "Friday 23:00 in Berlin"
        );
        assert_eq!(
            asked(&w, Phase::Start, "2026-11-21T03:59:00Z"),
            Ok(()),
            "Saturday 4:59, begun on Friday"
        );
        let refused = asked(&w, Phase::Start, "2026-11-21T12:00:00Z").expect_err("Saturday");
        let opens: Time = "2026-11-23T21:00:00Z".parse().expect("a time");
        assert_eq!(refused.until, Some(opens));
        assert!(
            refused.why.contains("2026-11-23T21:00:00"),
            "Monday 22:00 in Berlin: {}",
            refused.why
        );
        assert!(
            asked(&w, Phase::Change, "2026-11-21T04:00:00Z").is_err(),
            "it closed in the middle"
        );
    }

    #[test]
    fn what_would_not_be_over_in_time_does_not_begin() {
        let w = Window {
            to: 22 * 60 + 1,
            ..nights()
        };
        let refused = asked(&w, Phase::Start, "2026-11-20T21:00:59.500Z").expect_err("half a second is left");
        assert!(refused.why.contains("less than"), "{}", refused.why);
        assert_eq!(
            asked(&w, Phase::Change, "2026-11-20T21:00:59.500Z"),
            Ok(()),
            "what has begun may use it up"
        );
    }

    #[test]
    fn days_with_23_and_25_hours_count_by_the_wall() {
        // Summer time begins on 2026-03-29 at 2:00 in Berlin, and ends on 2026-10-25 at 3:00.
        let w = Window {
            days: vec![7],
            from: 60,
            to: 4 * 60,
            ..nights()
        };
        assert_eq!(
            asked(&w, Phase::Change, "2026-03-29T01:59:00Z"),
            Ok(()),
            "3:59 summer time"
        );
        assert!(
            asked(&w, Phase::Change, "2026-03-29T02:00:00Z").is_err(),
            "4:00 summer time"
        );
        assert_eq!(
            asked(&w, Phase::Change, "2026-10-25T02:59:00Z"),
            Ok(()),
            "3:59 winter time, four hours after 1:00"
        );
        let missing = Window {
            days: vec![7],
            from: 150,
            to: 240,
            ..nights()
        };
        assert_eq!(
            asked(&missing, Phase::Change, "2026-03-29T01:30:00Z"),
            Ok(()),
            "2:30 does not exist: from 3:00 or 3:30 on"
        );
    }

    #[test]
    fn less_risk_and_incidents_need_not_wait_where_it_says_so() {
        let mut w = Window {
            risk: Risk::Irreversible,
            ..nights()
        };
        assert_eq!(asked(&w, Phase::Start, "2026-11-21T12:00:00Z"), Ok(()));
        w.risk = Risk::Disruptive;
        w.incidents = false;
        let (mut plan, policy) = (plan(1), policy());
        plan.incident = Some("i-1".into());
        let windows = [w.clone()];
        let mut f = facts(&plan, &policy, &[]);
        f.windows = &windows;
        f.now = "2026-11-21T12:00:00Z".parse().expect("a time");
        assert_eq!(check(&f), Ok(()));
        w.zone = "Nowhere/Town".into();
        assert!(
            asked(&w, Phase::Start, "2026-11-21T12:00:00Z").is_err(),
            "what is not understood is closed"
        );
    }
}
