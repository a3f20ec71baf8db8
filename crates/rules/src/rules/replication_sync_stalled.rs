//! `replication.sync_stalled`: commits wait for synchronous standbys that are not there.

use muster_model::snapshot::{Replication, Role, ServerView, Session};
use muster_model::{Severity, Span, Subject, Time};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::{Context, Mode};
use crate::size::several;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "replication.sync_stalled",
    title: "Commits wait for a synchronous standby",
    about: "synchronous_standby_names asks for more standbys than confirm: the next commit will wait (warning). Sessions have waited \
            in SyncRep for longer than it takes to write to a standby: writes stand still (critical).",
    ignores: "A wait in SyncRep that ends by itself: each commit has one. Standbys that are only potential.",
    advice: "Bring the standby back. To let writes go on without it, a person takes its name out of synchronous_standby_names and \
             reloads, and says so: what is committed from then on is on one server only. Cancelling a waiting commit makes it \
             visible here and nowhere else.",
    needs: &["replication", "activity"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "10s",
            about: "since when standbys are missing",
        },
        KeyInfo {
            key: "critical",
            default: "5s",
            about: "since when a session waits",
        },
    ],
    specimen: || sample::seconds(&sample::wal::synchronous("FIRST 1 (b)", None, 3), 6),
    lookalike: || sample::seconds(&sample::wal::synchronous("FIRST 1 (b)", Some("sync"), 0), 30),
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for server in snapshot
        .servers
        .iter()
        .filter(|s| s.role() == Some(Role::Primary))
    {
        let Some(replication) = c.part(INFO.kind, server, &server.replication, "its standbys") else {
            continue;
        };
        let Some((required, quorum)) = required(&replication.synchronous_names) else {
            continue;
        };
        if !replication.sees_all {
            c.lacks(
                INFO.kind,
                &server.address,
                "its standbys: this role does not see them",
            );
            continue;
        }
        let Some(activity) = c.part(INFO.kind, server, &server.activity, "sessions that wait") else {
            continue;
        };
        let waiting: Vec<&Session> = activity
            .sessions
            .iter()
            .filter(|s| s.wait_event.as_deref() == Some("SyncRep"))
            .collect();
        judge_server(c, server, replication, required, quorum, &waiting);
    }
}

fn judge_server(
    c: &mut Context<'_>,
    server: &ServerView,
    replication: &Replication,
    required: u32,
    quorum: bool,
    waiting: &[&Session],
) {
    let (missing_for, stalled_for) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    let word = if quorum { "quorum" } else { "sync" };
    let confirm = replication
        .senders
        .iter()
        .filter(|s| s.sync_state.as_deref() == Some(word) && s.state.as_deref() == Some("streaming"))
        .count();
    let confirm = u32::try_from(confirm).unwrap_or(u32::MAX);
    let condition = format!("{}|{}", INFO.kind, server.address);
    let missing = (confirm < required).then(|| c.held(&format!("{condition}|missing")));
    // By commit: each waits a moment, and a session that commits all the time is seen to wait at every look.
    let longest = waiting
        .iter()
        .map(|s| {
            let commit = s.query_start.map_or(0, Time::micros);
            c.held(&format!("{condition}|{}@{commit}", s.pid))
        })
        .max();
    let stalled = longest.is_some_and(|w| w >= stalled_for);
    let lacking = missing.is_some_and(|m| m >= missing_for);
    let pending = c.mode == Mode::Check && missing.is_some();
    if !stalled && !lacking && !pending {
        return;
    }
    let held = missing.max(longest).unwrap_or(Span::ZERO);
    let said = if stalled || !waiting.is_empty() {
        format!(
            "{}: {} wait{} for a synchronous standby, the longest for {} or more; {confirm} of {required} confirm",
            server.address,
            several(waiting.len() as u64, "commit"),
            if waiting.len() == 1 { "s" } else { "" },
            longest.unwrap_or(Span::ZERO).human()
        )
    } else {
        format!(
            "{}: {confirm} of {required} synchronous standbys confirm; the next commit waits",
            server.address
        )
    };
    let mut f = finding(
        INFO.kind,
        if stalled {
            Severity::Critical
        } else {
            Severity::Warning
        },
        &server.address,
        Subject::new("server", &server.name),
        c.now().minus(held),
        said,
    );
    f.incident = stalled;
    f.pending = !stalled && !lacking;
    f.evidence = evidence(json!({
        "names": replication.synchronous_names, "required": required, "confirm": confirm, "waiting": waiting.len(),
        "pids": waiting.iter().map(|s| s.pid).take(10).collect::<Vec<_>>(), "longest_ms": longest.map(Span::millis),
        "standbys": replication.senders.iter().map(|s| json!({"name": s.application, "state": s.state, "sync": s.sync_state}))
            .collect::<Vec<_>>(),
    }));
    c.findings.push(f);
}

