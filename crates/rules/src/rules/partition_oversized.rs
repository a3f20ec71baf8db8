//! `partition.oversized`: a partition is larger than partitions should be.

use muster_model::Severity;
use serde_json::json;

use super::sample::inside as picture;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::of_primaries;
use crate::judge::Context;
use crate::sizes::{human, megabytes};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "partition.oversized",
    title: "Partition too large",
    about: "A partition of a table that is partitioned by time is larger than 800 MB, by the planner's page counts (its indexes and what \
            is stored outside its rows are not in them). One finding a table, for its largest partition.",
    ignores: "Partitions that are partitioned themselves, and keys that are not one date or time column.",
    advice: "Make the next ones shorter (days instead of months). Where large partitions are wanted, raise the threshold.",
    needs: &["partitions"],
    keys: &[
        KeyInfo {
            key: "warning_mb",
            default: "800",
            about: "MB",
        },
        KeyInfo {
            key: "critical_mb",
            default: "1024",
            about: "MB",
        },
    ],
    specimen: || vec![picture::partitioned(sized(900))],
    lookalike: || vec![picture::partitioned(sized(700))],
};

/// One of seven months has so many MB.
fn sized(megabytes: u64) -> Vec<muster_model::snapshot::Partition> {
    let mut all = picture::months(-3, 3);
    all[2].pages = megabytes * 128;
    all
}

pub(super) fn rule(c: &mut Context<'_>) {
    let warning = megabytes(c.number(INFO.kind, "warning_mb"));
    let critical = megabytes(c.number(INFO.kind, "critical_mb"));
    for i in of_primaries(c, INFO.kind, "partitions", |d| &d.partitions) {
        for p in i.value.parents.iter().filter(|p| p.by_time) {
            let large: Vec<_> = p
                .partitions
                .iter()
                .filter(|x| !x.parent && x.pages * i.value.block > warning)
                .collect();
            let Some(largest) = large.iter().max_by_key(|x| x.pages) else {
                continue;
            };
            let bytes = largest.pages * i.value.block;
            let name = p.full_name();
            let held = c.held(&i.condition(INFO.kind, &name));
            let mut f = finding(
                INFO.kind,
                if bytes > critical {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &i.server.address,
                i.subject("table", &name),
                c.now().minus(held),
                format!(
                    "{} partitions of {name} in database {} are larger than {}; the largest, {}, has {}",
                    large.len(),
                    i.database.name,
                    human(warning),
                    largest.name,
                    human(bytes)
                ),
            );
            f.evidence = evidence(json!({
                "database": i.database.name, "table": name, "partition": largest.name, "bytes": bytes, "oversized": large.len(),
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
    fn eight_hundred_megabytes_warn_and_a_gigabyte_is_critical() {
        let found = |mb: u64| {
            let j = judged(&inside::partitioned(sized(mb)));
            j.findings
                .into_iter()
                .find(|f| f.kind == INFO.kind)
                .map(|f| f.severity)
        };
        assert_eq!(found(800), None);
        assert_eq!(found(801), Some(Severity::Warning));
        assert_eq!(found(1024), Some(Severity::Warning));
        assert_eq!(found(1025), Some(Severity::Critical));
        let unread = inside::spoiled(|d| d.partitions = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
