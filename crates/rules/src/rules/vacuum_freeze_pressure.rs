//! `vacuum.freeze_pressure`: rows are not frozen in time, and transaction ids run out.

use muster_model::snapshot::{FreezeAge, Role, ServerView, Vacuuming};
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::amount::amount;
use crate::freezing::{self, WRAP};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "vacuum.freeze_pressure",
    title: "Old rows are not frozen in time",
    about: "The oldest row of a database is so many transaction ids (or multixacts) old that `warning` of all there are lie in \
            between; at the end the server refuses to write. Or a database is past autovacuum_freeze_max_age by more than \
            `over`, and no vacuum runs there for `stuck`. Databases that nobody may connect to count as well.",
    ignores: "An age around autovacuum_freeze_max_age: autovacuum begins there, and it is the normal course of a year. A vacuum \
              to prevent wraparound that runs. Standbys: the primary freezes for them.",
    advice: "Free what holds the horizon first (vacuum.xmin_holder). Then VACUUM the oldest tables, one by one, with \
             INDEX_CLEANUP off and TRUNCATE off, in every database. Never single-user mode.",
    needs: &["vacuuming", "horizons", "settings", "vacuum_queue"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "50",
            about: "per cent of 2^31 that are used up",
        },
        KeyInfo {
            key: "critical",
            default: "80",
            about: "per cent of 2^31 that are used up: an incident",
        },
        KeyInfo {
            key: "over",
            default: "110",
            about: "per cent of autovacuum_freeze_max_age (or that of multixacts)",
        },
        KeyInfo {
            key: "stuck",
            default: "10m",
            about: "for so long no vacuum runs in a database that is past `over`",
        },
    ],
    specimen: || {
        vec![sample::vacuum::aged(vec![sample::vacuum::freeze(
            "app",
            1_800_000_000,
        )])]
    },
    lookalike: || {
        vec![sample::vacuum::aged(vec![sample::vacuum::freeze(
            "app",
            210_000_000,
        )])]
    },
};

pub(super) fn rule(c: &mut Context<'_>) {
    for server in &c.snapshot.servers {
        if server.role() == Some(Role::Standby) {
            continue;
        }
        let Some(vacuuming) = c.part(INFO.kind, server, &server.vacuuming, "the age of its databases") else {
            continue;
        };
        let stuck = stuck(c, server, vacuuming);
        judge(c, server, vacuuming, &stuck);
    }
}

/// Databases that are past their limit while nothing vacuums there.
#[allow(clippy::cast_precision_loss)]
fn stuck(c: &mut Context<'_>, server: &ServerView, vacuuming: &Vacuuming) -> Vec<String> {
    let Some(settings) = c.part(INFO.kind, server, &server.settings, "its settings") else {
        return Vec::new();
    };
    let limit = |name: &str| settings.values.get(name).and_then(|v| v.parse::<f64>().ok());
    let (Some(xids), Some(multixacts)) = (
        limit("autovacuum_freeze_max_age"),
        limit("autovacuum_multixact_freeze_max_age"),
    ) else {
        c.lacks(
            INFO.kind,
            &server.address,
            "the setting autovacuum_freeze_max_age",
        );
        return Vec::new();
    };
    if !vacuuming.sees_all {
        c.lacks(
            INFO.kind,
            &server.address,
            "whether a vacuum runs: this role does not see the workers",
        );
        return Vec::new();
    }
    let (over, lasting) = (c.number(INFO.kind, "over") / 100.0, c.span(INFO.kind, "stuck"));
    let mut out = Vec::new();
    for age in &vacuuming.freeze {
        let past = age.xids as f64 > xids * over || age.multixacts as f64 > multixacts * over;
        let vacuums = vacuuming
            .runs
            .iter()
            .any(|r| r.database.as_deref() == Some(age.database.as_str()));
        let condition = format!("{}|{}|{}", INFO.kind, server.address, age.database);
        if past && !vacuums && c.held(&condition) >= lasting {
            out.push(age.database.clone());
        }
    }
    out
}

