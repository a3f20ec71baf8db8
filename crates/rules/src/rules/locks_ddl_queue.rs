//! `locks.ddl_queue`: a DDL waits for its table, and everybody queues behind it.

use super::{RuleInfo, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "locks.ddl_queue",
    title: "Sessions queue behind a waiting DDL",
    about: "A session waits for ACCESS EXCLUSIVE and others wait behind it. Cancelling the waiting DDL is the cheapest lever: \
            it frees everybody and ends nobody's work.",
    ignores: "A chain without a DDL in the middle: that is locks.blocking_chain.",
    advice: "Cancel the waiting DDL and run it again with a lock_timeout and retries.",
    needs: &["activity", "locks"],
    keys: super::locks_blocking_chain::KEYS,
    specimen: || sample::seconds(&sample::blocked(6, 3000, true), 3),
    lookalike: || sample::seconds(&sample::blocked(6, 3000, false), 3),
};

pub(super) fn rule(c: &mut Context<'_>) {
    super::locks_blocking_chain::tree(c, true);
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::LockWait;

    use super::super::sample::{blocked_by, judged, kinds, server, session, snapshot};

    #[test]
    fn a_ddl_in_the_middle_has_its_own_name() {
        let mut s = snapshot();
        s.servers = vec![server("a")];
        let mut all = vec![session(1, "active", 9000), blocked_by(2, &[1], 3000)];
        all.extend((3..9).map(|p| blocked_by(p, &[2], 2000)));
        s.servers[0].activity.as_mut().expect("activity").value.sessions = all;
        assert_eq!(kinds(&judged(&s)), ["locks.blocking_chain"]);
        let wait = LockWait {
            pid: 2,
            locktype: "relation".into(),
            mode: "AccessExclusiveLock".into(),
            relation: Some("public.t".into()),
            since: None,
            blocked_by: vec![1],
        };
        s.servers[0].locks.as_mut().expect("locks").value.waits = vec![wait];
        let j = judged(&s);
        assert_eq!(kinds(&j), ["locks.ddl_queue"]);
        assert!(
            j.findings[0].summary.contains("frees 6"),
            "{}",
            j.findings[0].summary
        );
    }
}
