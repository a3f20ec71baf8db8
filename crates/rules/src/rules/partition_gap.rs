//! `partition.gap`: between two partitions there is a time that none takes.

use muster_model::{Severity, Time};
use serde_json::json;

use super::partition_missing::usual;
use super::sample::inside as picture;
use super::{RuleInfo, evidence, finding};
use crate::inside::of_primaries;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "partition.gap",
    title: "Hole between partitions",
    about: "Two partitions of a table that is partitioned by time do not touch: rows of the time between them are refused, or go to the \
            default partition. Critical when the hole is now or begins within one interval. A partition whose DETACH CONCURRENTLY did \
            not end takes no rows and leaves a hole too.",
    ignores: "What is before the first and after the last partition (the latter is partition.missing), and keys that are not one date or \
              time column.",
    advice: "Create and attach the missing partition; finish a half-done detach with DETACH PARTITION … FINALIZE or attach it again.",
    needs: &["partitions"],
    keys: &[],
    specimen: || {
        let mut with_hole = picture::months(-3, 3);
        with_hole.remove(4);
        vec![picture::partitioned(with_hole)]
    },
    lookalike: || vec![picture::partitioned(picture::months(-3, 3))],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let now = c.now();
    for i in of_primaries(c, INFO.kind, "partitions", |d| &d.partitions) {
        for p in i.value.parents.iter().filter(|p| p.by_time) {
            let mut covered: Option<Time> = None;
            let mut holes: Vec<(Time, Time)> = Vec::new();
            for b in p.bounded() {
                if let (Some(end), Some(from)) = (covered, b.from)
                    && end < from
                {
                    holes.push((end, from));
                }
                covered = covered.max(b.to);
            }
            let Some(worst) = holes.iter().find(|h| h.1 > now).or(holes.last()) else {
                continue;
            };
            let name = p.full_name();
            let soon = worst.1 > now && worst.0 <= now.plus(usual(p));
            let open = worst.0 <= now && now < worst.1;
            let kept = p.default_partition().is_some();
            let half = p.partitions.iter().find(|x| x.detaching).map(|x| x.name.clone());
            let held = c.held(&i.condition(INFO.kind, &name));
            let where_to = if kept {
                "go to the default partition"
            } else {
                "are refused"
            };
            let mut f = finding(
                INFO.kind,
                if soon {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &i.server.address,
                i.subject("table", &name),
                if open { worst.0 } else { now.minus(held) },
                format!(
                    "{name} in database {} has no partition from {} to {}: such rows {where_to}",
                    i.database.name,
                    moment(worst.0),
                    moment(worst.1)
                ),
            );
            f.incident = open && !kept;
            f.evidence = evidence(json!({
                "database": i.database.name, "table": name, "holes": holes.len(), "from": worst.0, "to": worst.1,
                "default_partition": kept, "half_detached": half,
            }));
            c.findings.push(f);
        }
    }
}

/// A day where it is one, else the time.
fn moment(t: Time) -> String {
    let text = t.to_string();
    let text = text.replace(".000000Z", "Z");
    text.strip_suffix("T00:00:00Z")
        .map_or(text.clone(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{inside, judged};
    use super::*;

    fn found(without: usize) -> Option<(Severity, bool)> {
        let mut months = inside::months(-3, 3);
        months.remove(without);
        let j = judged(&inside::partitioned(months));
        let f = j.findings.into_iter().find(|f| f.kind == INFO.kind)?;
        Some((f.severity, f.incident))
    }

    #[test]
    fn a_hole_now_is_an_incident_one_that_comes_is_critical_and_an_old_or_far_one_warns() {
        assert_eq!(found(1), Some((Severity::Warning, false)), "two months ago");
        assert_eq!(found(3), Some((Severity::Critical, true)), "now");
        assert_eq!(found(4), Some((Severity::Critical, false)), "next month");
        assert_eq!(found(5), Some((Severity::Warning, false)), "in two months");
        assert_eq!(found(6), None, "the last one is partition.missing's business");
        assert_eq!(found(0), None, "the first one was dropped by age");
    }

    #[test]
    fn a_bound_at_midnight_is_a_day() {
        assert_eq!(moment(Time::from_millis(86_400_000)), "1970-01-02");
        assert_eq!(moment(Time::from_millis(3_600_000)), "1970-01-01T01:00:00Z");
    }

    #[test]
    fn a_half_detached_partition_leaves_a_hole_and_unread_is_unknown() {
        let mut months = inside::months(-3, 3);
        months[3].detaching = true;
        let j = judged(&inside::partitioned(months));
        let f = j.findings.iter().find(|f| f.kind == INFO.kind).expect("found");
        assert_eq!(
            f.evidence.get("half_detached").and_then(|v| v.as_str()),
            Some("events_m0")
        );
        let unread = inside::spoiled(|d| d.partitions = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
