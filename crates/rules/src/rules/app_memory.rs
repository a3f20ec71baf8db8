//! `app.memory`: an application says that its memory nearly reaches its limit.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::{apps, bytes, percent, said_by_log};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "app.memory",
    title: "An application's memory nears its limit",
    about: "`memory` of the health JSON: bytes in use against the limit, both by the application's own word.",
    ignores: "An application that says nothing of its memory.",
    advice: "See whether it grows without end or only with its load; restart one instance after the other before the limit ends \
             them all; then look for what is kept.",
    needs: &["app"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "80",
            about: "per cent of the limit; above it",
        },
        KeyInfo {
            key: "critical",
            default: "95",
            about: "per cent of the limit; above it",
        },
    ],
    specimen: || vec![using(90)],
    lookalike: || vec![using(80)],
};

/// An application that uses so many per cent of its memory.
fn using(percent: u64) -> muster_model::Snapshot {
    sample::app(|health| {
        health.memory = Some(muster_model::snapshot::AppMemory {
            used: percent << 20,
            limit: 100 << 20,
        });
    })
}

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    for (app, health) in apps(c, INFO.kind) {
        let Some(memory) = health.memory else { continue };
        let used = percent(memory.used, memory.limit);
        if used <= warning {
            continue;
        }
        let held = c.held(&format!("{}|{}", INFO.kind, app.address));
        let severity = if used > critical {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let mut f = finding(
            INFO.kind,
            severity,
            &app.address,
            Subject::new("app", &app.name),
            c.now().minus(held),
            format!(
                "{} uses {} of {} of its memory ({used:.0} %), by its own word",
                app.address,
                bytes(memory.used),
                bytes(memory.limit)
            ),
        );
        f.evidence = evidence(json!({"used": memory.used, "limit": memory.limit, "percent": used}));
        if let Some(said) = said_by_log(c, &app.address) {
            f.evidence.insert("log".to_owned(), said);
        }
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::beside::app;
    use super::super::sample::judged;
    use super::using;

    #[test]
    fn above_eighty_warns_and_above_ninety_five_is_critical() {
        let of = |percent: u64| judged(&using(percent)).findings.first().map(|f| f.severity);
        assert_eq!(of(80), None);
        assert_eq!(of(81), Some(Severity::Warning));
        assert_eq!(of(95), Some(Severity::Warning));
        assert_eq!(of(96), Some(Severity::Critical));
        let mut s = app(|_| {});
        assert!(judged(&s).unknown.is_empty(), "it says nothing of its memory");
        s.apps[0].health = None;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "app.memory"));
    }
}
