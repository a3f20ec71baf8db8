//! `data.collation_mismatch`: the libraries sort text otherwise than when the indexes were built.

use muster_model::Severity;
use serde_json::json;

use super::sample::inside as picture;
use super::{RuleInfo, evidence, finding};
use crate::inside::of_server;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "data.collation_mismatch",
    title: "Collation version changed",
    about: "The version of a collation that was noted in the catalogue differs from that of this server's libraries (a new libc or ICU, a \
            standby on another operating system). Indexes on text built under the old order may miss rows and let duplicates in.",
    ignores: "Collations that no index is sorted by, but for the default of a database; C and POSIX, whose order never changes. Before \
              PostgreSQL 15 the default is judged by the collation of the same locale, whose version was noted at initdb.",
    advice: "Check the indexes with amcheck, REINDEX CONCURRENTLY those on text, then ALTER DATABASE or COLLATION … REFRESH VERSION. On a \
             standby, bring its operating system to that of the primary: a REINDEX cannot help there.",
    needs: &["collations"],
    keys: &[],
    specimen: || vec![picture::collated("2.28", 3)],
    lookalike: || vec![picture::collated("2.36", 3)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let all = c.snapshot;
    for server in &all.servers {
        for i in of_server(c, INFO.kind, "collations", server, |d| &d.collations) {
            for k in i.value.iter().filter(|k| k.differs()) {
                let held = c.held(&i.condition(INFO.kind, &k.name));
                let recorded = k.recorded.as_deref().unwrap_or_default();
                let actual = k.actual.as_deref().unwrap_or_default();
                let many = match k.indexes {
                    0 => "no index is sorted by it".to_owned(),
                    n => format!("{n} indexes are sorted by it"),
                };
                let mut f = finding(
                    INFO.kind,
                    if k.indexes > 0 {
                        Severity::Critical
                    } else {
                        Severity::Warning
                    },
                    &server.address,
                    i.subject("collation", &k.name),
                    c.now().minus(held),
                    format!(
                        "collation {} ({}) of database {} was made with version {recorded}, the library has {actual}; {many}",
                        k.name, k.locale, i.database.name
                    ),
                );
                f.evidence = evidence(json!({
                    "database": i.database.name, "collation": k.name, "locale": k.locale, "recorded": recorded,
                    "actual": actual, "indexes": k.indexes, "example": k.example,
                }));
                c.findings.push(f);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{inside, judged};
    use super::*;

    #[test]
    fn another_version_is_critical_where_indexes_depend_on_it() {
        let found = |s: &muster_model::Snapshot| {
            let j = judged(s);
            j.findings
                .into_iter()
                .find(|f| f.kind == INFO.kind)
                .map(|f| f.severity)
        };
        assert_eq!(found(&inside::collated("2.36", 3)), None);
        assert_eq!(found(&inside::collated("2.28", 3)), Some(Severity::Critical));
        assert_eq!(found(&inside::collated("2.28", 0)), Some(Severity::Warning));
        let mut unnoted = inside::collated("2.28", 3);
        let d = &mut unnoted.servers[0].databases[0];
        inside::of(&mut d.collations)[0].recorded = None;
        assert_eq!(found(&unnoted), None, "nothing was noted that could differ");
        let unread = inside::spoiled(|d| d.collations = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
