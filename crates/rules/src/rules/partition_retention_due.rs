//! `partition.retention_due`: partitions are older than they are to be kept.

use muster_model::Severity;
use serde_json::json;

use super::sample::inside as picture;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::of_primaries;
use crate::judge::Context;
use crate::sizes::human;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "partition.retention_due",
    title: "Partitions past their retention",
    about: "The newest row that a partition can hold is older than 24 months: it is due to be copied to the archive, verified, detached \
            and dropped. One finding a table.",
    ignores: "Partitions without an end, and keys that are not one date or time column.",
    advice: "Archive and verify first; then DETACH CONCURRENTLY (14 and later, not with a default partition), and drop when it is \
             confirmed. Where nothing is to be dropped, raise the threshold.",
    needs: &["partitions"],
    keys: &[KeyInfo {
        key: "age",
        default: "731d",
        about: "a partition that ended so long ago is due: 24 months",
    }],
    specimen: || vec![picture::partitioned(picture::months(-30, 3))],
    lookalike: || vec![picture::partitioned(picture::months(-12, 3))],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let age = c.span(INFO.kind, "age");
    let now = c.now();
    for i in of_primaries(c, INFO.kind, "partitions", |d| &d.partitions) {
        for p in i.value.parents.iter().filter(|p| p.by_time) {
            let mut due: Vec<_> = p.bounded();
            due.retain(|x| x.to.is_some_and(|t| now.since(t) >= age));
            let (Some(oldest), Some(end)) = (due.first(), due.iter().filter_map(|x| x.to).min()) else {
                continue;
            };
            let name = p.full_name();
            let bytes: u64 = due.iter().map(|x| x.pages * i.value.block).sum();
            let mut f = finding(
                INFO.kind,
                Severity::Warning,
                &i.server.address,
                i.subject("table", &name),
                end.plus(age),
                format!(
                    "{} partitions of {name} in database {} are past their retention ({}); the oldest, {}, ended {} ago",
                    due.len(),
                    i.database.name,
                    human(bytes),
                    oldest.name,
                    now.since(end).human()
                ),
            );
            f.evidence = evidence(json!({
                "database": i.database.name, "table": name, "partitions": due.len(), "oldest": oldest.name, "bytes": bytes,
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{inside, judged};
    use super::*;

    #[test]
    fn two_years_after_its_end_a_partition_is_due() {
        // Month -25 ended 730 days ago, month -26 760.
        let found = |from: i64| {
            let j = judged(&inside::partitioned(inside::months(from, 3)));
            j.findings.into_iter().find(|f| f.kind == INFO.kind)
        };
        assert!(found(-25).is_none());
        let f = found(-27).expect("found");
        assert!(
            f.summary.starts_with("2 partitions of public.events"),
            "{}",
            f.summary
        );
        assert!(f.since < super::super::sample::now());
        let unread = inside::spoiled(|d| d.partitions = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
