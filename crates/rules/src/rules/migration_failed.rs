//! `migration.failed`: a ledger says that a migration failed, or it began long ago and never ended.

use muster_model::Severity;
use muster_model::snapshot::{Ledger, Migration, MigrationState};
use serde_json::json;

use super::sample::inside as picture;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::of_primaries;
use crate::judge::{Context, Mode};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "migration.failed",
    title: "Migration failed",
    about: "The ledger of a migration tool (Flyway, Prisma, sqlx, golang-migrate, Muster) holds a line that failed, or one that began and \
            has not ended (dirty) for ten minutes. The next deploy will refuse to migrate.",
    ignores: "A migration that is running. Tools that note a migration only after it succeeded (Alembic, Django, Diesel, Rails) cannot \
              tell.",
    advice: "See what the migration changed before it failed and who blocked it; undo or finish it; then repair its line with the tool. \
             Never mark it applied without proof.",
    needs: &["migrations"],
    keys: &[KeyInfo {
        key: "unfinished",
        default: "10m",
        about: "a migration that began so long ago and has not ended did not end",
    }],
    specimen: || vec![picture::with_ledger(with(MigrationState::Failed))],
    lookalike: || super::sample::seconds(&picture::with_ledger(with(MigrationState::Unfinished)), 8),
};

fn with(state: MigrationState) -> Ledger {
    let mut ledger = picture::ledger(&["3", "2", "1"]);
    if let Some(newest) = ledger.migrations.first_mut() {
        newest.state = state;
        newest.at = Some(super::sample::now());
    }
    ledger
}

pub(super) fn rule(c: &mut Context<'_>) {
    for i in of_primaries(c, INFO.kind, "migration ledgers", |d| &d.migrations) {
        if !i.value.unreadable.is_empty() {
            let why = format!(
                "ledgers of database {} may not be read: {}",
                i.database.name,
                i.value.unreadable.join(", ")
            );
            c.lacks(INFO.kind, &i.server.address, why);
        }
        for ledger in &i.value.ledgers {
            for m in ledger
                .migrations
                .iter()
                .filter(|m| m.state != MigrationState::Applied)
            {
                let condition = i.condition(INFO.kind, format!("{}|{}", ledger.full_name(), m.version));
                let (ended, ago) = age(c, m, &condition);
                if !ended && c.mode == Mode::Watch {
                    continue;
                }
                let what = if m.state == MigrationState::Failed {
                    "failed"
                } else {
                    "began and has not ended"
                };
                let mut f = finding(
                    INFO.kind,
                    Severity::Critical,
                    &i.server.address,
                    i.subject("ledger", &ledger.full_name()),
                    c.now().minus(ago),
                    format!(
                        "migration {} of {} ({}) in database {} {what} {} ago",
                        m.version,
                        ledger.full_name(),
                        ledger.tool,
                        i.database.name,
                        ago.human()
                    ),
                );
                f.incident = m.state == MigrationState::Failed;
                f.pending = !ended;
                f.evidence = evidence(json!({
                    "database": i.database.name, "ledger": ledger.full_name(), "tool": ledger.tool, "version": m.version,
                    "state": m.state, "at": m.at,
                }));
                c.findings.push(f);
                // One line of a ledger is enough to say that it is stuck there.
                break;
            }
        }
    }
}

/// Whether it is over with it, and how long ago it began.
fn age(c: &mut Context<'_>, m: &Migration, condition: &str) -> (bool, muster_model::Span) {
    let held = c.held(condition);
    // Where the ledger notes no time, only watching tells how long.
    let ago = m.at.map_or(held, |at| c.now().since(at));
    (
        m.state == MigrationState::Failed || ago >= c.span(INFO.kind, "unfinished"),
        ago,
    )
}

#[cfg(test)]
mod tests {
    use muster_model::Span;

    use super::super::sample::{inside, judged, kinds, now};
    use super::*;

    #[test]
    fn a_failed_line_is_an_incident_and_an_unfinished_one_gets_ten_minutes() {
        let j = judged(&inside::with_ledger(with(MigrationState::Failed)));
        assert_eq!(kinds(&j), [INFO.kind]);
        assert!(j.findings[0].incident && j.findings[0].summary.contains("migration 3"));
        let unfinished = |minutes: u64| {
            let mut ledger = with(MigrationState::Unfinished);
            ledger.migrations[0].at = Some(now().minus(Span::from_mins(minutes)));
            judged(&inside::with_ledger(ledger)).findings.len()
        };
        assert_eq!((unfinished(9), unfinished(10)), (0, 1));
    }

    #[test]
    fn a_ledger_that_may_not_be_read_is_unknown() {
        let s = inside::spoiled(|d| {
            inside::of(&mut d.migrations).unreadable = vec!["public.alembic_version".into()];
        });
        assert!(judged(&s).unknown.iter().any(|u| u.kind == INFO.kind));
        let unread = inside::spoiled(|d| d.migrations = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
