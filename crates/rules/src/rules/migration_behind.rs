//! `migration.behind`: of databases that are migrated alike, one has not got what another has.

use std::collections::BTreeSet;

use muster_model::Severity;
use muster_model::snapshot::{Ledger, MigrationState, Migrations};
use serde_json::json;

use super::sample::inside as picture;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::{Inside, of_primaries};
use crate::judge::{Context, Mode};
use crate::size::several;

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
        for ledger in i.value.ledgers.iter().filter(|l| l.left_out > 0) {
            let why = format!(
                "{} of database {} is too long: {} of its lines were not read, so it cannot be compared",
                ledger.full_name(),
                i.database.name,
                ledger.left_out
            );
            c.lacks(INFO.kind, &i.server.address, why);
        }
    }
    let read: Vec<Read<'_>> = all.iter().flat_map(Read::of).collect();
    for own in &read {
        let (i, ledger) = (own.of, own.ledger);
        let Some((peer, missing)) = ahead(&read, own) else {
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
                "database {} lacks {} of {} that database {peer} has, {first} among them",
                i.database.name,
                several(missing.len() as u64, "migration"),
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

fn applied(ledger: &Ledger) -> BTreeSet<&String> {
    let done = ledger
        .migrations
        .iter()
        .filter(|m| m.state == MigrationState::Applied);
    done.map(|m| &m.version).collect()
}

/// A ledger that can be compared, with what was applied by it.
struct Read<'a> {
    of: &'a Inside<'a, Migrations>,
    ledger: &'a Ledger,
    applied: BTreeSet<&'a String>,
}

impl<'a> Read<'a> {
    /// Those of a database. What was cut off cannot be compared, nor what has no order.
    fn of(of: &'a Inside<'a, Migrations>) -> impl Iterator<Item = Self> {
        let whole = of.value.ledgers.iter().filter(|l| l.left_out == 0);
        whole.filter(|l| l.tool != "alembic").map(move |ledger| Self {
            of,
            ledger,
            applied: applied(ledger),
        })
    }
}

/// The peer that has all of this and most more, and what more that is.
fn ahead(all: &[Read<'_>], own: &Read<'_>) -> Option<(String, Vec<String>)> {
    if own.applied.is_empty() {
        return None;
    }
    all.iter()
        .filter(|p| {
            p.of.server.address == own.of.server.address
                && p.of.database.name != own.of.database.name
                && p.ledger.tool == own.ledger.tool
                && p.applied.len() > own.applied.len()
                && p.ledger.full_name() == own.ledger.full_name()
                && own.applied.is_subset(&p.applied)
        })
        .max_by_key(|p| p.applied.len())
        .map(|p| {
            let missing = p.applied.difference(&own.applied).map(|m| (*m).clone());
            (p.of.database.name.clone(), missing.collect())
        })
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
            said[0].starts_with("database app_a lacks 1 migration of"),
            "{said:?}"
        );
        assert!(
            after(15, &["1", "9"], &["1", "2"]).is_empty(),
            "another application"
        );
        assert!(after(15, &["1", "2"], &["2", "1"]).is_empty());
    }

    #[test]
    fn a_ledger_that_was_cut_off_is_unknown() {
        let mut s = pair(&["1"], &["1", "2"]);
        let cut = picture::of(&mut s.servers[0].databases[0].migrations);
        cut.ledgers[0].left_out = 7;
        let j = judged(&s);
        let told =
            |u: &&crate::Unknown| u.kind == INFO.kind && u.why.contains("7 of its lines were not read");
        assert_eq!(j.unknown.iter().filter(told).count(), 1, "{:?}", j.unknown);
    }

    #[test]
    fn unread_is_unknown() {
        let unread = inside::spoiled(|d| d.migrations = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
