//! `index.bloat`: much of a B-tree index is not needed for its entries.

use super::RuleInfo;
use super::sample::inside as picture;
use crate::bloated;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "index.bloat",
    title: "Index bloat",
    about: "Pages of a B-tree index against what its entries need by the planner's statistics: at least half of 1 GB and more is not needed \
            (critical: 70 % of 10 GB). Deduplication is not counted on, so the estimate reads \"at least\".",
    ignores: "Free space that a fillfactor asks for (90 by default). The number is withheld, and the rule says unknown with the reason, when the \
              statistics are not shown to the login, were never made, or are older than 10 % of the rows; for indexes with expressions or a \
              predicate. Other access methods are not estimated. Only the 50 largest indexes.",
    advice: "REINDEX CONCURRENTLY, with as much free disk as the index takes and no old transaction open.",
    needs: &["widths"],
    keys: bloated::KEYS,
    specimen: || vec![picture::with_widths(vec![picture::wide(5, true)])],
    lookalike: || vec![picture::with_widths(vec![picture::wide(1, true)])],
};

pub(super) fn rule(c: &mut Context<'_>) {
    bloated::rule(c, INFO.kind, true);
}

#[cfg(test)]
mod tests {
    use super::super::sample::inside;
    use super::super::table_bloat::tests::thresholds;
    use super::INFO;

    #[test]
    fn share_and_size_must_both_be_passed_and_every_doubt_is_unknown() {
        thresholds(INFO.kind, |gigabytes| inside::wide(gigabytes, true));
    }
}
