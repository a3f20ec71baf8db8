//! `pool.slow_server`: one of the three causes of waiting clients.

use muster_model::pool_verdict;

use super::{RuleInfo, sample};
use crate::judge::Context;
use crate::pools::name;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "pool.slow_server",
    title: "The server behind the pool is slow",
    about: "Clients wait while the pooled sessions run statements (or wait for locks) for more than 1 s. More connections would make it slower. The look-alike of a leak. Thresholds as for pool.exhausted.",
    ignores: "A pool that leaks, and one that is too small for a quiet server.",
    advice: "Look for the slow statement or the lock behind the pool; do not make the pool larger.",
    needs: &["pooler", "activity"],
    keys: &[],
    specimen: || vec![sample::pooled(3, 6000, "active", 9000)],
    lookalike: || sample::anew(&sample::pooled(3, 6000, "active", 20), 4),
};

pub(super) fn rule(c: &mut Context<'_>) {
    name(c, INFO.kind, pool_verdict::SLOW);
}

#[cfg(test)]
mod tests {
    use super::super::sample::{judged, kinds, pooled};
    use super::INFO;

    #[test]
    fn it_is_named_only_when_it_is_it() {
        let it = judged(&pooled(3, 6000, "active", 9000));
        assert!(kinds(&it).contains(&INFO.kind));
        assert!(!kinds(&it).contains(&"pool.too_small"));
        for other in [
            pooled(3, 6000, "active", 20),
            pooled(3, 6000, "idle in transaction", 9000),
        ] {
            assert!(!kinds(&judged(&other)).contains(&INFO.kind));
        }
    }
}
