//! `settings.standby_too_low`: a standby has less room than its primary, and will stop for it.

use muster_model::snapshot::Role;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "settings.standby_too_low",
    title: "A standby allows less than its primary",
    about: "max_connections, max_worker_processes, max_wal_senders, max_prepared_transactions and max_locks_per_transaction must be \
            as large on a standby as on its primary. A standby that finds them smaller does not start; one that runs pauses its \
            replay (PostgreSQL 14 and later) or shuts down.",
    ignores: "Larger values on the standby: that is the right order when they are raised.",
    advice: "Raise them on the standby and restart it. To raise one everywhere: standbys first, then the primary; to lower one: the \
             other way round.",
    needs: &["settings"],
    keys: &[],
    specimen: || {
        let mut s = sample::wal::pair();
        sample::wal::set(&mut s, 0, "max_connections", "200");
        vec![s]
    },
    lookalike: || {
        let mut s = sample::wal::pair();
        sample::wal::set(&mut s, 1, "max_connections", "200");
        vec![s]
    },
};

const BOUND: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let standbys = || {
        snapshot
            .servers
            .iter()
            .filter(|s| s.role() == Some(Role::Standby) && s.answers())
    };
    // Without a primary that answers there is nothing to compare with, and server.down says so.
    let Some(primary) = snapshot.primary().filter(|p| p.answers()) else {
        return;
    };
    if standbys().next().is_none() {
        return;
    }
    let Some(above) = c.part(INFO.kind, primary, &primary.settings, "its settings") else {
        return;
    };
    for standby in standbys() {
        let Some(own) = c.part(INFO.kind, standby, &standby.settings, "its settings") else {
            continue;
        };
        for name in BOUND {
            let of =
                |s: &muster_model::snapshot::Settings| s.values.get(name).and_then(|v| v.parse::<u64>().ok());
            let (Some(theirs), Some(mine)) = (of(above), of(own)) else {
                c.lacks(INFO.kind, &standby.address, format!("{name}: not read"));
                continue;
            };
            if mine >= theirs {
                continue;
            }
            let held = c.held(&format!("{}|{}|{name}", INFO.kind, standby.address));
            let paused = standby
                .replication
                .as_ref()
                .is_some_and(|r| r.value.replay_state.as_deref() == Some("paused"));
            let mut f = finding(
                INFO.kind,
                if paused {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &standby.address,
                Subject::new("setting", name),
                c.now().minus(held),
                format!(
                    "{name} is {mine} on standby {} and {theirs} on its primary {}: it {}",
                    standby.address,
                    primary.address,
                    if paused {
                        "has paused its replay"
                    } else {
                        "will pause its replay, and does not start again"
                    }
                ),
            );
            f.incident = paused;
            f.evidence = evidence(json!({
                "setting": name, "standby": mine, "primary": theirs, "primary_server": primary.address, "paused": paused,
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::judged;
    use super::super::sample::wal::{pair, set};
    use super::{BOUND, INFO};

    #[test]
    fn each_of_the_five_counts_and_more_is_no_harm() {
        for name in BOUND {
            let mut s = pair();
            set(&mut s, 0, name, "200");
            set(&mut s, 1, name, "199");
            let j = judged(&s);
            let f = j.findings.iter().find(|f| f.kind == INFO.kind).expect(name);
            assert!(
                f.summary.starts_with(&format!("{name} is 199 on standby shop/b")),
                "{}",
                f.summary
            );
            assert_eq!((f.severity, f.incident), (Severity::Warning, false));
            set(&mut s, 1, name, "200");
            assert!(!judged(&s).findings.iter().any(|f| f.kind == INFO.kind), "{name}");
        }
    }

    #[test]
    fn one_that_has_paused_for_it_is_an_incident() {
        let mut s = pair();
        set(&mut s, 0, "max_connections", "200");
        s.servers[1]
            .replication
            .as_mut()
            .expect("replication")
            .value
            .replay_state = Some("paused".into());
        let j = judged(&s);
        let f = j.findings.iter().find(|f| f.kind == INFO.kind).expect("found");
        assert!(
            f.incident && f.summary.ends_with("has paused its replay"),
            "{}",
            f.summary
        );
    }

    #[test]
    fn settings_that_were_not_read_are_unknown() {
        let mut s = pair();
        s.servers[1]
            .settings
            .as_mut()
            .expect("settings")
            .value
            .values
            .clear();
        assert!(
            judged(&s)
                .unknown
                .iter()
                .any(|u| u.kind == INFO.kind && u.target == "shop/b")
        );
        s.servers[0].settings = None;
        assert!(
            judged(&s)
                .unknown
                .iter()
                .any(|u| u.kind == INFO.kind && u.target == "shop/a")
        );
    }
}
