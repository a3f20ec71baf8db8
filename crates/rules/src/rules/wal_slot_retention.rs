//! `wal.slot_retention`: a replication slot keeps log that nobody fetches.

use muster_model::snapshot::{ServerView, Slot};
use muster_model::{Severity, Span, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::{Context, Mode};
use crate::size::{bytes, number};
use crate::slots;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "wal.slot_retention",
    title: "A slot keeps WAL that nobody fetches",
    about: "What a slot keeps is the position of its server less the slot's restart position. A warning when that is much, or \
            when nobody has used the slot for long; critical when it is very much, or when, at the speed of the last five minutes, \
            an unused slot reaches max_slot_wal_keep_size soon and is lost. Without that limit it grows until the disk is full.",
    ignores: "An unused slot that keeps less than a segment, a slot that is lost already (replication.slot_lost), and slots that a \
              standby has copied for a failover: nobody uses those by design.",
    advice: "Bring its consumer back. A slot that has no owner any more is dropped by a person, who first asks whose it was; \
             max_slot_wal_keep_size bounds the next one.",
    needs: &["replication", "wal"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "1073741824",
            about: "bytes that it keeps",
        },
        KeyInfo {
            key: "critical",
            default: "10737418240",
            about: "bytes that it keeps: an incident",
        },
        KeyInfo {
            key: "inactive",
            default: "15m",
            about: "since when nobody uses it",
        },
        KeyInfo {
            key: "least",
            default: "16777216",
            about: "bytes below which an unused slot is not worth a word",
        },
        KeyInfo {
            key: "eta",
            default: "4h",
            about: "time until an unused slot reaches its limit: an incident",
        },
        KeyInfo {
            key: "settle",
            default: "1m",
            about: "nobody uses it for so long before its ETA counts",
        },
    ],
    specimen: || vec![sample::wal::slot(2048, |_| ())],
    lookalike: || vec![sample::wal::slot(900, |_| ())],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        let Some(replication) = c.part(INFO.kind, server, &server.replication, "its slots") else {
            continue;
        };
        let end = replication
            .current
            .or(replication.replayed)
            .or(replication.received);
        for slot in &replication.slots {
            // Without a position it keeps nothing: it was never used, or it is lost.
            let Some(restart) = slot.restart else { continue };
            match end {
                Some(end) => judge_slot(c, server, slot, end.saturating_sub(restart)),
                None => c.lacks(INFO.kind, &server.address, "the position of its log: not read"),
            }
        }
    }
}

fn judge_slot(c: &mut Context<'_>, server: &ServerView, slot: &Slot, kept: u64) {
    let (warning, critical, least) = (
        c.number(INFO.kind, "warning"),
        c.number(INFO.kind, "critical"),
        c.number(INFO.kind, "least"),
    );
    let (inactive, soon, settle) = (
        c.span(INFO.kind, "inactive"),
        c.span(INFO.kind, "eta"),
        c.span(INFO.kind, "settle"),
    );
    let condition = format!("{}|{}|{}", INFO.kind, server.address, slot.name);
    let standby = slots::standby_of(c, &slot.name);
    let unused = (!slot.active && !slot.synced).then(|| {
        let seen = c.held(&format!("{condition}|unused"));
        // The server knows it since PostgreSQL 17; before that, since we look.
        slot.inactive_since.map_or(seen, |since| c.now().since(since))
    });
    let speed = server
        .wal
        .as_ref()
        .and_then(|w| w.value.counted.in_five_minutes(|n| n.position))
        .map(|g| g.per_second())
        .filter(|s| *s > 0.0);
    let eta = slot
        .safe_wal_size
        .zip(speed)
        .map(|(left, s)| seconds(number(left) / s));
    let runs_out =
        unused.is_some_and(|u| u >= settle) && number(kept) >= least && eta.is_some_and(|e| e <= soon);
    let severe = number(kept) >= critical || runs_out;
    let much = number(kept) >= warning;
    let idle = unused.is_some_and(|u| u >= inactive) && number(kept) >= least;
    // One look cannot tell for how long nobody used it.
    let pending = c.mode == Mode::Check
        && !severe
        && !much
        && unused.is_some()
        && slot.inactive_since.is_none()
        && number(kept) >= least;
    if !severe && !much && !idle && !pending {
        return;
    }
    let held = c.held(&condition);
    let owner = owner(slot, standby.as_deref());
    let mut said = format!(
        "slot {} on {} ({owner}, {}) keeps {} of WAL",
        slot.name,
        server.address,
        unused.map_or("in use".to_owned(), |u| format!("unused for {}", u.human())),
        bytes(kept)
    );
    match (eta.filter(|_| unused.is_some()), slot.safe_wal_size) {
        (Some(eta), _) => said.push_str(&format!("; at the present speed it is lost in {}", eta.human())),
        (None, Some(left)) => said.push_str(&format!("; {} more and it is lost", bytes(left))),
        (None, None) => {
            said.push_str("; max_slot_wal_keep_size sets no limit, so it grows until the disk is full");
        }
    }
    let mut f = finding(
        INFO.kind,
        if severe {
            Severity::Critical
        } else {
            Severity::Warning
        },
        &server.address,
        Subject::new("slot", &slot.name),
        c.now().minus(unused.unwrap_or(held).max(held)),
        said,
    );
    f.incident = severe;
    f.pending = pending;
    f.evidence = evidence(json!({
        "slot": slot.name, "standby": standby, "type": slot.slot_type, "owner": owner, "kept_bytes": kept, "active": slot.active,
        "inactive_since": slot.inactive_since, "unused_ms": unused.map(Span::millis), "wal_status": slot.wal_status,
        "safe_wal_size": slot.safe_wal_size, "eta_ms": eta.map(Span::millis), "wal_bytes_per_second": speed,
        "database": slot.database, "plugin": slot.plugin,
    }));
    c.findings.push(f);
}

