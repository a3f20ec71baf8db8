//! `app.down`: the health route of an application does not answer, three times in a row.

use super::sample::beside as sample;
use super::{MISSES, RuleInfo};
use crate::beside::{Part, down};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "app.down",
    title: "An application does not answer",
    about: "Nothing answers at the health route of an application: its name does not resolve, nothing takes the connection, or no \
            answer comes within 2 s. Three misses in a row and 1 s make a finding; `muster check` reports the first miss as \
            pending.",
    ignores: "One missed look; an answer of any status, which app.error_rate judges; a certificate that we do not trust, which \
              is muster.blind.",
    advice: "Look whether its process runs, and at its log. Where it takes connections and does not answer, look at its pool and \
             at what it waits for.",
    needs: &["app"],
    keys: MISSES,
    specimen: || vec![sample::app_down(3)],
    lookalike: || vec![sample::app_down(1)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let parts = snapshot.apps.iter().map(|v| Part {
        name: &v.name,
        address: &v.address,
        reach: &v.reach,
        what: format!(
            "application {} at {}",
            v.address,
            v.endpoint.as_deref().unwrap_or("an unknown address")
        ),
        means: "its users get nothing from this instance",
    });
    down(c, INFO.kind, "app", parts.collect());
}

#[cfg(test)]
mod tests {
    use muster_model::Health;

    use super::super::sample::beside::{app, app_down};
    use super::super::sample::{judged, kinds};

    #[test]
    fn three_misses_are_down_and_an_application_is_a_component() {
        let health = |s: &muster_model::Snapshot| {
            let j = judged(s);
            j.health.iter().find(|h| h.0 == "shop/notes").map(|h| h.1)
        };
        let down = judged(&app_down(3));
        assert_eq!(kinds(&down), ["app.down"]);
        assert!(down.findings[0].incident);
        assert_eq!(health(&app_down(3)), Some(Health::Critical));
        assert_eq!(kinds(&judged(&app_down(2))), [""; 0]);
        assert_eq!(health(&app_down(2)), Some(Health::Unknown));
        assert_eq!(health(&app(|_| {})), Some(Health::Ok));
    }

    #[test]
    fn one_that_nobody_looks_at_is_not_healthy() {
        let mut s = app(|_| {});
        s.apps[0].reach = muster_model::snapshot::Reach::Unknown;
        s.apps[0].endpoint = None;
        s.apps[0].health = None;
        let j = judged(&s);
        assert!(j.findings.is_empty());
        assert!(j.health.contains(&("shop/notes".to_owned(), Health::Unknown)));
    }
}
