//! `replication.paused`: a verdict on one standby.

use super::{KeyInfo, RuleInfo, sample};
use crate::judge::Context;
use crate::standbys;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "replication.paused",
    title: "Replay is paused",
    about: "pg_wal_replay_pause was called: the standby receives and does not replay.",
    ignores: "A standby that is only behind.",
    advice: "Ask who paused it and why before resuming: it may be a recovery that stands at its target.",
    needs: &["replication"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "0s",
            about: "how long it must have lasted",
        },
        KeyInfo {
            key: "critical",
            default: "60s",
            about: "how long it must have lasted",
        },
        KeyInfo {
            key: "for",
            default: "0s",
            about: "critical only when it has lasted this long",
        },
    ],
    specimen: || sample::seconds(&sample::replicated("paused"), 5),
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
        assert!(watched(&replicated("paused"), 5).contains(&"replication.paused".to_owned()));
        assert_eq!(watched(&replicated("idle"), 5), Vec::<String>::new());
    }
}
