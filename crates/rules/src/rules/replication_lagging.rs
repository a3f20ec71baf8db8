//! `replication.lagging`: a verdict on one standby.

use super::{KeyInfo, RuleInfo, sample};
use crate::judge::Context;
use crate::standbys;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "replication.lagging",
    title: "A standby is behind",
    about: "Across servers: current position of the primary less replayed position; by time only while there is something to replay, less recovery_min_apply_delay.",
    ignores: "Time without bytes to replay, and recovery_min_apply_delay.",
    advice: "See which part is late: sending, writing, or replaying; cancel what conflicts with replay, slow the batch down.",
    needs: &["replication"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "1s",
            about: "lag by time",
        },
        KeyInfo {
            key: "critical",
            default: "5s",
            about: "lag by time",
        },
        KeyInfo {
            key: "for",
            default: "30s",
            about: "critical only when it has lasted this long",
        },
    ],
    specimen: || sample::seconds(&sample::replicated("lagging"), 5),
    lookalike: || sample::seconds(&sample::replicated("idle"), 5),
};

pub(super) fn rule(c: &mut Context<'_>) {
    standbys::rule(c, INFO.kind);
}

#[cfg(test)]
mod tests {
    use super::super::sample::{replicated, watched};

    #[test]
    fn it_is_found_and_a_healthy_idle_standby_is_not() {
        assert!(watched(&replicated("lagging"), 5).contains(&"replication.lagging".to_owned()));
        assert_eq!(watched(&replicated("idle"), 5), Vec::<String>::new());
    }
}
