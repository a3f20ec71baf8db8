//! `access.certificate_expiring`: the certificate that a server shows will soon be no good.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "access.certificate_expiring",
    title: "A server's certificate ends soon",
    about: "The last moment of the certificate that the server shows in our own TLS handshake. Clients that check it (sslmode \
            verify-ca or verify-full) are refused from then on, all at once.",
    ignores: "Servers to which we talk without TLS.",
    advice: "Put the new certificate and key in place and reload: sessions that are open stay. Then see that the new one is shown.",
    needs: &["certificate"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "21d",
            about: "less than so long is left",
        },
        KeyInfo {
            key: "critical",
            default: "3d",
            about: "less than so long is left: an incident",
        },
    ],
    specimen: || vec![sample::wal::certificate(24)],
    lookalike: || vec![sample::wal::certificate(24 * 90)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    for server in &snapshot.servers {
        let Some(certificate) = c.part(INFO.kind, server, &server.certificate, "its certificate") else {
            continue;
        };
        let Some(end) = certificate.not_after else {
            if certificate.tls {
                c.lacks(
                    INFO.kind,
                    &server.address,
                    "its certificate: its end cannot be read",
                );
            }
            continue;
        };
        let left = end.since(c.now());
        if left >= warning {
            continue;
        }
        let severe = left < critical;
        let held = c.held(&format!("{}|{}", INFO.kind, server.address));
        let said = if end <= c.now() {
            format!(
                "the certificate of {} ended {} ago: clients that check it are refused",
                server.address,
                c.now().since(end).human()
            )
        } else {
            format!(
                "the certificate of {} ends in {} ({end})",
                server.address,
                left.human()
            )
        };
        let mut f = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &server.address,
            Subject::new("certificate", &server.name),
            c.now().minus(held),
            said,
        );
        f.incident = severe;
        f.evidence = evidence(json!({"not_after": end, "left_ms": left.millis()}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::judged;
    use super::super::sample::wal::certificate;
    use super::INFO;

    fn said(hours: i64) -> Option<(Severity, bool, String)> {
        let f = judged(&certificate(hours))
            .findings
            .into_iter()
            .find(|f| f.kind == INFO.kind)?;
        Some((f.severity, f.incident, f.summary))
    }

    #[test]
    fn three_weeks_warn_three_days_are_an_incident_and_the_past_is_told_as_the_past() {
        assert_eq!(said(21 * 24), None);
        assert!(matches!(said(21 * 24 - 1), Some((Severity::Warning, false, _))));
        assert!(matches!(said(72), Some((Severity::Warning, false, _))));
        assert!(matches!(said(71), Some((Severity::Critical, true, _))));
        let (_, _, summary) = said(-5).expect("found");
        assert!(summary.contains("ended 5h ago"), "{summary}");
    }

    #[test]
    fn without_tls_there_is_none_and_one_that_cannot_be_read_is_unknown() {
        let mut s = certificate(1);
        let unknown = |s: &muster_model::Snapshot| judged(s).unknown.iter().any(|u| u.kind == INFO.kind);
        s.servers[0]
            .certificate
            .as_mut()
            .expect("certificate")
            .value
            .not_after = None;
        assert!(unknown(&s));
        s.servers[0].certificate.as_mut().expect("certificate").value.tls = false;
        assert!(!unknown(&s));
        s.servers[0].certificate = None;
        assert!(unknown(&s));
    }
}
