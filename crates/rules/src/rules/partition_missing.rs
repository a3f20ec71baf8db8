//! `partition.missing`: there are not enough partitions for the time that comes.

use muster_model::snapshot::{Partitioned, Partitions};
use muster_model::{Severity, Span, Time};
use serde_json::json;

use super::sample::inside as picture;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::{Inside, of_primaries};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "partition.missing",
    title: "Partitions for the coming time are missing",
    about: "A table that is partitioned by ranges of one date or time column has fewer than three partitions that begin in the future, \
            or they end within 14 days (of partitions of a day and longer). With none ahead, inserts fail at the end of the present \
            one, or go to the default partition.",
    ignores: "Tables whose partitions reach more than a year ahead, however few; tables with a partition without an end, tables without any bounded partition, and tables whose last partition ended long \
              ago: they are retired. Keys that are numbers or expressions are not judged.",
    advice: "Create the next ones: CREATE TABLE (LIKE …), then ATTACH PARTITION, each with a lock time-out; and find out why the job \
             that makes them stopped.",
    needs: &["partitions"],
    keys: &[
        KeyInfo {
            key: "ahead",
            default: "3",
            about: "fewer partitions ahead are a warning",
        },
        KeyInfo {
            key: "critical",
            default: "1",
            about: "fewer partitions ahead are critical",
        },
        KeyInfo {
            key: "reach",
            default: "14d",
            about: "they must reach so far; of partitions of a day and longer",
        },
        KeyInfo {
            key: "enough",
            default: "366d",
            about: "partitions that reach so far are enough, however few they are",
        },
        KeyInfo {
            key: "incident",
            default: "1d",
            about: "with so much time left, or none, it is an incident when no default partition takes the rows",
        },
        KeyInfo {
            key: "retired",
            default: "60d",
            about: "a table whose last partition ended so long ago is not in use",
        },
    ],
    specimen: || vec![picture::partitioned(picture::months(-3, 0))],
    lookalike: || {
        vec![
            picture::partitioned(picture::months(-3, 3)),
            picture::partitioned(picture::months(-30, -6)),
        ]
    },
};

const DAY: Span = Span::from_mins(24 * 60);

pub(super) fn rule(c: &mut Context<'_>) {
    for i in of_primaries(c, INFO.kind, "partitions", |d| &d.partitions) {
        for p in i.value.parents.iter().filter(|p| p.by_time) {
            one(c, i, p);
        }
    }
}

fn one(c: &mut Context<'_>, i: Inside<'_, Partitions>, p: &Partitioned) {
    let now = c.now();
    let bounded = p.bounded();
    if bounded.iter().any(|b| b.to_ever) {
        return;
    }
    let Some(end) = bounded.iter().filter_map(|b| b.to).max() else {
        return;
    };
    if now.since(end) >= c.span(INFO.kind, "retired") {
        return;
    }
    let ahead = bounded.iter().filter(|b| b.from.is_some_and(|f| f > now)).count();
    let many = f64::from(u32::try_from(ahead).unwrap_or(u32::MAX));
    let left = end.since(now);
    if left >= c.span(INFO.kind, "enough") {
        return;
    }
    let usual = usual(p);
    let short = usual >= DAY && left < c.span(INFO.kind, "reach");
    if many >= c.number(INFO.kind, "ahead") && !short {
        return;
    }
    let severe = many < c.number(INFO.kind, "critical");
    let kept = p.default_partition().is_some();
    let name = p.full_name();
    let until = if end <= now {
        format!("the last one ended {} ago", now.since(end).human())
    } else {
        format!("the last one ends in {}", left.human())
    };
    let then = if kept {
        "rows go to the default partition then"
    } else {
        "inserts fail then"
    };
    let held = c.held(&i.condition(INFO.kind, &name));
    let mut f = finding(
        INFO.kind,
        if severe {
            Severity::Critical
        } else {
            Severity::Warning
        },
        &i.server.address,
        i.subject("table", &name),
        since(end, usual, now).unwrap_or_else(|| now.minus(held)),
        format!(
            "{name} in database {} has {ahead} partitions ahead: {until}; {then}",
            i.database.name
        ),
    );
    f.incident = severe && !kept && left <= c.span(INFO.kind, "incident");
    f.evidence = evidence(json!({
        "database": i.database.name, "table": name, "ahead": ahead, "ends_at": end, "interval_ms": usual.millis(),
        "default_partition": kept,
    }));
    c.findings.push(f);
}

