//! `vacuum.disabled`: autovacuum is off, for the server or for a table that needs it.

use muster_model::snapshot::{Role, ServerView, TableVacuum};
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::amount::amount;
use crate::judge::Context;

/// Of one database so many tables are named.
const MOST: usize = 10;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "vacuum.disabled",
    title: "Autovacuum is switched off",
    about: "The setting autovacuum is off, or track_counts is, without which autovacuum does not know what to do; or a table \
            has autovacuum_enabled = false and dead row versions gather in it.",
    ignores: "A table that is switched off and has few dead row versions: somebody vacuums it by a plan of their own. \
              Standbys: vacuum runs on the primary. Temporary tables.",
    advice: "Switch it on again (in the configuration, and reload; ALTER TABLE ... RESET (autovacuum_enabled)), then VACUUM ANALYZE \
             what has gathered. A vacuum to prevent wraparound runs all the same, at the worst time.",
    needs: &["settings", "vacuum_queue"],
    keys: &[
        KeyInfo {
            key: "dead",
            default: "10000",
            about: "dead row versions of a table that is switched off",
        },
        KeyInfo {
            key: "percent",
            default: "10",
            about: "and their share of its rows, in per cent",
        },
    ],
    specimen: || vec![sample::vacuum::set("autovacuum", "off")],
    lookalike: || vec![sample::vacuum::queue(vec![off(500, 1_000_000)], 0)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    for server in &c.snapshot.servers {
        if server.role() == Some(Role::Standby) {
            continue;
        }
        whole(c, server);
        if server.answers() && server.databases.is_empty() {
            c.lacks(
                INFO.kind,
                &server.address,
                "the tables of its databases: not looked into yet",
            );
        }
        for database in &server.databases {
            let what = format!("the tables of database {}", database.name);
            if let Some(queue) = c.part(INFO.kind, server, &database.vacuum, &what) {
                tables(c, server, &database.name, &queue.tables);
            }
        }
    }
}

fn whole(c: &mut Context<'_>, server: &ServerView) {
    let Some(settings) = c.part(INFO.kind, server, &server.settings, "its settings") else {
        return;
    };
    let off = |name: &str| settings.values.get(name).map(|v| v == "off");
    let (Some(autovacuum), Some(counts)) = (off("autovacuum"), off("track_counts")) else {
        c.lacks(
            INFO.kind,
            &server.address,
            "the settings autovacuum and track_counts",
        );
        return;
    };
    let said = match (autovacuum, counts) {
        (false, false) => return,
        (true, _) => "autovacuum is off: dead row versions gather, statistics grow old",
        (false, true) => "track_counts is off: autovacuum does not learn which tables need it",
    };
    let held = c.held(&format!("{}|{}", INFO.kind, server.address));
    let mut f = finding(
        INFO.kind,
        Severity::Warning,
        &server.address,
        Subject::new("server", &server.name),
        c.now().minus(held),
        said.to_owned(),
    );
    let due: u64 = server
        .databases
        .iter()
        .filter_map(|d| d.vacuum.as_ref())
        .map(|p| p.value.due)
        .sum();
    f.evidence = evidence(json!({"autovacuum": !autovacuum, "track_counts": !counts, "tables_due": due}));
    c.findings.push(f);
}

fn tables(c: &mut Context<'_>, server: &ServerView, database: &str, tables: &[TableVacuum]) {
    let (dead, percent) = (c.number(INFO.kind, "dead"), c.number(INFO.kind, "percent"));
    #[allow(clippy::cast_precision_loss)]
    let many = |t: &&TableVacuum| t.dead as f64 >= dead && t.dead_percent() >= percent;
    let off = tables.iter().filter(|t| !t.enabled && !t.temporary).filter(many);
    for t in off.take(MOST) {
        let name = format!("{database}/{}", t.table);
        let held = c.held(&format!("{}|{}|{name}", INFO.kind, server.address));
        let mut f = finding(
            INFO.kind,
            Severity::Warning,
            &server.address,
            Subject::new("table", &name),
            t.due_since.unwrap_or_else(|| c.now().minus(held)),
            format!(
                "autovacuum is switched off for table {} of database {database}, and {} of its row versions are dead ({:.0} %)",
                t.table,
                amount(t.dead),
                t.dead_percent()
            ),
        );
        f.evidence = evidence(json!({
            "database": database, "table": t.table, "dead": t.dead, "live": t.live, "percent": t.dead_percent(),
            "last_vacuum": t.last_vacuum,
        }));
        c.findings.push(f);
    }
}

/// A table that is switched off.
fn off(dead: u64, live: u64) -> TableVacuum {
    TableVacuum {
        enabled: false,
        ..sample::vacuum::table("public.jobs", dead, live, None)
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Role;

    use super::super::sample::vacuum::{queue, set};
    use super::super::sample::{healthy, judged, kinds};
    use super::off;

    #[test]
    fn a_server_without_autovacuum_or_counts_is_named_and_a_standby_is_not() {
        for name in ["autovacuum", "track_counts"] {
            let mut s = set(name, "off");
            let j = judged(&s);
            assert_eq!(kinds(&j), ["vacuum.disabled"]);
            assert!(j.findings[0].summary.starts_with(&format!("{name} is off")));
            s.servers[0].identity.as_mut().expect("identity").value.role = Role::Standby;
            assert_eq!(kinds(&judged(&s)), [""; 0]);
        }
        assert_eq!(kinds(&judged(&healthy())), [""; 0]);
    }

    #[test]
    fn a_table_that_is_off_counts_once_its_dead_rows_are_many_and_a_tenth() {
        let found = |dead, live| judged(&queue(vec![off(dead, live)], 0)).findings.pop();
        let f = found(10_000, 90_000).expect("found");
        assert_eq!(
            f.summary,
            "autovacuum is switched off for table public.jobs of database app, and 10000 of its row versions are dead (10 %)"
        );
        assert_eq!(f.subject.0, "table:app/public.jobs");
        assert!(found(10_000, 90_001).is_none(), "less than a tenth");
        assert!(found(9_999, 0).is_none(), "few");
        let mut on = off(50_000, 1);
        on.enabled = true;
        assert!(judged(&queue(vec![on], 0)).findings.is_empty());
        let mut temporary = off(50_000, 1);
        temporary.temporary = true;
        assert!(judged(&queue(vec![temporary], 0)).findings.is_empty());
    }

    #[test]
    fn settings_and_tables_that_were_not_read_are_unknown() {
        let lacks = |s| judged(&s).unknown.iter().any(|u| u.kind == "vacuum.disabled");
        assert!(!lacks(healthy()));
        let mut s = healthy();
        s.servers[0].settings = None;
        assert!(lacks(s));
        let mut s = healthy();
        s.servers[0].databases[0].vacuum = None;
        assert!(lacks(s));
        let mut s = healthy();
        s.servers[0].databases.clear();
        assert!(lacks(s));
        let mut s = healthy();
        s.servers[0]
            .settings
            .as_mut()
            .expect("settings")
            .value
            .values
            .remove("track_counts");
        assert!(lacks(s));
    }
}
