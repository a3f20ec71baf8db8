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
    use muster_model::{Severity, Snapshot, Span, Threshold, Time};

    use super::super::sample::{over_time, replicated, watched};
    use crate::judge::{Mode, RuleState, judge};

    /// So far behind at each look, a second apart.
    fn behind(lags_ms: impl IntoIterator<Item = i64>) -> Vec<Snapshot> {
        let of = |ms: i64| {
            let mut s = replicated("lagging");
            if let Some(r) = &mut s.servers[1].replication {
                r.value.last_replayed_commit = Some(Time::from_millis(1_000_000 - ms));
            }
            s
        };
        over_time(lags_ms.into_iter().map(of))
    }

    fn last(pictures: &[Snapshot], thresholds: &muster_model::Thresholds) -> Option<(Severity, bool)> {
        let mut state = RuleState::default();
        let mut last = None;
        for picture in pictures {
            let (next, j) = judge(&state, picture, thresholds, Mode::Watch);
            state = next;
            last = j.findings.into_iter().find(|f| f.kind == super::INFO.kind);
        }
        last.map(|f| (f.severity, f.incident))
    }

    #[test]
    fn it_is_critical_when_it_was_critical_for_so_long_and_not_when_it_was_late_at_all() {
        let defaults = crate::defaults();
        let warned = Some((Severity::Warning, false));
        let long_late = std::iter::repeat_n(2000, 60).chain([6000]);
        assert_eq!(last(&behind(long_late), &defaults), warned);
        let long_bad = std::iter::repeat_n(6000, 31);
        assert_eq!(
            last(&behind(long_bad), &defaults),
            Some((Severity::Critical, true))
        );
    }

    #[test]
    fn a_threshold_below_a_second_counts_too() {
        let mut strict = crate::defaults();
        strict.set(
            super::INFO.kind,
            "warning",
            Threshold::Span(Span::from_millis(300)),
        );
        assert_eq!(last(&behind([400]), &strict), Some((Severity::Warning, false)));
        assert_eq!(last(&behind([200]), &strict), None);
    }

    #[test]
    fn it_is_found_and_a_healthy_idle_standby_is_not() {
        assert!(watched(&replicated("lagging"), 5).contains(&"replication.lagging".to_owned()));
        assert_eq!(watched(&replicated("idle"), 5), Vec::<String>::new());
    }
}
