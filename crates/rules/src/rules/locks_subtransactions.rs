//! `locks.subtransactions`: the cache of subtransactions overflows, and everybody waits for it.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "locks.subtransactions",
    title: "Subtransactions overflow their cache",
    about: "Sessions wait for the cache of subtransactions (wait events SubtransSLRU, SubtransBuffer), or its pages are read \
            from the disk again and again. A transaction with more than 64 savepoints makes every snapshot look there, and \
            the longer the oldest transaction, the further back; on standbys too.",
    ignores: "Single waits and reads, and rates in the warm-up after a start.",
    advice: "Find who uses savepoints in loops (exception blocks in PL/pgSQL, ORMs with a savepoint a statement) and end long \
             transactions. From 17 on the cache can be made bigger: subtransaction_buffers.",
    needs: &["activity", "slru"],
    keys: &[
        KeyInfo {
            key: "waiting",
            default: "3",
            about: "so many sessions wait for the cache",
        },
        KeyInfo {
            key: "critical",
            default: "10",
            about: "so many sessions wait for the cache: an incident",
        },
        KeyInfo {
            key: "for",
            default: "10s",
            about: "for so long sessions wait",
        },
        KeyInfo {
            key: "reads",
            default: "1000",
            about: "pages a second that are read from the disk, over a minute",
        },
    ],
    specimen: || sample::seconds(&sample::vacuum::subtransactions(120_000, 4), 12),
    lookalike: || sample::seconds(&sample::vacuum::subtransactions(600, 1), 12),
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (waiting, critical) = (c.number(INFO.kind, "waiting"), c.number(INFO.kind, "critical"));
    let (lasting, most) = (c.span(INFO.kind, "for"), c.number(INFO.kind, "reads"));
    for server in &c.snapshot.servers {
        let activity = c.part(INFO.kind, server, &server.activity, "its sessions");
        if activity.is_some_and(|a| !a.sees_all) {
            c.lacks(
                INFO.kind,
                &server.address,
                "the waits of other roles' sessions are not seen",
            );
        }
        let slrus = c.part(INFO.kind, server, &server.slrus, "the caches behind transactions");
        let warming = c.warming(server);
        let reads = slrus
            .into_iter()
            .flatten()
            .filter(|s| s.name.to_lowercase().starts_with("subtrans"))
            .filter_map(|s| s.counted.in_a_minute(|n| n.read))
            .next()
            .filter(|_| !warming);
        let rate = reads.map_or(0.0, |g| g.per_second());
        let waiters: Vec<i32> = activity
            .iter()
            .flat_map(|a| &a.sessions)
            .filter(|s| s.wait_type.as_deref() == Some("LWLock"))
            .filter(|s| s.wait_event.as_deref().is_some_and(|e| e.starts_with("Subtrans")))
            .map(|s| s.pid)
            .collect();
        let count = f64::from(u32::try_from(waiters.len()).unwrap_or(u32::MAX));
        let held = |c: &mut Context<'_>, at_least: f64, how: &str| {
            let condition = format!("{}|{}|{how}", INFO.kind, server.address);
            (count >= at_least).then(|| c.held(&condition))
        };
        let waited = held(c, waiting, "waiting");
        let severe = held(c, critical, "critical").is_some_and(|h| h >= lasting);
        let queue = waited.filter(|h| *h >= lasting);
        if queue.is_none() && rate < most {
            continue;
        }
        let what = match queue {
            Some(h) => format!(
                "{} sessions wait for the cache of subtransactions, for {}",
                waiters.len(),
                h.human()
            ),
            None => "the cache of subtransactions overflows".to_owned(),
        };
        let read = if rate >= 1.0 {
            format!("; {rate:.0} of its pages a second are read from the disk")
        } else {
            String::new()
        };
        let since = match (queue, reads) {
            (Some(h), _) => c.now().minus(h),
            (None, Some(g)) => c.now().minus(g.over),
            (None, None) => c.now(),
        };
        let severity = if severe {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let subject = Subject::new("server", &server.name);
        let mut f = finding(
            INFO.kind,
            severity,
            &server.address,
            subject,
            since,
            format!("{what}{read}"),
        );
        f.incident = severe;
        let oldest = activity
            .iter()
            .flat_map(|a| &a.sessions)
            .filter_map(|s| s.xact_start.map(|t| (t, s)))
            .min_by_key(|(t, s)| (*t, s.pid));
        f.evidence = evidence(json!({
            "waiters": waiters, "reads_per_second": rate,
            "oldest_transaction": oldest.map(|(t, s)| json!({
                "pid": s.pid, "owner": s.owner(), "age_ms": c.now().since(t).millis(),
            })),
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Severity, Time};

    use super::super::sample::vacuum::subtransactions;
    use super::super::sample::{judged, looks};
    use crate::judge::Judgement;

    fn said(j: &Judgement) -> Option<(Severity, bool)> {
        let f = j.findings.iter().find(|f| f.kind == "locks.subtransactions")?;
        Some((f.severity, f.incident))
    }

    #[test]
    fn three_that_wait_for_ten_seconds_warn_and_ten_are_an_incident() {
        let found = |waiting, s: usize| said(&looks(std::iter::repeat_n(subtransactions(0, waiting), s + 1)));
        assert_eq!(found(3, 9), None);
        assert_eq!(found(3, 10), Some((Severity::Warning, false)));
        assert_eq!(found(2, 20), None);
        assert_eq!(found(10, 10), Some((Severity::Critical, true)));
    }

    #[test]
    fn a_thousand_reads_a_second_warn_once_the_server_is_warm() {
        assert_eq!(said(&judged(&subtransactions(59_940, 0))), None);
        assert_eq!(
            said(&judged(&subtransactions(60_000, 0))),
            Some((Severity::Warning, false))
        );
        let mut fresh = subtransactions(60_000, 0);
        fresh.servers[0]
            .identity
            .as_mut()
            .expect("identity")
            .value
            .started_at = Time::from_millis(900_000);
        assert_eq!(said(&judged(&fresh)), None);
    }

    #[test]
    fn what_was_not_read_is_unknown() {
        let lacks = |s| {
            judged(&s)
                .unknown
                .iter()
                .any(|u| u.kind == "locks.subtransactions")
        };
        let mut s = subtransactions(0, 0);
        assert!(!lacks(s.clone()));
        s.servers[0].slrus = None;
        assert!(lacks(s));
    }
}
