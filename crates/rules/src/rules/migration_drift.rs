//! `migration.drift`: what the ledgers say and what the schemas are do not agree.

use std::collections::BTreeMap;

use muster_model::Severity;
use muster_model::snapshot::Migrations;
use serde_json::json;

use super::sample::inside as picture;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::{Inside, of_primaries};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "migration.drift",
    title: "Schema and ledger disagree",
    about: "The schema of a database that keeps a migration ledger changed while Muster watched, and after a quarter of an hour no ledger \
            tells of it; or two databases have the same version of a migration with different checksums.",
    ignores: "Partitions that come and go, objects of extensions, databases without a ledger, changes of before Muster watched, and a \
              migration whose line and change come in either order within a quarter of an hour.",
    advice: "Find who changed it by hand; write the change down as a migration, or undo it.",
    needs: &["migrations"],
    keys: &[KeyInfo {
        key: "grace",
        default: "15m",
        about: "so long a migration may take from its change to its line",
    }],
    specimen: || vec![changed(15)],
    lookalike: || vec![changed(14)],
};

/// An index was made by hand so many minutes ago.
fn changed(minutes: u64) -> muster_model::Snapshot {
    picture::spoiled(|d| {
        let m = picture::of(&mut d.migrations);
        m.ledgers = vec![picture::ledger(&["2", "1"])];
        m.untold = Some(muster_model::snapshot::Untold {
            at: super::sample::now().minus(muster_model::Span::from_mins(minutes)),
            parts: vec![("indexes".into(), 12, 13)],
        });
    })
}

pub(super) fn rule(c: &mut Context<'_>) {
    let all = of_primaries(c, INFO.kind, "migration ledgers", |d| &d.migrations);
    for i in &all {
        if !i.value.unreadable.is_empty() {
            let why = format!("ledgers of database {} may not be read", i.database.name);
            c.lacks(INFO.kind, &i.server.address, why);
        }
        untold(c, i);
    }
    checksums(c, &all);
}

fn untold(c: &mut Context<'_>, i: &Inside<'_, Migrations>) {
    let Some(u) = &i.value.untold else { return };
    if c.now().since(u.at) < c.span(INFO.kind, "grace") {
        return;
    }
    let parts: Vec<String> = u
        .parts
        .iter()
        .map(|(part, before, after)| {
            if before == after {
                format!("{part} (still {after})")
            } else {
                format!("{part} ({before} before, {after} now)")
            }
        })
        .collect();
    let mut f = finding(
        INFO.kind,
        Severity::Warning,
        &i.server.address,
        i.subject("schema", "ledger"),
        u.at,
        format!(
            "the schema of database {} changed and no migration tells of it: {}",
            i.database.name,
            parts.join(", ")
        ),
    );
    let ledgers: Vec<String> = i
        .value
        .ledgers
        .iter()
        .map(muster_model::snapshot::Ledger::full_name)
        .collect();
    f.evidence = evidence(json!({"database": i.database.name, "ledgers": ledgers, "parts": u.parts}));
    c.findings.push(f);
}

/// The same version with another text, in another database with the same ledger.
fn checksums(c: &mut Context<'_>, all: &[Inside<'_, Migrations>]) {
    let mut first: BTreeMap<(String, String, String, String), (&str, &str)> = BTreeMap::new();
    for i in all {
        for ledger in &i.value.ledgers {
            let mut differ = Vec::new();
            let mut peer = None;
            for m in &ledger.migrations {
                let Some(sum) = &m.checksum else { continue };
                let key = (
                    i.server.address.clone(),
                    ledger.tool.clone(),
                    ledger.full_name(),
                    m.version.clone(),
                );
                let known = *first
                    .entry(key)
                    .or_insert((sum.as_str(), i.database.name.as_str()));
                if known.0 != sum {
                    differ.push(m.version.clone());
                    peer = Some(known.1);
                }
            }
            // Ledgers that agree on nothing belong to different applications.
            let compared = ledger.migrations.iter().filter(|m| m.checksum.is_some()).count();
            let (Some(peer), true) = (peer, differ.len() < compared) else {
                continue;
            };
            let held = c.held(&i.condition(INFO.kind, ledger.full_name()));
            let mut f = finding(
                INFO.kind,
                Severity::Warning,
                &i.server.address,
                i.subject("ledger", &ledger.full_name()),
                c.now().minus(held),
                format!(
                    "{} migrations of {} in database {} have another text than in database {peer}, {} among them",
                    differ.len(),
                    ledger.full_name(),
                    i.database.name,
                    differ[0]
                ),
            );
            f.evidence = evidence(json!({
                "database": i.database.name, "peer": peer, "ledger": ledger.full_name(), "versions": differ,
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{healthy, inside, judged, kinds};
    use super::*;

    #[test]
    fn a_change_that_no_ledger_tells_of_is_drift_after_its_grace() {
        assert!(kinds(&judged(&changed(14))).is_empty());
        let j = judged(&changed(15));
        assert_eq!(kinds(&j), [INFO.kind]);
        assert!(
            j.findings[0].summary.contains("indexes (12 before, 13 now)"),
            "{}",
            j.findings[0].summary
        );
    }

    #[test]
    fn the_same_version_with_another_text_is_drift_and_another_application_is_none() {
        let with = |changed: &[&str]| {
            let mut s = healthy();
            s.servers[0].databases = vec![inside::database("a"), inside::database("b")];
            for (n, d) in s.servers[0].databases.iter_mut().enumerate() {
                let mut ledger = inside::ledger(&["2", "1"]);
                for m in ledger
                    .migrations
                    .iter_mut()
                    .filter(|m| n == 1 && changed.contains(&m.version.as_str()))
                {
                    m.checksum = Some("other".into());
                }
                inside::of(&mut d.migrations).ledgers = vec![ledger];
            }
            judged(&s)
                .findings
                .into_iter()
                .filter(|f| f.kind == INFO.kind)
                .count()
        };
        assert_eq!((with(&[]), with(&["2"]), with(&["1", "2"])), (0, 1, 0));
    }

    #[test]
    fn unread_is_unknown() {
        let unread = inside::spoiled(|d| d.migrations = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
        let hidden = inside::spoiled(|d| inside::of(&mut d.migrations).unreadable = vec!["public.x".into()]);
        assert!(judged(&hidden).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
