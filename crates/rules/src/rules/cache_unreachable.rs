//! `cache.unreachable`: a Redis does not answer, three times in a row.

use super::sample::beside as sample;
use super::{MISSES, RuleInfo};
use crate::beside::{Part, down};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "cache.unreachable",
    title: "A cache does not answer",
    about: "Nothing answers INFO at the address of a Redis: its name does not resolve, nothing takes the connection, or no answer \
            comes in time. Three misses in a row and 1 s make a finding; `muster check` reports the first miss as pending.",
    ignores: "One missed look; a Redis that loads its data; a Redis that answers and refuses our login, which is muster.blind.",
    advice: "Follow the rung that fails. Where the process runs and does not answer, look for a command or a script that holds \
             everybody up.",
    needs: &["cache"],
    keys: MISSES,
    specimen: || vec![sample::cache_down(3)],
    lookalike: || vec![sample::cache_down(1)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let parts = snapshot.caches.iter().map(|v| Part {
        name: &v.name,
        address: &v.address,
        reach: &v.reach,
        what: format!("Redis {}", v.address),
        means: "what it cached comes from the database now",
    });
    down(c, INFO.kind, "cache", parts.collect());
}

#[cfg(test)]
mod tests {
    use muster_model::Health;
    use muster_model::snapshot::{Reach, Rung};

    use super::super::sample::beside::{cache, cache_down};
    use super::super::sample::{judged, kinds};

    #[test]
    fn three_misses_are_down_one_is_unknown_and_neither_is_healthy() {
        let down = judged(&cache_down(3));
        assert_eq!(kinds(&down), ["cache.unreachable"]);
        assert!(down.findings[0].incident);
        let health = |j: &crate::Judgement| j.health.iter().find(|h| h.0 == "shop/cache").map(|h| h.1);
        assert_eq!(health(&down), Some(Health::Critical));
        let once = judged(&cache_down(1));
        assert_eq!((kinds(&once), health(&once)), (vec![], Some(Health::Unknown)));
        assert_eq!(health(&judged(&cache(|_| {}))), Some(Health::Ok));
    }

    #[test]
    fn a_refused_login_is_an_answer() {
        let mut s = cache_down(9);
        if let Reach::Down { rung, .. } = &mut s.caches[0].reach {
            *rung = Rung::Auth;
        }
        let j = judged(&s);
        assert_eq!(kinds(&j), [""; 0]);
        assert!(
            j.unknown
                .iter()
                .any(|u| u.kind == "cache.memory" && u.target == "shop/cache"),
            "what it holds is unknown"
        );
    }
}
