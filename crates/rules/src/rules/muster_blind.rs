//! `muster.blind`: something that rules need cannot be read, though the target answers.

use muster_model::snapshot::Reach;
use muster_model::{Severity, Subject};
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
    for gap in &c.snapshot.gaps {
        let down = match c.snapshot.server(&gap.target) {
            Some(server) => !server.answers(),
            None => c
                .snapshot
                .components()
                .any(|(address, reach)| *address == gap.target && spoken_for(reach)),
        };
        let held = c.held(&format!("{}|{}|{}", INFO.kind, gap.target, gap.collector));
        if down || (held < lasting && c.mode == crate::judge::Mode::Watch) {
            continue;
        }
        let since = c.now().minus(held);
        let subject = Subject::new("collector", &gap.collector);
        let summary = format!(
            "{} of {} cannot be read: {}",
            gap.collector, gap.target, gap.reason
        );
        let mut f = finding(INFO.kind, Severity::Warning, &gap.target, subject, since, summary);
        f.evidence = evidence(json!({"reason": gap.reason, "remedy": gap.remedy}));
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
}
