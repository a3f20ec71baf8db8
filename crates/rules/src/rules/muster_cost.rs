//! `muster.cost`: watching a server costs more than its budget.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::size::number;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "muster.cost",
    title: "Muster costs too much",
    about: "The time in which our sessions waited for a server's answers over the last ten minutes, less the quickest answer for each of \
            them (about the way there and back), as a share of one core. It is an upper bound: a server that makes us wait for others \
            is counted as if it worked for us.",
    ignores: "The first ten minutes, and the way to a server that is far.",
    advice: "Raise the cadence of what is slow here, above all of `tables`; a catalogue of tens of thousands of tables is the usual \
             reason. A server that is overloaded looks the same: see what else is found.",
    needs: &["identity"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "0.5",
            about: "per cent of one core",
        },
        KeyInfo {
            key: "critical",
            default: "2",
            about: "per cent of one core",
        },
        KeyInfo {
            key: "over",
            default: "10m",
            about: "the time over which it is measured",
        },
    ],
    specimen: || vec![sample::wal::costly(25.0)],
    lookalike: || vec![sample::wal::costly(4.0)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let (warning, critical, long) = (
        c.number(INFO.kind, "warning"),
        c.number(INFO.kind, "critical"),
        c.span(INFO.kind, "over"),
    );
    for server in snapshot.servers.iter().filter(|s| s.answers()) {
        let Some(cost) = &server.cost else {
            c.lacks(INFO.kind, &server.address, "what we cost: not summed up");
            continue;
        };
        let Some(before) = &cost.before else { continue };
        let over = cost.at.since(before.at);
        if over < long {
            continue;
        }
        let queries = cost.now.queries.saturating_sub(before.value.queries);
        let busy = cost.now.busy_ms - before.value.busy_ms - number(queries) * cost.quickest_ms;
        let share = busy.max(0.0) * 100.0 / number(over.millis());
        if share <= warning {
            continue;
        }
        let severe = share > critical;
        let mut f = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &server.address,
            Subject::new("server", &server.name),
            before.at,
            format!(
                "watching {} took at most {share:.1} % of one core over {} ({queries} statements); the budget is {warning} %",
                server.address,
                over.human()
            ),
        );
        f.evidence = evidence(json!({
            "percent_of_a_core_at_most": share, "over_ms": over.millis(), "queries": queries,
            "rows": cost.now.rows.saturating_sub(before.value.rows), "waited_ms": cost.now.busy_ms - before.value.busy_ms,
            "quickest_ms": cost.quickest_ms,
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Severity, Snapshot, Span};

    use super::super::sample::judged;
    use super::super::sample::wal::costly;
    use super::INFO;

    fn said(s: &Snapshot) -> Option<Severity> {
        let j = judged(s);
        j.findings
            .iter()
            .find(|f| f.kind == INFO.kind)
            .map(|f| f.severity)
    }

    #[test]
    fn half_a_per_cent_of_a_core_warns_and_two_are_critical() {
        assert_eq!(said(&costly(4.9)), None);
        assert_eq!(said(&costly(5.1)), Some(Severity::Warning));
        assert_eq!(said(&costly(19.9)), Some(Severity::Warning));
        assert_eq!(said(&costly(20.1)), Some(Severity::Critical));
    }

    #[test]
    fn ten_minutes_must_be_known_and_the_way_does_not_count() {
        let mut s = costly(50.0);
        let cost = s.servers[0].cost.as_mut().expect("cost");
        let before = cost.before.as_mut().expect("before");
        before.at = before.at.plus(Span::from_secs(1));
        assert_eq!(said(&s), None);
        let mut far = costly(4.0);
        let cost = far.servers[0].cost.as_mut().expect("cost");
        // A way of 100 ms in each answer.
        cost.now.busy_ms += 5000.0 * 100.0;
        cost.before.as_mut().expect("before").value.busy_ms += 2600.0 * 100.0;
        cost.quickest_ms += 100.0;
        assert_eq!(said(&far), None);
        far.servers[0].cost = None;
        assert!(judged(&far).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
