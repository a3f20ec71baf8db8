//! `partition.default_rows`: rows lie in the default partition of a table that is partitioned by ranges.

use muster_model::Severity;
use serde_json::json;

use super::sample::inside as picture;
use super::{RuleInfo, evidence, finding};
use crate::inside::of_primaries;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "partition.default_rows",
    title: "Rows in the default partition",
    about: "The default partition of a range-partitioned table holds rows, by the counters of the server. A partition for their range \
            cannot be attached until they are moved: the job that makes partitions stops at them. Critical while more arrive.",
    ignores: "Default partitions of lists: there they are for what is rare. After a crash the counters are 0 until the next VACUUM.",
    advice: "See which ranges they have, make the missing partitions beside, and move the rows in small steps. Never automatically.",
    needs: &["partitions"],
    keys: &[],
    specimen: || {
        let mut all = picture::months(-3, 3);
        all.push(picture::default_partition(12, 12));
        vec![picture::partitioned(all)]
    },
    lookalike: || {
        let mut all = picture::months(-3, 3);
        all.push(picture::default_partition(0, 0));
        vec![picture::partitioned(all)]
    },
};

pub(super) fn rule(c: &mut Context<'_>) {
    for i in of_primaries(c, INFO.kind, "partitions", |d| &d.partitions) {
        for p in &i.value.parents {
            let Some(kept) = p.default_partition().filter(|d| d.live > 0) else {
                continue;
            };
            let grown = kept
                .inserted
                .as_ref()
                .and_then(|n| n.in_five_minutes(|n| *n))
                .filter(|g| g.by > 0);
            let name = p.full_name();
            let held = c.held(&i.condition(INFO.kind, &name));
            let more = grown.map_or(String::new(), |g| {
                format!(", {} more in the last {}", g.by, g.over.human())
            });
            let mut f = finding(
                INFO.kind,
                if grown.is_some() {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &i.server.address,
                i.subject("table", &name),
                c.now().minus(held),
                format!(
                    "{} rows of {name} in database {} lie in its default partition {}{more}",
                    kept.live, i.database.name, kept.name
                ),
            );
            f.evidence = evidence(json!({
                "database": i.database.name, "table": name, "partition": kept.name, "rows": kept.live,
                "arrived": grown.map(|g| g.by),
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{inside, judged};
    use super::*;

    fn found(live: u64, grew: u64) -> Option<Severity> {
        let mut all = inside::months(-3, 3);
        all.push(inside::default_partition(live, grew));
        let j = judged(&inside::partitioned(all));
        j.findings
            .into_iter()
            .find(|f| f.kind == INFO.kind)
            .map(|f| f.severity)
    }

    #[test]
    fn any_row_warns_and_more_that_arrive_are_critical() {
        assert_eq!(found(0, 0), None);
        assert_eq!(found(1, 0), Some(Severity::Warning));
        assert_eq!(found(1, 1), Some(Severity::Critical));
        let unread = inside::spoiled(|d| d.partitions = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
