//! `replication.broken`: a verdict on one standby.

use super::{KeyInfo, RuleInfo, sample};
use crate::judge::Context;
use crate::standbys;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "replication.broken",
    title: "A standby receives nothing",
    about: "Judged from both ends: no receiver streams, or the primary does not stream to it, whatever the standby's own lag says. An idle standby at night is healthy.",
    ignores: "A standby that idles at night, and one that is paused.",
    advice: "Read the standby's log: the upstream does not answer, its WAL is gone, or the slot is lost; then follow, rewind or rebuild.",
    needs: &["replication"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "3s",
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
    specimen: || sample::seconds(&sample::replicated("broken"), 5),
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
        assert!(watched(&replicated("broken"), 5).contains(&"replication.broken".to_owned()));
        assert_eq!(watched(&replicated("idle"), 5), Vec::<String>::new());
    }
}
