//! `pool.too_small`: one of the three causes of waiting clients.

use muster_model::pool_verdict;

use super::{RuleInfo, sample};
use crate::judge::Context;
use crate::pools::name;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "pool.too_small",
    title: "The pool is too small",
    about: "Clients wait, every connection is in use, and four fifths of them or more are in short transactions. Thresholds as for pool.exhausted.",
    ignores: "A pool whose sessions run long statements or idle in transactions.",
    advice: "Raise the pool within the usable slots of the server.",
    needs: &["pooler", "activity"],
    keys: &[],
    specimen: || sample::anew(&sample::pooled(3, 6000, "active", 20), 4),
    lookalike: || vec![sample::pooled(3, 6000, "active", 9000)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    name(c, INFO.kind, pool_verdict::SMALL);
}

#[cfg(test)]
mod tests {
    use super::super::sample::{anew, judged, kinds, pooled, seen};
    use super::INFO;

    #[test]
    fn it_is_named_only_when_it_is_it() {
        let it = seen(anew(&pooled(3, 6000, "active", 20), 4));
        assert!(kinds(&it).contains(&INFO.kind));
        assert!(!kinds(&it).contains(&"pool.slow_server"));
        for other in [
            pooled(3, 6000, "active", 9000),
            pooled(3, 6000, "idle in transaction", 9000),
        ] {
            assert!(!kinds(&judged(&other)).contains(&INFO.kind));
        }
    }

    #[test]
    fn one_look_is_not_enough_and_long_statements_that_begin_anew_are_no_small_pool() {
        let first = judged(&pooled(3, 6000, "active", 20));
        assert_eq!(
            kinds(&first),
            ["pool.exhausted"],
            "the symptom is told, the cause not yet"
        );
        let long = anew(&pooled(3, 6000, "active", 3000), 2);
        let begun = anew(&pooled(3, 6000, "active", 20), 3);
        let told = seen(long.into_iter().chain(begun.into_iter().skip(3)));
        assert!(kinds(&told).contains(&"pool.slow_server") && !kinds(&told).contains(&INFO.kind));
        // A moment at which two of ten were slow does not delay the word.
        let mut mixed = pooled(3, 6000, "active", 20);
        for slow in &mut mixed.servers[0]
            .activity
            .as_mut()
            .expect("activity")
            .value
            .sessions[..2]
        {
            slow.query_start = slow
                .query_start
                .map(|t| t.minus(muster_model::Span::from_secs(3)));
        }
        assert!(kinds(&judged(&mixed)).contains(&"pool.slow_server"));
        let small = anew(&pooled(3, 6000, "active", 20), 4).into_iter().skip(1);
        let told = seen(std::iter::once(mixed).chain(small));
        assert!(kinds(&told).contains(&INFO.kind), "{:?}", kinds(&told));
    }
}
