//! `wal.archive_failing`: segments are not archived.

use muster_model::snapshot::{Role, ServerView, Wal};
use muster_model::{Severity, Span, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::size::{bytes, number, several};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "wal.archive_failing",
    title: "WAL is not archived",
    about: "The last try to archive failed, not long ago, and nothing has been archived since. Three failures in a row are an \
            incident: the log stays on the server until its disk is full, and no restore reaches the present. Also found: an \
            archiver that neither fails nor archives while segments wait (it hangs, or archive_command is empty).",
    ignores: "archive_mode off; a failure after which archiving went on; a standby without archive_mode = always; an idle server.",
    advice: "Read the server's log for what archive_command said; check the target's disk, its credentials and the network. \
             Nothing in pg_wal is ever deleted by hand.",
    needs: &["wal"],
    keys: &[
        KeyInfo {
            key: "within",
            default: "5m",
            about: "how long ago the last failure may be",
        },
        KeyInfo {
            key: "critical",
            default: "3",
            about: "failures in a row: an incident",
        },
        KeyInfo {
            key: "waiting",
            default: "3",
            about: "segments that wait while nothing is archived and nothing fails",
        },
    ],
    specimen: || vec![sample::wal::archiving("on", 3, 0, true)],
    lookalike: || vec![sample::wal::archiving("on", 3, 5, false)],
};

/// Nothing done in so much of the five minutes that are known is nothing done.
const LONG: Span = Span::from_mins(4);

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        let Some(wal) = c.part(INFO.kind, server, &server.wal, "its archiver") else {
            continue;
        };
        let archives = match wal.archive_mode.as_str() {
            "always" => true,
            "on" => server.role() == Some(Role::Primary),
            _ => false,
        };
        if archives {
            fails(c, server, wal);
        }
    }
}

