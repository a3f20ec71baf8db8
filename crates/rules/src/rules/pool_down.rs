//! `pool.down`: the console of a PgBouncer does not answer, three times in a row.

use super::sample::beside as sample;
use super::{MISSES, RuleInfo};
use crate::beside::{Part, down};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "pool.down",
    title: "A pooler does not answer",
    about: "Nothing answers at the console of a PgBouncer: its name does not resolve, nothing takes the connection, or no answer \
            comes in time. Three misses in a row and 1 s make a finding; `muster check` reports the first miss as pending.",
    ignores: "One missed look, and a console that answers and refuses our login, which is access.unreachable.",
    advice: "Start it again. Where the process runs and does not answer, it works for all clients in one thread: look at its \
             processor time and its log.",
    needs: &["pooler"],
    keys: MISSES,
    specimen: || vec![sample::pooler_down(3)],
    lookalike: || vec![sample::pooler_down(1)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let parts = snapshot.poolers.iter().map(|v| Part {
        name: &v.name,
        address: &v.address,
        reach: &v.reach,
        what: format!("PgBouncer {}", v.address),
        means: "clients that go through it cannot connect",
    });
    down(c, INFO.kind, "pooler", parts.collect());
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::{Reach, Rung};

    use super::super::sample::beside::{pooler, pooler_down};
    use super::super::sample::{judged, kinds};

    #[test]
    fn three_misses_are_down_and_one_is_unknown() {
        let down = judged(&pooler_down(3));
        assert_eq!(kinds(&down), ["pool.down"]);
        assert!(down.findings[0].incident, "{:?}", down.findings[0]);
        assert!(down.findings[0].summary.contains("PgBouncer shop/bouncer"));
        let once = judged(&pooler_down(1));
        assert!(once.findings.is_empty());
        assert!(once.unknown.iter().any(|u| u.kind == "pool.down"));
        assert_eq!(kinds(&judged(&pooler(|_| {}))), [""; 0]);
    }

    #[test]
    fn a_refused_login_is_an_answer() {
        let mut s = pooler_down(9);
        if let Reach::Down { rung, .. } = &mut s.poolers[0].reach {
            *rung = Rung::Auth;
        }
        let j = judged(&s);
        assert!(
            !kinds(&j).contains(&"pool.down"),
            "access.unreachable speaks for it: {j:?}"
        );
        assert!(j.unknown.iter().any(|u| u.kind == "pool.client_limit"));
    }
}
