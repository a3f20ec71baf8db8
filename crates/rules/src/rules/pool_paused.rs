//! `pool.paused`: somebody paused, suspended or disabled what clients want to use.

use muster_model::snapshot::pooler::PoolerState;
use muster_model::{Severity, Span, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::poolers;
use crate::judge::{Context, Mode};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "pool.paused",
    title: "A pooler is paused",
    about: "SHOW DATABASES says paused or disabled, or SHOW STATE says that everything is paused or suspended. Clients of a paused \
            database wait; clients of a disabled one are refused.",
    ignores: "A pause that is short and lets nobody wait for long: a switch-over does that.",
    advice: "Find who paused it and why (a switch-over that died half-way?), then RESUME or ENABLE.",
    needs: &["pooler"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "60s",
            about: "how long it must have lasted",
        },
        KeyInfo {
            key: "critical",
            default: "5s",
            about: "how long clients must have waited for it: an incident",
        },
    ],
    specimen: || sample_of(3, 6000),
    lookalike: || sample_of(1, 500),
};

fn sample_of(waiting: u32, maxwait_ms: u64) -> Vec<muster_model::Snapshot> {
    vec![sample::paused(waiting, maxwait_ms)]
}

/// What rests: everything, or one database.
struct Rest {
    subject: Subject,
    word: &'static str,
    what: String,
    waiting: u32,
    maxwait: Span,
}

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    for (pooler, state) in poolers(c, INFO.kind) {
        if state.paused.is_none() && state.stuck.iter().any(|s| !s.tries) {
            let why =
                "this version does not say whether everything is paused, and clients wait for a connection";
            c.lacks(INFO.kind, &pooler.address, why);
        }
        for rest in rests(&pooler.name, &pooler.address, state) {
            let key = format!("{}|{}|{}", INFO.kind, pooler.address, rest.subject);
            let held = c.held(&key).max(rest.maxwait);
            let waited = if rest.waiting > 0 {
                c.held(&format!("{key}|waiting")).max(rest.maxwait)
            } else {
                Span::ZERO
            };
            let severe = rest.waiting > 0 && waited >= critical;
            let pending = !severe && held < warning;
            if pending && c.mode == Mode::Watch {
                continue;
            }
            let clients = match rest.waiting {
                0 if rest.word == "disabled" => "new clients are refused".to_owned(),
                0 => "nobody waits yet".to_owned(),
                n => format!("{n} clients wait, the longest for {}", rest.maxwait.human()),
            };
            let mut f = finding(
                INFO.kind,
                if severe {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &pooler.address,
                rest.subject,
                c.now().minus(held),
                format!("{} is {}: {clients}", rest.what, rest.word),
            );
            f.pending = pending;
            f.incident = severe;
            f.evidence = evidence(json!({
                "state": rest.word, "waiting": rest.waiting, "maxwait_ms": rest.maxwait.millis(), "held_ms": held.millis(),
            }));
            c.findings.push(f);
        }
    }
}

fn rests(name: &str, address: &str, state: &PoolerState) -> Vec<Rest> {
    let clients = |of: &dyn Fn(&str) -> bool| {
        let pools = state.pools.iter().filter(|p| of(&p.database));
        pools.fold((0, 0), |(n, longest), p| {
            (n + p.cl_waiting, longest.max(p.maxwait_us / 1000))
        })
    };
    if state.paused == Some(true) {
        let (waiting, maxwait) = clients(&|_| true);
        return vec![Rest {
            subject: Subject::new("pooler", name),
            word: "paused",
            what: format!("everything at {address}"),
            waiting,
            maxwait: Span::from_millis(maxwait),
        }];
    }
    let resting = state.databases.iter().filter(|d| d.paused || d.disabled);
    resting
        .map(|d| {
            let (waiting, maxwait) = clients(&|database| database == d.name);
            Rest {
                subject: Subject::new("database", &d.name),
                word: if d.paused { "paused" } else { "disabled" },
                what: format!("database {} at {address}", d.name),
                waiting,
                maxwait: Span::from_millis(maxwait),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::beside::{paused, pooler, stuck};
    use super::super::sample::{judged, kinds, looks, watched};

    #[test]
    fn waiting_clients_make_it_an_incident_and_time_a_warning() {
        let waits = judged(&paused(3, 5000));
        let f = waits
            .findings
            .iter()
            .find(|f| f.kind == "pool.paused")
            .expect("found");
        assert!(f.incident && f.severity == Severity::Critical);
        assert!(f.summary.contains("3 clients wait"), "{}", f.summary);
        assert!(!kinds(&judged(&paused(3, 4900))).contains(&"pool.paused"));
        let nobody = paused(0, 0);
        assert_eq!(watched(&nobody, 59), Vec::<String>::new());
        let j = looks(std::iter::repeat_n(nobody, 61));
        assert_eq!((kinds(&j), j.findings[0].incident), (vec!["pool.paused"], false));
    }

    /// As PgBouncer shows clients that never had a connection: their wait is not counted.
    #[test]
    fn a_wait_that_is_not_counted_is_seen_to_last() {
        assert!(!watched(&paused(2, 0), 4).contains(&"pool.paused".to_owned()));
        assert!(watched(&paused(2, 0), 5).contains(&"pool.paused".to_owned()));
    }

    #[test]
    fn everything_paused_is_one_finding_and_a_disabled_database_refuses() {
        let all = pooler(|s| {
            s.paused = Some(true);
            s.databases[0].paused = true;
        });
        let j = looks(std::iter::repeat_n(all, 61));
        assert_eq!(j.findings[0].subject.0, "pooler:bouncer");
        let disabled = pooler(|s| s.databases[0].disabled = true);
        let j = looks(std::iter::repeat_n(disabled, 61));
        assert!(j.findings[0].summary.contains("new clients are refused"));
    }

    #[test]
    fn a_version_that_does_not_say_is_unknown_only_while_somebody_waits_for_no_reason() {
        let of = |tries: bool| {
            let mut s = stuck(3, 2);
            if let Some(state) = &mut s.poolers[0].state {
                state.value.paused = None;
                state.value.stuck[0].tries = tries;
            }
            judged(&s).unknown.iter().any(|u| u.kind == "pool.paused")
        };
        assert!(of(false) && !of(true));
        let calm = judged(&pooler(|s| s.paused = None));
        assert!(calm.unknown.is_empty(), "{:?}", calm.unknown);
        let mut unread = pooler(|_| {});
        unread.poolers[0].state = None;
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == "pool.paused"));
    }
}
