//! `migration.behind`: of databases that are migrated alike, one has not got what another has.

use std::collections::BTreeSet;

use muster_model::Severity;
use muster_model::snapshot::{Ledger, MigrationState, Migrations};
use serde_json::json;

use super::sample::inside as picture;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::{Inside, of_primaries};
use crate::judge::{Context, Mode};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "migration.behind",
    title: "A database is behind its peers",
    about: "Two databases of the cluster keep the same ledger (tool, schema, table). All that the one has applied the other has too, and \
            more, since a quarter of an hour: a deploy has reached the other and not this one.",
    ignores: "A deploy that is under way, databases whose ledgers do not contain one another (they belong to different applications), and \
              Alembic, which notes only where it is.",
    advice: "Run the migrator for that database and see why it did not run.",
    needs: &["migrations"],
    keys: &[KeyInfo {
        key: "for",
        default: "15m",
        about: "behind for so long",
    }],
    specimen: || {
        let mut pictures = Vec::new();
        for second in (0..=900).step_by(5) {
            let mut s = pair(&["1", "2"], &["1", "2", "3"]);
            s.taken_at = s.taken_at.plus(muster_model::Span::from_secs(second));
            for d in &mut s.servers[0].databases {
                for p in d.migrations.iter_mut() {
                    p.taken_at = s.taken_at;
                }
            }
            pictures.push(s);
        }
        pictures
    },
    lookalike: || super::sample::seconds(&pair(&["1", "2", "9"], &["1", "2", "3"]), 8),
};

/// Two databases with their ledgers.
fn pair(a: &[&str], b: &[&str]) -> muster_model::Snapshot {
    let mut s = super::sample::healthy();
    s.servers[0].databases = [("app_a", a), ("app_b", b)]
        .into_iter()
        .map(|(name, versions)| {
            let mut d = picture::database(name);
            picture::of(&mut d.migrations).ledgers = vec![picture::ledger(versions)];
            d
        })
        .collect();
    s
}

pub(super) fn rule(c: &mut Context<'_>) {
    let lasting = c.span(INFO.kind, "for");
    let all = of_primaries(c, INFO.kind, "migration ledgers", |d| &d.migrations);
    for i in &all {
        if !i.value.unreadable.is_empty() {
            let why = format!("ledgers of database {} may not be read", i.database.name);
            c.lacks(INFO.kind, &i.server.address, why);
        }
        for ledger in &i.value.ledgers {
            let own = applied(ledger);
            let Some((peer, missing)) = ahead(&all, i, ledger, &own) else {
                continue;
            };
            let held = c.held(&i.condition(INFO.kind, ledger.full_name()));
            if held < lasting && c.mode == Mode::Watch {
                continue;
            }
            let first = missing.first().map_or("", |m| m.as_str());
            let mut f = finding(
                INFO.kind,
                Severity::Warning,
                &i.server.address,
                i.subject("ledger", &ledger.full_name()),
                c.now().minus(held),
                format!(
                    "database {} lacks {} migrations of {} that database {peer} has, {first} among them",
                    i.database.name,
                    missing.len(),
                    ledger.full_name()
                ),
            );
            f.pending = held < lasting;
            f.evidence = evidence(json!({
                "database": i.database.name, "ledger": ledger.full_name(), "tool": ledger.tool, "peer": peer,
                "missing": missing.iter().take(20).collect::<Vec<_>>(), "lacks": missing.len(),
            }));
            c.findings.push(f);
        }
    }
}

fn applied(ledger: &Ledger) -> BTreeSet<&String> {
    let done = ledger
        .migrations
        .iter()
        .filter(|m| m.state == MigrationState::Applied);
    done.map(|m| &m.version).collect()
}

/// The peer that has all of this and most more, and what more that is.
fn ahead(
    all: &[Inside<'_, Migrations>],
    of: &Inside<'_, Migrations>,
    ledger: &Ledger,
    own: &BTreeSet<&String>,
) -> Option<(String, Vec<String>)> {
    // What was cut off cannot be compared.
    if own.is_empty() || ledger.left_out > 0 || ledger.tool == "alembic" {
        return None;
    }
    let peers = all
        .iter()
        .filter(|p| p.server.address == of.server.address && p.database.name != of.database.name);
    peers
        .filter_map(|p| {
            let same =
                |l: &&Ledger| l.tool == ledger.tool && l.full_name() == ledger.full_name() && l.left_out == 0;
            let theirs = applied(p.value.ledgers.iter().find(same)?);
            let more = own.is_subset(&theirs) && theirs.len() > own.len();
            let missing: Vec<String> = theirs.difference(own).map(|m| (*m).clone()).collect();
            more.then(|| (p.database.name.clone(), missing))
        })
        .max_by_key(|(_, missing)| missing.len())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{inside, judged};
    use super::*;
    use crate::judge::{RuleState, judge};

    #[test]
    fn only_what_a_peer_contains_is_behind_it_and_only_after_a_quarter_of_an_hour() {
        let after = |minutes: u64, a: &[&str], b: &[&str]| {
            let mut state = RuleState::default();
            let mut last = crate::Judgement::default();
            for second in (0..=minutes * 60).step_by(5) {
                let mut s = pair(a, b);
                s.taken_at = s.taken_at.plus(muster_model::Span::from_secs(second));
                for d in &mut s.servers[0].databases {
                    d.migrations.as_mut().expect("part").taken_at = s.taken_at;
                }
                (state, last) = judge(&state, &s, &crate::defaults(), Mode::Watch);
            }
            let own = last.findings.into_iter().filter(|f| f.kind == INFO.kind);
            own.map(|f| f.summary).collect::<Vec<_>>()
        };
        assert!(after(14, &["1"], &["1", "2"]).is_empty());
        let said = after(15, &["1"], &["1", "2"]);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("database app_a lacks 1 migrations"),
            "{said:?}"
        );
        assert!(
            after(15, &["1", "9"], &["1", "2"]).is_empty(),
            "another application"
        );
        assert!(after(15, &["1", "2"], &["2", "1"]).is_empty());
    }

    #[test]
    fn unread_is_unknown() {
        let unread = inside::spoiled(|d| d.migrations = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
