//! `data.index_corruption`: amcheck found a broken index.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "data.index_corruption",
    title: "An index is broken",
    about: "amcheck, run on request, says that an index does not hold what its table does, or is not in order. Queries through it give wrong answers. \
            While nobody asked for it, it is silent.",
    ignores: "Indexes that were not checked.",
    advice: "Look at the collation version first (data.collation_mismatch); REINDEX CONCURRENTLY the index, and look for duplicates that it let in.",
    needs: &[],
    keys: &[],
    specimen: || vec![sample::backups::checked(true)],
    lookalike: || vec![sample::backups::checked(false)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    for server in &c.snapshot.servers {
        for (database, check) in server
            .databases
            .iter()
            .flat_map(|d| {
                d.checked
                    .iter()
                    .flat_map(move |p| p.value.iter().map(move |i| (d, p.taken_at, i)))
            })
            .map(|(d, at, i)| ((&d.name, at), i))
        {
            let Some(wrong) = &check.wrong else { continue };
            let (name, at) = database;
            let summary = format!(
                "index {} of {} in database {name} of {} is broken: {wrong}",
                check.index, check.table, server.address
            );
            let subject = Subject::new("index", format!("{name}/{}", check.index));
            let mut f = finding(
                INFO.kind,
                Severity::Critical,
                &server.address,
                subject,
                at,
                summary,
            );
            f.incident = true;
            f.evidence = evidence(
                json!({"database": name, "index": check.index, "table": check.table, "wrong": wrong}),
            );
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::backups::checked;
    use super::super::sample::{judged, kinds};

    #[test]
    fn only_what_is_wrong_is_said() {
        assert_eq!(kinds(&judged(&checked(true))), ["data.index_corruption"]);
        assert_eq!(kinds(&judged(&checked(false))), [""; 0]);
    }
}
