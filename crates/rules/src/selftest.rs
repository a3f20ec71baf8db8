//! Every rule against its specimen and its look-alike, with the thresholds that are in force.
//!
//! A rule that has gone dumb looks like a healthy fleet. So the daemon asks now and then, and says when each rule was
//! last proved able to fire.

use muster_model::Thresholds;
use serde::{Deserialize, Serialize};

use crate::judge::{Mode, RuleState, judge_by};
use crate::rules::{RuleInfo, catalogue};

/// What one rule did in its self-test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proved {
    /// Finding kind.
    pub kind: String,
    /// Whether it found its specimen.
    pub fires: bool,
    /// Whether it was silent at its look-alike.
    pub quiet: bool,
}

/// Plays all of them.
#[must_use]
pub fn selftest(thresholds: &Thresholds) -> Vec<Proved> {
    // Each by its own rule alone: what all the others say of its pictures costs a hundred times as much and proves nothing.
    let found = |info: &RuleInfo, pictures: Vec<muster_model::Snapshot>| -> Vec<bool> {
        let mut state = RuleState::default();
        let mut found = Vec::new();
        for picture in &pictures {
            let (next, judged) = judge_by(&[info.rule], &state, picture, thresholds, Mode::Watch);
            found.push(judged.findings.iter().any(|f| f.kind == info.kind));
            state = next;
        }
        found
    };
    catalogue()
        .into_iter()
        .map(|rule| Proved {
            kind: rule.kind.to_owned(),
            // A specimen takes its time; a look-alike is one at every look.
            fires: found(&rule, (rule.specimen)()).last() == Some(&true),
            quiet: !found(&rule, (rule.lookalike)()).contains(&true),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use muster_model::{Span, Threshold};

    use super::*;

    #[test]
    fn every_rule_finds_its_specimen_and_leaves_its_lookalike_alone() {
        for proved in selftest(&crate::defaults()) {
            assert!(proved.fires, "{} does not find its specimen", proved.kind);
            assert!(proved.quiet, "{} finds its look-alike", proved.kind);
        }
    }

    #[test]
    fn thresholds_that_make_a_rule_dumb_are_seen() {
        let mut deaf = crate::defaults();
        deaf.set("pool.exhausted", "warning", Threshold::Span(Span::from_mins(600)));
        let of = |kind: &str| selftest(&deaf).into_iter().find(|p| p.kind == kind);
        assert!(of("pool.exhausted").is_some_and(|p| !p.fires));
        assert!(of("server.down").is_some_and(|p| p.fires));
    }
}
