//! `pool.too_small`: one of the three causes of waiting clients.

use muster_model::pool_verdict;

use super::{RuleInfo, sample};
use crate::judge::Context;
use crate::pools::name;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    kind: "pool.too_small",
    title: "The pool is too small",
    about: "Clients wait, every connection is in use, transactions are short, and the server is quiet. Thresholds as for pool.exhausted.",
    ignores: "A pool whose sessions run long statements or idle in transactions.",
    advice: "Raise the pool within the usable slots of the server.",
    needs: &["pooler", "activity"],
    keys: &[],
    specimen: || vec![sample::pooled(3, 6000, "active", 20)],
    lookalike: || vec![sample::pooled(3, 6000, "active", 9000)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    name(c, INFO.kind, pool_verdict::SMALL);
}

#[cfg(test)]
mod tests {
    use super::super::sample::{judged, kinds, pooled};
    use super::INFO;

    #[test]
    fn it_is_named_only_when_it_is_it() {
        let it = judged(&pooled(3, 6000, "active", 20));
        assert!(kinds(&it).contains(&INFO.kind));
        assert!(!kinds(&it).contains(&"pool.slow_server"));
        for other in [
            pooled(3, 6000, "active", 9000),
            pooled(3, 6000, "idle in transaction", 9000),
        ] {
            assert!(!kinds(&judged(&other)).contains(&INFO.kind));
        }
    }
}
