//! `table.bloat`: much of a table is not needed for its rows.

use super::RuleInfo;
use super::sample::inside as picture;
use crate::bloated;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "table.bloat",
    title: "Table bloat",
    about: "Pages of a table against what its rows need by the planner's statistics: at least half of 1 GB and more is not needed (critical: 70 % \
            of 10 GB). The estimate decides every doubt for the larger need, so it reads \"at least\".",
    ignores: "Free space that a fillfactor asks for. The number is withheld, and the rule says unknown with the reason, when the statistics are not \
              shown to the login, were never made, or are older than 10 % of the rows; when a column of any length was dropped; when rows \
              are as wide as a quarter of a page. What is stored outside the rows (TOAST) is not in it. Only the 50 largest tables.",
    advice: "A plain VACUUM does not shrink a table, it keeps it from growing: see first what holds dead rows back. pg_repack or VACUUM FULL \
             (which locks it) give the space back.",
    needs: &["widths"],
    keys: bloated::KEYS,
    specimen: || vec![picture::with_widths(vec![picture::wide(5, false)])],
    lookalike: || vec![picture::with_widths(vec![picture::wide(1, false)])],
};

pub(super) fn rule(c: &mut Context<'_>) {
    bloated::rule(c, INFO.kind, false);
}

#[cfg(test)]
pub(super) mod tests {
    use muster_model::Severity;
    use muster_model::snapshot::RelationWidths;

    use super::super::sample::{inside, judged};
    use super::INFO;

    #[test]
    fn share_and_size_must_both_be_passed_and_every_doubt_is_unknown() {
        thresholds(INFO.kind, |gigabytes| inside::wide(gigabytes, false));
    }

    pub(in crate::rules) fn thresholds(kind: &str, wide: impl Fn(u64) -> RelationWidths) {
        let found = |r: RelationWidths| {
            let j = judged(&inside::with_widths(vec![r]));
            let unknown = j.unknown.iter().any(|u| u.kind == kind);
            let said = j.findings.into_iter().find(|f| f.kind == kind);
            (said.map(|f| (f.severity, f.summary)), unknown)
        };
        assert_eq!(found(wide(1)), (None, false));
        // About one GB is needed: of two GB not quite half is bloat, of three two thirds, of four three quarters.
        assert_eq!(found(wide(2)), (None, false));
        let (said, _) = found(wide(3));
        assert_eq!(said.as_ref().map(|s| s.0), Some(Severity::Warning));
        assert!(said.is_some_and(|s| s.1.contains("at least")));
        assert_eq!(
            found(wide(8)).0.map(|s| s.0),
            Some(Severity::Warning),
            "share alone is not critical"
        );
        assert_eq!(found(wide(12)).0.map(|s| s.0), Some(Severity::Critical));
        let doubts = [
            RelationWidths {
                readable: false,
                ..wide(12)
            },
            RelationWidths {
                last_analyze: None,
                ..wide(12)
            },
            RelationWidths {
                modified: 2_200_000,
                ..wide(12)
            },
        ];
        for r in doubts {
            assert_eq!(found(r), (None, true));
        }
        let small = RelationWidths {
            readable: false,
            pages: 1000,
            ..wide(1)
        };
        assert_eq!(found(small), (None, false), "what cannot matter is not missed");
        let unread = inside::spoiled(|d| d.widths = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == kind));
    }
}
