//! `pool.slow_server`: one of the three causes of waiting clients.

use muster_model::pool_verdict;

use super::{RuleInfo, evidence, finding};
use crate::judge::Context;
use crate::pools::troubled;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    kind: "pool.slow_server",
    title: "The server behind the pool is slow",
    about: "Clients wait while the pooled sessions run statements (or wait for locks) for more than 1 s. More connections would make it slower. The look-alike of a leak. Thresholds as for pool.exhausted.",
    needs: &["pooler", "activity"],
    keys: &[],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for t in troubled(c, snapshot)
        .iter()
        .filter(|t| t.verdict.word == pool_verdict::SLOW)
    {
        let mut f = finding(
            INFO.kind,
            t.severity,
            &t.pooler.address,
            t.subject(),
            t.since,
            t.verdict.summary.clone(),
        );
        f.incident = t.incident;
        f.evidence = evidence(t.evidence(snapshot.taken_at));
        f.ruled_out.clone_from(&t.verdict.ruled_out);
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{judged, kinds, pooled};

    #[test]
    fn it_is_named_only_when_it_is_it() {
        let (slow, small) = (
            judged(&pooled(3, 6000, "active", 9000)),
            judged(&pooled(3, 6000, "active", 20)),
        );
        assert_eq!(
            kinds(&slow).contains(&"pool.slow_server"),
            !kinds(&slow).contains(&"pool.too_small")
        );
        assert!(
            kinds(if "slow_server" == "too_small" {
                &small
            } else {
                &slow
            })
            .contains(&"pool.slow_server")
        );
        let leak = judged(&pooled(3, 6000, "idle in transaction", 9000));
        assert!(!kinds(&leak).contains(&"pool.slow_server"));
    }
}
