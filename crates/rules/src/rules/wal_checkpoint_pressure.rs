//! `wal.checkpoint_pressure`: checkpoints come because so much is written, not because it is time.

use muster_model::snapshot::Role;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::size::{bytes, number};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "wal.checkpoint_pressure",
    title: "Checkpoints follow each other too closely",
    about: "In the last five minutes more checkpoints were requested by the amount of WAL than came because it was time. Each one \
            writes every changed page, and after it every page goes into the log whole once more. Critical when less than a minute \
            lies between two.",
    ignores: "Checkpoints that somebody asked for (CHECKPOINT, base backups): too little WAL lies between them for max_wal_size to \
              have been the reason. A single one; restartpoints of standbys; the first minutes after a start.",
    advice: "Raise max_wal_size until checkpoints come by time (a reload is enough), see what writes so much, and give batches \
             breaks.",
    needs: &["wal", "settings"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "50",
            about: "per cent of the checkpoints that were requested",
        },
        KeyInfo {
            key: "critical",
            default: "60s",
            about: "mean time between two checkpoints",
        },
        KeyInfo {
            key: "least",
            default: "3",
            about: "checkpoints in five minutes below which nothing is said",
        },
    ],
    specimen: || vec![sample::wal::checkpoints(0, 6, 4000)],
    lookalike: || vec![sample::wal::checkpoints(1, 6, 40)],
};

/// A checkpoint is requested when about half of max_wal_size is written; less than a quarter was somebody's wish.
const QUARTER: f64 = 0.25;

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let (warning, least, close) = (
        c.number(INFO.kind, "warning"),
        c.number(INFO.kind, "least"),
        c.span(INFO.kind, "critical"),
    );
    for server in snapshot
        .servers
        .iter()
        .filter(|s| s.role() == Some(Role::Primary))
    {
        let Some(wal) = c.part(INFO.kind, server, &server.wal, "its checkpoints") else {
            continue;
        };
        let counted = &wal.counted;
        let (Some(timed), Some(requested), Some(written)) = (
            counted.in_five_minutes(|n| n.timed),
            counted.in_five_minutes(|n| n.requested),
            counted.in_five_minutes(|n| n.position),
        ) else {
            continue;
        };
        let all = timed.by + requested.by;
        let share = number(requested.by) * 100.0 / number(all).max(1.0);
        if c.warming(server) || number(all) < least || share <= warning {
            continue;
        }
        let Some(settings) = c.part(INFO.kind, server, &server.settings, "max_wal_size") else {
            continue;
        };
        let Some(megabytes) = settings
            .values
            .get("max_wal_size")
            .and_then(|v| v.parse::<f64>().ok())
        else {
            c.lacks(INFO.kind, &server.address, "max_wal_size: not read");
            continue;
        };
        let each = number(written.by) / number(requested.by);
        if each < megabytes * 1_048_576.0 * QUARTER {
            continue;
        }
        let apart = muster_model::Span::from_millis(requested.over.millis() / all.max(1));
        let severe = apart < close;
        let onset = c.onset(&format!("{}|{}", INFO.kind, server.address), requested.over);
        let mut f = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &server.address,
            Subject::new("server", &server.name),
            onset,
            format!(
                "{}: {} of {all} checkpoints in {} came because max_wal_size ({megabytes:.0} MB) was used up, one every {}; {} of \
                 WAL were written",
                server.address,
                requested.by,
                requested.over.human(),
                apart.human(),
                bytes(written.by)
            ),
        );
        f.evidence = evidence(json!({
            "timed": timed.by, "requested": requested.by, "within_ms": requested.over.millis(), "apart_ms": apart.millis(),
            "wal_bytes": written.by, "max_wal_size_mb": megabytes,
        }));
        f.ruled_out = vec![format!(
            "checkpoints that somebody asked for: {} of WAL lay between two",
            bytes(written.by / requested.by.max(1))
        )];
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Severity, Snapshot, Time};

    use super::super::sample::judged;
    use super::super::sample::wal::checkpoints;
    use super::INFO;

    fn said(s: &Snapshot) -> Option<Severity> {
        let j = judged(s);
        j.findings
            .iter()
            .find(|f| f.kind == INFO.kind)
            .map(|f| f.severity)
    }

    #[test]
    fn more_requested_than_timed_warns_and_less_than_a_minute_apart_is_critical() {
        assert_eq!(said(&checkpoints(0, 2, 4000)), None, "two are few");
        assert_eq!(said(&checkpoints(2, 2, 4000)), None, "half is not more than half");
        assert_eq!(said(&checkpoints(1, 2, 4000)), Some(Severity::Warning));
        assert_eq!(
            said(&checkpoints(0, 5, 4000)),
            Some(Severity::Warning),
            "a minute apart"
        );
        assert_eq!(said(&checkpoints(0, 6, 4000)), Some(Severity::Critical));
    }

    #[test]
    fn checkpoints_that_somebody_asked_for_are_no_pressure() {
        assert_eq!(said(&checkpoints(0, 4, 1023)), None);
        assert_eq!(said(&checkpoints(0, 4, 1024)), Some(Severity::Warning));
    }

    #[test]
    fn a_server_that_has_just_started_is_left_alone_and_unread_is_unknown() {
        let mut s = checkpoints(0, 6, 4000);
        s.servers[0].identity.as_mut().expect("identity").value.started_at = Time::from_millis(600_000);
        assert_eq!(said(&s), None);
        let unknown = |s: &Snapshot| judged(s).unknown.iter().any(|u| u.kind == INFO.kind);
        let mut s = checkpoints(0, 6, 4000);
        s.servers[0].settings = None;
        assert!(unknown(&s) && said(&s).is_none());
        s.servers[0].wal = None;
        assert!(unknown(&s));
    }
}