/// With nothing ahead it has been so since the last partition began.
fn since(end: Time, usual: Span, now: Time) -> Option<Time> {
    let began = end.minus(usual);
    (began <= now && usual > Span::ZERO).then_some(began)
}

/// How long the newest partition is.
pub(super) fn usual(p: &Partitioned) -> Span {
    let newest = p
        .bounded()
        .into_iter()
        .filter(|b| b.from.is_some() && b.to.is_some())
        .max_by_key(|b| b.to);
    match newest.map(|b| (b.from, b.to)) {
        Some((Some(from), Some(to))) => to.since(from),
        _ => Span::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Partition;

    use super::super::sample::{inside, judged, now};
    use super::*;

    fn found(partitions: Vec<Partition>) -> Option<(Severity, bool, String)> {
        let j = judged(&inside::partitioned(partitions));
        let f = j.findings.into_iter().find(|f| f.kind == INFO.kind)?;
        Some((f.severity, f.incident, f.summary))
    }

    #[test]
    fn one_that_reaches_more_than_a_year_is_enough() {
        let until = |days: u64| {
            let mut one = inside::months(-3, 0);
            let last = one.last_mut().expect("a partition");
            last.to = Some(now().plus(Span::from_mins(days * 24 * 60)));
            found(one)
        };
        assert_eq!(until(367), None);
        assert!(until(360).is_some());
    }

    #[test]
    fn three_ahead_are_enough_two_warn_and_none_is_critical() {
        assert_eq!(found(inside::months(-3, 3)), None);
        let (severity, incident, said) = found(inside::months(-3, 2)).expect("found");
        assert_eq!((severity, incident), (Severity::Warning, false));
        assert!(said.contains("has 2 partitions ahead"), "{said}");
        assert_eq!(found(inside::months(-3, 1)).map(|f| f.0), Some(Severity::Warning));
        assert_eq!(
            found(inside::months(-3, 0)).map(|f| (f.0, f.1)),
            Some((Severity::Critical, false))
        );
    }

    #[test]
    fn at_the_end_it_is_an_incident_unless_a_default_takes_the_rows() {
        let (severity, incident, said) = found(inside::months(-4, -1)).expect("found");
        assert_eq!((severity, incident), (Severity::Critical, true));
        assert!(
            said.contains("ended 10d ago") && said.contains("inserts fail"),
            "{said}"
        );
        let mut kept = inside::months(-4, -1);
        kept.push(inside::default_partition(0, 0));
        assert_eq!(found(kept).map(|f| (f.0, f.1)), Some((Severity::Critical, false)));
        assert_eq!(found(inside::months(-30, -6)), None, "retired");
        let mut endless = inside::months(-3, 0);
        endless[3].to = None;
        endless[3].to_ever = true;
        assert_eq!(found(endless), None);
    }

    #[test]
    fn days_must_reach_two_weeks_and_hours_need_not() {
        let each = |minutes: u64, many: u64| -> Vec<Partition> {
            let at = |n: u64| now().plus(Span::from_mins(n * minutes));
            let one = |n: u64| Partition {
                from: Some(at(n)),
                to: Some(at(n + 1)),
                ..Partition::default()
            };
            (0..=many).map(one).collect()
        };
        assert_eq!(found(each(24 * 60, 13)), None);
        assert_eq!(found(each(24 * 60, 12)).map(|f| f.0), Some(Severity::Warning));
        assert_eq!(found(each(60, 3)), None);
    }

    #[test]
    fn unread_is_unknown() {
        let unread = inside::spoiled(|d| d.partitions = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
