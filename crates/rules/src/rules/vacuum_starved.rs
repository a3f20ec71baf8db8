//! `vacuum.starved`: all autovacuum workers are busy, and tables wait for one.

use muster_model::snapshot::{DatabaseView, Role, ServerView, TableVacuum, Vacuuming};
use muster_model::{Severity, Span, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "vacuum.starved",
    title: "Autovacuum does not keep up",
    about: "All autovacuum workers were busy at nearly every look of the last five minutes, and tables are past the threshold \
            at which autovacuum takes them since `warning`, and nobody has vacuumed them meanwhile.",
    ignores: "Tables that are due while a worker is free: their turn comes. Tables that were vacuumed since and are due \
              again: something holds vacuum back (vacuum.xmin_holder). Tables that are switched off (vacuum.disabled), and \
              those that are being vacuumed.",
    advice: "Let the workers work faster: raise autovacuum_vacuum_cost_limit (it is shared by all workers) or lower the delay, \
             by reload. More workers without that only share the same budget. VACUUM the tables that matter by hand.",
    needs: &["vacuuming", "vacuum_queue", "settings"],
    keys: &[
        KeyInfo {
            key: "busy",
            default: "80",
            about: "share of the looks of five minutes at which all workers were busy, in per cent",
        },
        KeyInfo {
            key: "warning",
            default: "30m",
            about: "for so long a table is due",
        },
        KeyInfo {
            key: "critical",
            default: "2h",
            about: "for so long a table is due of which more than `dead` is dead: an incident",
        },
        KeyInfo {
            key: "dead",
            default: "20",
            about: "share of dead row versions, in per cent",
        },
    ],
    specimen: || {
        let big = sample::vacuum::table("public.big", 400_000, 600_000, Some(Span::from_mins(40)));
        vec![sample::vacuum::queue(vec![big], 20)]
    },
    lookalike: || {
        let big = sample::vacuum::table("public.big", 400_000, 600_000, Some(Span::from_mins(40)));
        vec![sample::vacuum::queue(vec![big], 4)]
    },
};

pub(super) fn rule(c: &mut Context<'_>) {
    for server in &c.snapshot.servers {
        if server.role() == Some(Role::Standby) {
            continue;
        }
        let Some(vacuuming) = c.part(INFO.kind, server, &server.vacuuming, "what vacuum does") else {
            continue;
        };
        if !vacuuming.sees_all {
            c.lacks(
                INFO.kind,
                &server.address,
                "autovacuum workers are not seen by this role",
            );
            continue;
        }
        judge(c, server, vacuuming);
    }
}

