//! `muster.blind`: something that rules need cannot be read, though the target answers.

use std::collections::BTreeMap;

use muster_model::snapshot::Reach;
use muster_model::{Gap, Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "muster.blind",
    title: "Muster cannot see something",
    about: "A collector has a gap at a target that answers: a privilege is missing, or a console refuses. The finding says \
            what would close it.",
    ignores: "A gap at a target that is down: server.down, pool.down, cache.unreachable or app.down speaks for it. A pooler, \
              cache or application that refuses our login is not down: this speaks for it.",
    advice: "Run the statement that the finding prints, or give the login what it lacks.",
    needs: &[],
    keys: &[KeyInfo {
        key: "for",
        default: "5s",
        about: "since when",
    }],
    specimen: || sample::seconds(&sample::with_gap(), 8),
    lookalike: || sample::seconds(&sample::healthy(), 8),
};

pub(super) fn rule(c: &mut Context<'_>) {
    let lasting = c.span(INFO.kind, "for");
    let snapshot = c.snapshot;
    // One finding for a collector at a target, however much it lacks there.
    let mut lacking: BTreeMap<(&str, &str), Vec<&Gap>> = BTreeMap::new();
    for gap in &snapshot.gaps {
        lacking
            .entry((&gap.target, &gap.collector))
            .or_default()
            .push(gap);
    }
    for ((target, collector), gaps) in lacking {
        let down = match snapshot.server(target) {
            Some(server) => !server.answers(),
            None => snapshot
                .components()
                .any(|(address, reach)| address == target && spoken_for(reach)),
        };
        let held = c.held(&format!("{}|{target}|{collector}", INFO.kind));
        if down || (held < lasting && c.mode == crate::judge::Mode::Watch) {
            continue;
        }
        let since = c.now().minus(held);
        let more = match gaps.len() {
            0 | 1 => String::new(),
            n => format!("; and {} more", n - 1),
        };
        let summary = format!("{collector} of {target} cannot be read: {}{more}", gaps[0].reason);
        let subject = Subject::new("collector", collector);
        let mut f = finding(INFO.kind, Severity::Warning, target, subject, since, summary);
        let all: Vec<_> = gaps
            .iter()
            .map(|g| json!({"reason": g.reason, "remedy": g.remedy}))
            .collect();
        f.evidence = evidence(json!({"reason": gaps[0].reason, "remedy": gaps[0].remedy, "gaps": all}));
        c.findings.push(f);
    }
}

/// Whether a rule of its own speaks for a pooler, a cache or an application.
fn spoken_for(reach: &Reach) -> bool {
    reach.silent() || matches!(reach, Reach::Full { .. } | Reach::Starting { .. })
}

#[cfg(test)]
mod tests {
    use muster_model::Gap;

    use super::super::sample::{server, snapshot, watched};

    #[test]
    fn a_gap_that_lasts_is_said() {
        let mut s = snapshot();
        s.servers = vec![server("a")];
        assert_eq!(watched(&s, 8), Vec::<String>::new());
        s.gaps.push(Gap {
            collector: "replication".into(),
            target: "shop/a".into(),
            reason: "no privilege".into(),
            remedy: None,
        });
        assert_eq!(watched(&s, 8), ["muster.blind"]);
    }

    #[test]
    fn two_gaps_of_a_collector_are_one_finding() {
        let mut s = super::super::sample::with_gap();
        let mut second = s.gaps[0].clone();
        second.reason = "another privilege".into();
        s.gaps.push(second);
        let told = super::super::sample::looks(std::iter::repeat_n(s, 8));
        let blind: Vec<_> = told
            .findings
            .iter()
            .filter(|f| f.kind == "muster.blind")
            .collect();
        assert_eq!(blind.len(), 1);
        assert!(
            blind[0].summary.contains("no privilege; and 1 more"),
            "{}",
            blind[0].summary
        );
    }
}