fn fails(c: &mut Context<'_>, server: &ServerView, wal: &Wal) {
    let within = c.span(INFO.kind, "within");
    let (critical, many) = (c.number(INFO.kind, "critical"), c.number(INFO.kind, "waiting"));
    let failed = wal.counted.in_five_minutes(|n| n.archive_failed);
    let archived = wal.counted.in_five_minutes(|n| n.archived);
    let backlog = wal.backlog();
    let last_failed = wal
        .last_failed_at
        .filter(|at| c.now().since(*at) <= within && wal.last_archived_at.is_none_or(|ok| *at > ok));
    let quiet = archived.is_some_and(|a| a.by == 0 && a.over >= LONG);
    let hangs = last_failed.is_none() && quiet && backlog.is_some_and(|n| number(n) >= many);
    if last_failed.is_none() && !hangs {
        return;
    }
    // At the first look nothing says how often it failed; that it did is known.
    let in_a_row = if archived.is_some_and(|a| a.by == 0) {
        failed.map_or(1, |f| f.by.max(1))
    } else {
        1
    };
    let severe = last_failed.is_some() && number(in_a_row) >= critical;
    let waits = backlog.map_or(String::new(), |n| {
        format!(
            "; not archived yet: {} ({})",
            several(n, "segment"),
            bytes(n.saturating_mul(wal.segment))
        )
    });
    // The last success may be of yesterday, when nothing was left to archive: the trouble began with the first failure known.
    let held = c.held(&format!("{}|{}", INFO.kind, server.address));
    let seen = c.now().minus(held);
    let since = match last_failed {
        Some(at) => at.min(seen),
        None => seen.minus(archived.map_or(Span::ZERO, |a| a.over)),
    };
    let said = if hangs {
        format!(
            "{} archives nothing and reports no failure{waits}: archive_command hangs or is empty",
            server.address
        )
    } else {
        format!(
            "{} cannot archive {}: {} since the last success{waits}",
            server.address,
            wal.last_failed.as_deref().unwrap_or("its WAL"),
            several(in_a_row, "failure"),
        )
    };
    let mut f = finding(
        INFO.kind,
        if severe {
            Severity::Critical
        } else {
            Severity::Warning
        },
        &server.address,
        Subject::new("server", &server.name),
        since,
        said,
    );
    f.incident = severe;
    f.evidence = evidence(json!({
        "failures": in_a_row, "failed_in_window": failed.map(|f| f.by), "archived_in_window": archived.map(|a| a.by),
        "last_failed": wal.last_failed, "last_failed_at": wal.last_failed_at, "last_archived": wal.last_archived,
        "last_archived_at": wal.last_archived_at, "waiting_segments": backlog, "archive_mode": wal.archive_mode, "hangs": hangs,
    }));
    c.findings.push(f);
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Role;
    use muster_model::{Severity, Snapshot, Span};

    use super::super::sample::wal::{archiver_hangs, archiving};
    use super::super::sample::{judged, looks, now};
    use super::INFO;

    fn said(s: &Snapshot) -> Option<(Severity, bool)> {
        let j = judged(s);
        let f = j.findings.iter().find(|f| f.kind == INFO.kind);
        f.map(|f| (f.severity, f.incident))
    }

    #[test]
    fn one_failure_warns_three_in_a_row_are_an_incident() {
        assert_eq!(said(&archiving("on", 0, 9, false)), None);
        assert_eq!(
            said(&archiving("on", 1, 0, true)),
            Some((Severity::Warning, false))
        );
        assert_eq!(
            said(&archiving("on", 2, 0, true)),
            Some((Severity::Warning, false))
        );
        assert_eq!(
            said(&archiving("on", 3, 0, true)),
            Some((Severity::Critical, true))
        );
        assert_eq!(
            said(&archiving("on", 9, 2, true)),
            Some((Severity::Warning, false)),
            "some are archived in between"
        );
    }

    #[test]
    fn it_fails_since_the_first_failure_and_not_since_the_last_success() {
        let mut s = archiving("on", 1, 0, true);
        let yesterday = Some(now().minus(Span::from_mins(20 * 60)));
        s.servers[0].wal.as_mut().expect("wal").value.last_archived_at = yesterday;
        let since = |s: &Snapshot| judged(s).findings[0].since;
        assert_eq!(since(&s), now().minus(Span::from_secs(10)));
        // It fails again: the trouble gets no younger.
        let again = (0..30).map(|i| {
            let mut later = s.clone();
            let wal = &mut later.servers[0].wal.as_mut().expect("wal").value;
            wal.last_failed_at = Some(now().plus(Span::from_secs(i)));
            later
        });
        assert_eq!(looks(again).findings[0].since, now());
    }

    #[test]
    fn what_went_on_what_is_old_and_what_is_off_is_nothing() {
        assert_eq!(
            said(&archiving("on", 9, 1, false)),
            None,
            "it succeeded afterwards"
        );
        assert_eq!(said(&archiving("off", 9, 0, true)), None);
        let mut old = archiving("on", 3, 0, true);
        let at = Some(now().minus(Span::from_mins(6)));
        old.servers[0].wal.as_mut().expect("wal").value.last_failed_at = at;
        old.servers[0].wal.as_mut().expect("wal").value.last_archived_at = None;
        assert_eq!(said(&old), None);
        let mut standby = archiving("on", 3, 0, true);
        standby.servers[0].identity.as_mut().expect("identity").value.role = Role::Standby;
        assert_eq!(said(&standby), None);
        standby.servers[0].wal.as_mut().expect("wal").value.archive_mode = "always".into();
        assert!(said(&standby).is_some());
    }

    #[test]
    fn an_archiver_that_neither_fails_nor_archives_is_seen_by_what_waits() {
        assert_eq!(said(&archiver_hangs(2)), None);
        assert_eq!(said(&archiver_hangs(3)), Some((Severity::Warning, false)));
        let mut short = archiver_hangs(30);
        short.servers[0]
            .wal
            .as_mut()
            .expect("wal")
            .value
            .counted
            .five_minutes = None;
        assert_eq!(said(&short), None, "one look cannot tell");
    }

    #[test]
    fn an_archiver_that_was_not_read_is_unknown() {
        let mut s = archiving("on", 3, 0, true);
        s.servers[0].wal = None;
        let j = judged(&s);
        assert!(j.findings.is_empty() && j.unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