#[allow(clippy::cast_precision_loss)]
fn judge(c: &mut Context<'_>, server: &ServerView, vacuuming: &Vacuuming) {
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    let looks = &vacuuming.looks;
    let (Some(all), Some(full)) = (
        looks.in_five_minutes(|l| l.all),
        looks.in_five_minutes(|l| l.full),
    ) else {
        return;
    };
    let busy = full.by as f64 * 100.0 / all.by.max(1) as f64;
    let off = |name: &str| {
        let settings = server.settings.as_ref()?;
        settings.value.values.get(name).map(|v| v == "off")
    };
    if busy < c.number(INFO.kind, "busy")
        || off("autovacuum") == Some(true)
        || off("track_counts") == Some(true)
    {
        return;
    }
    if server.databases.is_empty() {
        c.lacks(
            INFO.kind,
            &server.address,
            "the tables of its databases: not looked into yet",
        );
    }
    let now = c.now();
    let mut waiting: Vec<(&DatabaseView, &TableVacuum, Span)> = Vec::new();
    let mut due = 0;
    for database in &server.databases {
        let what = format!("the tables of database {}", database.name);
        let Some(queue) = c.part(INFO.kind, server, &database.vacuum, &what) else {
            continue;
        };
        due += queue.due;
        let starved = queue
            .tables
            .iter()
            .filter(|t| t.enabled && !t.temporary)
            .filter_map(|t| {
                let since = t.due_since?;
                let served = t.last_vacuum.is_some_and(|v| v >= since) || running(vacuuming, database, t);
                let lasts = now.since(since);
                (!served && lasts >= warning).then_some((database, t, lasts))
            });
        waiting.extend(starved);
    }
    waiting.sort_by_key(|(d, t, lasts)| (std::cmp::Reverse(*lasts), &d.name, &t.table));
    let Some((database, table, longest)) = waiting.first() else {
        return;
    };
    let dead = c.number(INFO.kind, "dead");
    let severe = waiting
        .iter()
        .any(|(_, t, lasts)| *lasts >= critical && t.dead_percent() > dead);
    let severity = if severe {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let mut f = finding(
        INFO.kind,
        severity,
        &server.address,
        Subject::new("server", &server.name),
        now.minus(*longest),
        format!(
            "all {} autovacuum workers are busy ({busy:.0} % of the looks of {}), and {} wait for one, {} of database {} \
             for {}",
            vacuuming.max_workers,
            all.over.human(),
            if waiting.len() == 1 {
                "1 table has to".to_owned()
            } else {
                format!("{} tables have to", waiting.len())
            },
            table.table,
            database.name,
            longest.human()
        ),
    );
    f.incident = severe;
    let tables = waiting.iter().take(10).map(|(d, t, lasts)| {
        json!({"database": d.name, "table": t.table, "dead": t.dead, "percent": t.dead_percent(), "due_ms": lasts.millis()})
    });
    let runs = vacuuming.runs.iter().map(|r| {
        json!({"pid": r.pid, "database": r.database, "query": r.query, "phase": r.phase, "pages": r.pages,
            "scanned": r.scanned, "index_passes": r.index_passes, "wraparound": r.wraparound})
    });
    f.evidence = evidence(json!({
        "workers": vacuuming.max_workers, "busy_percent": busy, "tables_due": due, "waiting": waiting.len(),
        "tables": tables.collect::<Vec<_>>(), "runs": runs.collect::<Vec<_>>(),
    }));
    c.findings.push(f);
}

fn running(vacuuming: &Vacuuming, database: &DatabaseView, table: &TableVacuum) -> bool {
    vacuuming
        .runs
        .iter()
        .any(|r| r.relation == Some(table.oid) && r.database.as_deref() == Some(database.name.as_str()))
}

#[cfg(test)]
mod tests {
    use muster_model::{Severity, Snapshot, Span};

    use super::super::sample::vacuum::{queue, run, table};
    use super::super::sample::{judged, kinds, now};

    fn starving(minutes: u64, dead: u64) -> Snapshot {
        queue(
            vec![table(
                "public.big",
                dead,
                100 - dead,
                Some(Span::from_mins(minutes)),
            )],
            16,
        )
    }

    #[test]
    fn half_an_hour_warns_and_two_hours_with_a_fifth_dead_are_an_incident() {
        let found = |minutes, dead| {
            let j = judged(&starving(minutes, dead));
            j.findings.first().map(|f| (f.severity, f.incident))
        };
        assert_eq!(found(29, 50), None);
        assert_eq!(found(30, 50), Some((Severity::Warning, false)));
        assert_eq!(found(120, 20), Some((Severity::Warning, false)));
        assert_eq!(found(120, 21), Some((Severity::Critical, true)));
        let j = judged(&starving(40, 50));
        assert_eq!(
            j.findings[0].summary,
            "all 3 autovacuum workers are busy (80 % of the looks of 5m), and 1 table has to wait for one, public.big of database app \
             for 40m"
        );
    }

    #[test]
    fn with_a_free_worker_or_a_table_that_was_served_nothing_starves() {
        let quiet = |s: &Snapshot| assert_eq!(kinds(&judged(s)), [""; 0]);
        let late = || table("public.big", 50, 50, Some(Span::from_mins(40)));
        quiet(&queue(vec![late()], 15));
        let mut again = late();
        again.last_vacuum = Some(now().minus(Span::from_mins(5)));
        quiet(&queue(vec![again], 20));
        let mut off = late();
        off.enabled = false;
        quiet(&queue(vec![off], 20));
        let mut s = queue(vec![late()], 20);
        s.servers[0].vacuuming.as_mut().expect("vacuuming").value.runs = vec![run(1, "app", Some(1234))];
        quiet(&s);
        if let Some(settings) = &mut s.servers[0].settings {
            settings.value.values.insert("autovacuum".into(), "off".into());
        }
        assert_eq!(kinds(&judged(&s)), ["vacuum.disabled"]);
    }

    #[test]
    fn what_is_not_seen_is_unknown() {
        let lacks = |s| judged(&s).unknown.iter().any(|u| u.kind == "vacuum.starved");
        let mut s = starving(40, 50);
        s.servers[0].databases[0].vacuum = None;
        assert!(lacks(s));
        let mut s = starving(40, 50);
        s.servers[0].vacuuming.as_mut().expect("vacuuming").value.sees_all = false;
        assert!(lacks(s));
        let mut s = starving(40, 50);
        s.servers[0].vacuuming = None;
        assert!(lacks(s));
    }
}