#[allow(clippy::cast_precision_loss)]
fn judge(c: &mut Context<'_>, server: &ServerView, vacuuming: &Vacuuming, stuck: &[String]) {
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    let Some(oldest) = freezing::oldest(server, vacuuming) else {
        return;
    };
    let percent = |used: u64| used as f64 * 100.0 / (WRAP + 1) as f64;
    let used = percent(oldest.used);
    if used < warning && stuck.is_empty() {
        return;
    }
    let severe = used >= critical;
    let severity = if severe {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let horizons = server.horizons.as_ref().map(|p| &p.value);
    let eta = freezing::in_time(oldest.left, horizons).filter(|_| !oldest.multixacts);
    let database = &oldest.age.database;
    let end = eta
        .map(|t| {
            format!(
                "; at the present rate the server refuses to write in {}",
                freezing::long(t)
            )
        })
        .unwrap_or_default();
    let idle = match stuck {
        [] => String::new(),
        [one] => format!("; no vacuum runs in database {one}, which is past autovacuum_freeze_max_age"),
        many => format!(
            "; no vacuum runs in {} databases that are past autovacuum_freeze_max_age, {} among them",
            many.len(),
            many[0]
        ),
    };
    let held = c.held(&format!("{}|{}", INFO.kind, server.address));
    let mut f = finding(
        INFO.kind,
        severity,
        &server.address,
        Subject::new("server", &server.name),
        c.now().minus(held),
        format!(
            "{used:.0} % of all {} are used up since the oldest row of database {database} ({}){end}{idle}",
            oldest.what(),
            amount(oldest.used)
        ),
    );
    f.incident = severe;
    let row = |a: &FreezeAge| {
        json!({"database": a.database, "xids": a.xids, "multixacts": a.multixacts,
            "percent": percent(a.xids.max(a.multixacts))})
    };
    let tables = server
        .databases
        .iter()
        .flat_map(|d| d.vacuum.iter().flat_map(|p| &p.value.tables).map(move |t| (d, t)));
    let mut tables: Vec<_> = tables.collect();
    tables.sort_by_key(|(d, t)| (std::cmp::Reverse(t.xids.max(t.multixacts)), &d.name, t.oid));
    let tables = tables.iter().take(5).map(|(d, t)| {
        json!({"database": d.name, "table": t.table, "xids": t.xids, "multixacts": t.multixacts, "temporary": t.temporary})
    });
    let holder = horizons.and_then(|h| h.holders.first());
    f.evidence = evidence(json!({
        "database": database, "what": oldest.what(), "used": oldest.used, "percent": used, "left": oldest.left,
        "eta_ms": eta.map(muster_model::Span::millis), "databases": vacuuming.freeze.iter().map(row).collect::<Vec<_>>(),
        "not_vacuumed": stuck, "oldest_tables": tables.collect::<Vec<_>>(),
        "holder": holder.map(|h| json!({"kind": h.kind, "name": h.name, "xids": h.xids})),
    }));
    c.findings.push(f);
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::{FreezeAge, Role};
    use muster_model::{Severity, Snapshot};

    use super::super::sample::vacuum::{aged, freeze, run};
    use super::super::sample::{judged, kinds, looks};

    const HALF: u64 = 1 << 30;

    #[test]
    fn half_of_all_warns_and_four_fifths_are_an_incident() {
        let found = |xids| {
            let mut s = aged(vec![freeze("app", xids), freeze("template0", 1000)]);
            // A vacuum runs: only the share counts.
            s.servers[0].vacuuming.as_mut().expect("vacuuming").value.runs = vec![run(1, "app", None)];
            let j = judged(&s);
            j.findings
                .first()
                .map(|f| (f.severity, f.incident, f.summary.clone()))
        };
        assert_eq!(found(HALF - 1), None);
        let (severity, incident, summary) = found(HALF).expect("found");
        assert_eq!((severity, incident), (Severity::Warning, false));
        assert_eq!(
            summary,
            "50 % of all transaction ids are used up since the oldest row of database app (1.07 billion); at the present rate \
             the server refuses to write in 123 days"
        );
        let (severity, incident, _) = found(1_717_986_918).expect("found");
        assert_eq!((severity, incident), (Severity::Warning, false));
        let (severity, incident, _) = found(1_717_986_919).expect("found");
        assert_eq!((severity, incident), (Severity::Critical, true));
    }

    #[test]
    fn multixacts_count_as_well_and_so_do_databases_that_nobody_connects_to() {
        let s = aged(vec![
            freeze("app", 1000),
            FreezeAge {
                database: "template0".into(),
                xids: 1000,
                multixacts: 1_800_000_000,
            },
        ]);
        let j = judged(&s);
        assert!(
            j.findings[0].summary.contains("84 % of all multixacts")
                && j.findings[0].summary.contains("template0"),
            "{}",
            j.findings[0].summary
        );
    }

    #[test]
    fn past_the_limit_with_no_vacuum_for_ten_minutes_is_found_and_a_vacuum_that_runs_is_not() {
        let watched = |s: &Snapshot, n: usize| {
            let j = looks(std::iter::repeat_n(s.clone(), n + 1));
            j.findings
                .into_iter()
                .map(|f| (f.kind, f.severity))
                .collect::<Vec<_>>()
        };
        // Settings and ages are read anew meanwhile.
        let fresh = |xids| {
            let mut s = aged(vec![freeze("app", xids)]);
            let later = s.taken_at.plus(muster_model::Span::from_secs(600));
            let server = &mut s.servers[0];
            server.settings.as_mut().expect("settings").taken_at = later;
            server.vacuuming.as_mut().expect("vacuuming").taken_at = later;
            s
        };
        let of = |found: &[(String, Severity)]| found.iter().any(|(k, _)| k == "vacuum.freeze_pressure");
        assert!(!of(&watched(&fresh(220_000_001), 599)));
        let found = watched(&fresh(220_000_001), 600);
        assert!(
            found.contains(&("vacuum.freeze_pressure".to_owned(), Severity::Warning)),
            "{found:?}"
        );
        assert!(!of(&watched(&fresh(220_000_000), 600)), "not past it");
        let mut s = fresh(300_000_000);
        s.servers[0].vacuuming.as_mut().expect("vacuuming").value.runs = vec![run(1, "app", None)];
        assert!(!of(&watched(&s, 600)));
    }

    #[test]
    fn standbys_are_left_alone_and_what_was_not_read_is_unknown() {
        let mut s = aged(vec![freeze("app", 1_800_000_000)]);
        s.servers[0].identity.as_mut().expect("identity").value.role = Role::Standby;
        assert_eq!(kinds(&judged(&s)), [""; 0]);
        let lacks = |s| {
            judged(&s)
                .unknown
                .iter()
                .any(|u| u.kind == "vacuum.freeze_pressure")
        };
        let mut s = aged(vec![]);
        s.servers[0].vacuuming.as_mut().expect("vacuuming").value.sees_all = false;
        assert!(lacks(s));
        let mut s = aged(vec![]);
        s.servers[0].settings = None;
        assert!(lacks(s));
        let mut s = aged(vec![]);
        s.servers[0].vacuuming = None;
        assert!(lacks(s));
    }
}
