//! `transactions.long`: a client's transaction is open for long.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::amount::{amount, wait};
use crate::judge::Context;
use crate::work::Work;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "transactions.long",
    title: "A transaction is open for long",
    about: "A client's transaction is older than `warning`. As long as it is open it keeps its locks, and vacuum removes \
            nothing that it may still see. One that holds neither a snapshot nor a transaction id and blocks nobody is \
            information only.",
    ignores: "Dumps and backups, walsenders, autovacuum (also to prevent wraparound), index builds and maintenance, Muster's \
              own sessions: long by design. A transaction that waits for a lock: its chain is named.",
    advice: "Ask the owner. Cancel its statement, or terminate the session when it idles. Then make the transactions of that \
             application shorter, and give its role a time-out (transaction_timeout from 17 on).",
    needs: &["activity", "horizons"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "10m",
            about: "age of the transaction",
        },
        KeyInfo {
            key: "critical",
            default: "1h",
            about: "age of a transaction that holds something: an incident",
        },
    ],
    specimen: || {
        let mut batch = sample::session(9, "active", 700_000);
        batch.has_xid = true;
        vec![sample::with_sessions(vec![batch])]
    },
    lookalike: || vec![sample::with_sessions(sample::vacuum::long_by_design())],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    let now = c.now();
    for server in &c.snapshot.servers {
        let Some(activity) = c.part(INFO.kind, server, &server.activity, "its sessions") else {
            continue;
        };
        if !activity.sees_all {
            c.lacks(
                INFO.kind,
                &server.address,
                "the transactions of other roles' sessions are not seen",
            );
            continue;
        }
        let horizons = server.horizons.as_ref().map(|p| &p.value);
        for s in &activity.sessions {
            let Some(began) = s.xact_start else { continue };
            let age = now.since(began);
            if age < warning || Work::of(s).long_by_design() || s.wait_type.as_deref() == Some("Lock") {
                continue;
            }
            let blocks = activity
                .sessions
                .iter()
                .filter(|o| o.blocked_by.contains(&s.pid))
                .count();
            // Where nobody can say that it holds nothing, it may.
            let holds = s.has_xid || horizons.and_then(|h| h.session(s.pid)) != Some(false);
            let severity = match (holds || blocks > 0, age >= critical) {
                (false, _) => Severity::Info,
                (true, false) => Severity::Warning,
                (true, true) => Severity::Critical,
            };
            let behind = horizons
                .and_then(|h| h.holders.iter().find(|h| h.pid == Some(s.pid)))
                .map(|h| h.xids);
            let held = match (holds, behind) {
                (false, _) => "; it holds no snapshot and no transaction id".to_owned(),
                (true, Some(0)) => "; it holds a snapshot".to_owned(),
                (true, Some(xids)) => format!("; it holds vacuum back by {} transaction ids", amount(xids)),
                (true, None) => String::new(),
            };
            let blocking = if blocks > 0 {
                format!("; {} for it", wait(blocks))
            } else {
                String::new()
            };
            let mut f = finding(
                INFO.kind,
                severity,
                &server.address,
                Subject::new("session", s.pid),
                began,
                format!(
                    "the transaction of session {} of {} is open for {} ({}){held}{blocking}",
                    s.pid,
                    s.owner(),
                    age.human(),
                    s.state.as_deref().unwrap_or("state not seen"),
                ),
            );
            f.incident = severity == Severity::Critical;
            f.ruled_out = Work::ruled_out(
                activity
                    .sessions
                    .iter()
                    .filter(|s| s.xact_start.is_some_and(|t| now.since(t) >= warning)),
            );
            f.evidence = evidence(json!({
                "pid": s.pid, "owner": s.owner(), "database": s.database, "age_ms": age.millis(), "state": s.state,
                "has_xid": s.has_xid, "holds": holds, "xids": behind, "waiters": blocks, "client": s.client,
                "query": s.query,
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::HolderKind;
    use muster_model::{Severity, Span};

    use super::super::sample::vacuum::{held, holder, long_by_design};
    use super::super::sample::{blocked_by, judged, kinds, session, with_sessions};
    use crate::judge::Judgement;

    fn said(j: &Judgement) -> Vec<(Severity, bool)> {
        let long = j.findings.iter().filter(|f| f.kind == "transactions.long");
        long.map(|f| (f.severity, f.incident)).collect()
    }

    #[test]
    fn ten_minutes_warn_and_an_hour_of_one_that_holds_something_is_an_incident() {
        let found = |age_ms| {
            let mut s = session(7, "active", age_ms);
            s.has_xid = true;
            s.query_start = s
                .xact_start
                .map(|t| t.plus(Span::from_millis(age_ms.unsigned_abs())));
            said(&judged(&with_sessions(vec![s])))
        };
        assert_eq!(found(599_999), []);
        assert_eq!(found(600_000), [(Severity::Warning, false)]);
        assert_eq!(found(3_599_999), [(Severity::Warning, false)]);
        assert_eq!(found(3_600_000), [(Severity::Critical, true)]);
    }

    #[test]
    fn one_that_holds_nothing_is_information_and_one_with_a_snapshot_is_not() {
        let empty = with_sessions(vec![session(7, "idle in transaction", 4_000_000)]);
        assert_eq!(said(&judged(&empty)), [(Severity::Info, false)]);
        let age = Span::from_secs(4000);
        let mut snapshot = held(vec![holder(HolderKind::Session, "7", 500, age)]);
        snapshot.servers[0].activity = empty.servers[0].activity.clone();
        assert_eq!(said(&judged(&snapshot)), [(Severity::Critical, true)]);
        // Not known to hold nothing.
        let mut blind = empty.clone();
        blind.servers[0].horizons = None;
        assert_eq!(said(&judged(&blind)), [(Severity::Critical, true)]);
        // Others wait for it.
        let both = vec![
            session(7, "idle in transaction", 4_000_000),
            blocked_by(8, &[7], 20),
        ];
        assert_eq!(said(&judged(&with_sessions(both))), [(Severity::Critical, true)]);
    }

    #[test]
    fn what_is_long_by_design_is_left_alone_and_named_when_something_else_is_found() {
        let mut all = long_by_design();
        assert_eq!(kinds(&judged(&with_sessions(all.clone()))), [""; 0]);
        let mut other = session(77, "active", 900_000);
        other.query_start = None;
        other.has_xid = true;
        all.push(other);
        let j = judged(&with_sessions(all));
        assert_eq!(kinds(&j), ["transactions.long"]);
        let out = j.findings[0].ruled_out.join("\n");
        for part in [
            "a dump or backup",
            "prevents wraparound",
            "a walsender",
            "an index build",
        ] {
            assert!(out.contains(part), "{out}");
        }
        let waits = with_sessions(vec![session(1, "active", 1000), blocked_by(2, &[1], 900_000)]);
        assert_eq!(said(&judged(&waits)), []);
    }

    #[test]
    fn sessions_that_are_not_seen_are_unknown() {
        let mut s = with_sessions(vec![]);
        s.servers[0].activity.as_mut().expect("activity").value.sees_all = false;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "transactions.long"));
        s.servers[0].activity = None;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "transactions.long"));
    }
}