/// Whose slot it is, as far as it can be told.
fn owner(slot: &Slot, standby: Option<&str>) -> String {
    if slot.slot_type == "logical" {
        return format!(
            "logical, {} of database {}",
            slot.plugin.as_deref().unwrap_or("?"),
            slot.database.as_deref().unwrap_or("?")
        );
    }
    match standby {
        Some(address) => format!("physical, of standby {address}"),
        None => "physical, of nobody we know".to_owned(),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn seconds(n: f64) -> Span {
    // A float becomes the nearest whole number that fits.
    Span::from_secs(n.min(1e9) as u64)
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Slot;
    use muster_model::{Finding, Severity, Snapshot, Span};

    use super::super::sample::wal::{checkpoints, read_anew, slot};
    use super::super::sample::{judged, looks, now};
    use super::INFO;

    fn said(s: &Snapshot) -> Option<Finding> {
        judged(s).findings.into_iter().find(|f| f.kind == INFO.kind)
    }

    fn unused(minutes: u64) -> impl Fn(&mut Slot) {
        move |s| {
            s.active = false;
            s.inactive_since = Some(now().minus(Span::from_mins(minutes)));
        }
    }

    #[test]
    fn a_gigabyte_warns_ten_are_an_incident() {
        assert_eq!(said(&slot(1023, |_| ())), None);
        let one = said(&slot(1024, |_| ())).expect("found");
        assert_eq!((one.severity, one.incident), (Severity::Warning, false));
        assert!(one.summary.contains("keeps 1.0 GB of WAL"), "{}", one.summary);
        assert!(one.summary.contains("until the disk is full"), "{}", one.summary);
        let ten = said(&slot(10 << 10, |_| ())).expect("found");
        assert_eq!((ten.severity, ten.incident), (Severity::Critical, true));
    }

    #[test]
    fn an_unused_slot_is_said_after_a_quarter_of_an_hour_when_it_keeps_something() {
        assert_eq!(said(&slot(100, unused(14))), None);
        let f = said(&slot(100, unused(15))).expect("found");
        assert_eq!(
            f.since,
            now().minus(Span::from_mins(15)),
            "the server knows since when"
        );
        assert!(f.summary.contains("unused for 15m"), "{}", f.summary);
        assert_eq!(said(&slot(15, unused(600))), None, "less than a segment");
        let copied = slot(100, |s| {
            unused(600)(s);
            s.synced = true;
        });
        assert_eq!(said(&copied), None, "a copy for a failover is unused by design");
    }

    #[test]
    fn without_inactive_since_our_own_watch_counts() {
        let quiet = slot(100, |s| s.active = false);
        let kinds = |n: usize| {
            let j = looks(read_anew(std::iter::repeat_n(quiet.clone(), n)));
            j.findings.iter().any(|f| f.kind == INFO.kind)
        };
        assert!(!kinds(900));
        assert!(kinds(901));
    }

    #[test]
    fn an_unused_slot_that_reaches_its_limit_soon_is_an_incident() {
        // 300 MB in five minutes: 1 MB a second.
        let fast = checkpoints(0, 0, 300);
        let near = |left_mb: u64, minutes: u64| {
            let mut s = slot(100, |s| {
                unused(minutes)(s);
                s.safe_wal_size = Some(left_mb << 20);
            });
            s.servers[0].wal.clone_from(&fast.servers[0].wal);
            said(&s)
        };
        let f = near(3600, 2).expect("found");
        assert!(f.incident && f.summary.contains("lost in 1h"), "{}", f.summary);
        assert_eq!(near(3600, 0), None, "a standby that restarts is back in a moment");
        assert_eq!(near(3600 * 5, 2), None, "five hours are enough");
    }

    #[test]
    fn a_standby_that_is_down_is_still_known_by_its_slot() {
        let mut s = slot(2048, |_| ());
        s.servers
            .push(super::super::sample::wal::pair().servers.remove(1));
        let r = s.servers[1].replication.as_mut().expect("replication");
        r.value.upstream_slot = Some("standby_b".into());
        let mut gone = s.clone();
        gone.servers[1].replication = None;
        let j = looks([s, gone]);
        let f = j.findings.iter().find(|f| f.kind == INFO.kind).expect("found");
        assert!(f.summary.contains("of standby shop/b"), "{}", f.summary);
        assert_eq!(f.evidence["standby"], "shop/b");
    }

    #[test]
    fn what_was_not_read_is_unknown_and_what_keeps_nothing_is_nothing() {
        let mut s = slot(4096, |_| ());
        s.servers[0].replication = None;
        let j = judged(&s);
        assert!(j.findings.is_empty() && j.unknown.iter().any(|u| u.kind == INFO.kind));
        assert_eq!(said(&slot(4096, |s| s.restart = None)), None);
    }
}
