//! `server.backend_crashed`: a server process ended by a signal, so the server ended all sessions and recovered.

use muster_model::snapshot::LogClass;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::hosts::{hosted, log};
use crate::judge::Context;
use crate::rules::memory_oom::{deadly, kernel_killed};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "server.backend_crashed",
    title: "A server process crashed",
    about: "The server's log says that one of its processes was terminated by a signal and that all others were ended to begin anew: \
            every client lost its session, and the server went through crash recovery. Signals such as 11 or 6 are a fault in the server or \
            an extension, and an incident; signal 9 while the kernel counts no out-of-memory kill is a person or a supervisor.",
    ignores: "Helpers that die alone, workers that give up with an exit code, and kills for want of memory (`memory.oom`).",
    advice: "Read the statement that ran, look for a core file, compare versions of extensions. Never end a session with \
             kill -9: `muster session terminate` ends one without the others.",
    needs: &["log"],
    keys: &[KeyInfo {
        key: "within",
        default: "5m",
        about: "so long it is spoken of",
    }],
    specimen: || {
        vec![sample::host::hosted(|h| {
            sample::host::says(h, sample::host::killed(20, "11"));
        })]
    },
    lookalike: || {
        vec![sample::host::hosted(|h| {
            let mut events = sample::host::killed(20, "11");
            events.truncate(1);
            sample::host::says(h, events);
        })]
    },
};

pub(super) fn rule(c: &mut Context<'_>) {
    let within = c.span(INFO.kind, "within");
    for (server, host) in hosted(c) {
        let Some(log) = log(c, INFO.kind, server) else {
            continue;
        };
        let Some(e) = deadly(log, c.now(), within) else {
            continue;
        };
        let killed = e.class == LogClass::Killed;
        // Without that proof it is taken for a want of memory.
        if killed && kernel_killed(host, Some(e.at)) != Some(0) {
            continue;
        }
        let name = |key: &str| e.named.get(key).map_or("?", String::as_str);
        let how = match e.named.get("signal") {
            Some(signal) => format!("was ended by signal {signal}"),
            None => "ended itself".to_owned(),
        };
        let after = if server.answers() {
            "recovered from the crash"
        } else {
            "does not answer since"
        };
        let mut f = finding(
            INFO.kind,
            if killed {
                Severity::Warning
            } else {
                Severity::Critical
            },
            &server.address,
            Subject::new("server", &server.name),
            e.at,
            format!(
                "{} {} {how}; the server ended all sessions and {after}",
                name("what"),
                name("process")
            ),
        );
        f.incident = !killed;
        if killed {
            f.ruled_out
                .push("memory.oom: the kernel counts no out-of-memory kill".to_owned());
        }
        f.evidence = evidence(json!({
            "process": e.named.get("process"), "signal": e.named.get("signal"), "statement": e.named.get("statement"),
            "at": e.at, "answers": server.answers(),
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::host::{down, hosted, killed, says};
    use super::super::sample::{judged, kinds};

    #[test]
    fn a_fault_is_an_incident_and_a_kill_by_hand_a_warning() {
        let said = |signal| judged(&hosted(|h| says(h, killed(20, signal)))).findings;
        let fault = said("11");
        assert_eq!((fault[0].severity, fault[0].incident), (Severity::Critical, true));
        assert!(
            fault[0].summary.contains("4711 was ended by signal 11"),
            "{}",
            fault[0].summary
        );
        assert!(fault[0].summary.ends_with("recovered from the crash"));
        let gone = judged(&down(|h| says(h, killed(20, "11")))).findings;
        let gone = gone
            .iter()
            .find(|f| f.kind == "server.backend_crashed")
            .expect("found");
        assert!(
            gone.summary.ends_with("does not answer since"),
            "{}",
            gone.summary
        );
        let by_hand = said("9");
        assert_eq!(
            (by_hand[0].severity, by_hand[0].incident),
            (Severity::Warning, false)
        );
        assert!(by_hand[0].ruled_out[0].contains("memory.oom"));
    }

    #[test]
    fn what_is_long_ago_is_over_and_an_unread_log_is_unknown() {
        assert_eq!(kinds(&judged(&hosted(|h| says(h, killed(301, "11"))))), [""; 0]);
        let j = judged(&hosted(|h| h.log = None));
        assert!(j.unknown.iter().any(|u| u.kind == "server.backend_crashed"));
    }
}