/// How many standbys must confirm, and whether any of those named may: `FIRST n (…)`, `ANY n (…)`, `n (…)`, `a, b`.
/// `None` when none must.
fn required(names: &str) -> Option<(u32, bool)> {
    let text = names.trim();
    if text.is_empty() {
        return None;
    }
    let Some((head, _)) = text.split_once('(') else {
        return Some((1, false));
    };
    let mut words = head.split_whitespace();
    let first = words.next()?;
    let (quorum, number) = match first.to_ascii_uppercase().as_str() {
        "ANY" => (true, words.next()?),
        "FIRST" => (false, words.next()?),
        _ => (false, first),
    };
    Some((number.parse().ok()?, quorum))
}

#[cfg(test)]
mod tests {
    use muster_model::{Finding, Severity, Snapshot};

    use super::super::sample::wal::synchronous;
    use super::super::sample::{anew, looks, seen};
    use super::{INFO, required};

    fn after(s: &Snapshot, seconds: usize) -> Option<Finding> {
        let j = looks(std::iter::repeat_n(s.clone(), seconds + 1));
        j.findings.into_iter().find(|f| f.kind == INFO.kind)
    }

    #[test]
    fn every_form_of_the_setting_is_understood() {
        for (names, is) in [
            ("", None),
            ("b", Some((1, false))),
            ("b, c", Some((1, false))),
            ("*", Some((1, false))),
            ("FIRST 2 (b, c)", Some((2, false))),
            ("2 (b, c)", Some((2, false))),
            ("any 1(b,c)", Some((1, true))),
            ("ANY 2 (b, c, \"d e\")", Some((2, true))),
            ("ANY (", None),
        ] {
            assert_eq!(required(names), is, "{names}");
        }
    }

    #[test]
    fn waiting_commits_are_an_incident_after_five_seconds() {
        let s = synchronous("b", None, 3);
        assert_eq!(after(&s, 4), None);
        let f = after(&s, 5).expect("found");
        assert!(f.incident && f.severity == Severity::Critical, "{f:?}");
        assert!(
            f.summary.contains("3 commits wait") && f.summary.contains("0 of 1 confirm"),
            "{}",
            f.summary
        );
    }

    #[test]
    fn a_missing_standby_warns_after_ten_seconds_before_anybody_waits() {
        let s = synchronous("ANY 1 (b)", None, 0);
        assert_eq!(after(&s, 9), None);
        let f = after(&s, 10).expect("found");
        assert!(!f.incident && f.severity == Severity::Warning);
        assert_eq!(after(&synchronous("ANY 1 (b)", Some("quorum"), 0), 20), None);
        assert_eq!(after(&synchronous("", None, 0), 20), None, "nobody asks for one");
    }

    #[test]
    fn commits_that_wait_a_moment_each_are_no_stall() {
        let s = synchronous("b", Some("sync"), 1);
        let busy = (0..30).map(|i| {
            let mut s = s.clone();
            s.servers[0].activity.as_mut().expect("activity").value.sessions[0].pid = i;
            s
        });
        assert!(!looks(busy).findings.iter().any(|f| f.kind == INFO.kind));
        // One session that commits again and again is in SyncRep at every look, each time for another commit.
        let again = anew(&synchronous("b", Some("sync"), 3), 30);
        assert!(!seen(again).findings.iter().any(|f| f.kind == INFO.kind));
    }

    #[test]
    fn standbys_that_cannot_be_seen_are_unknown() {
        let mut s = synchronous("b", None, 0);
        s.servers[0]
            .replication
            .as_mut()
            .expect("replication")
            .value
            .sees_all = false;
        let j = looks([s]);
        assert!(j.unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
