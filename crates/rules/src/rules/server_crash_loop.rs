//! `server.crash_loop`: a server crashes again and again.

use muster_model::snapshot::{LogClass, LogEvent};
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::hosts::{hosted, log};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "server.crash_loop",
    title: "A server crashes again and again",
    about: "At least 3 crashes in 10 min by the server's log: all sessions ended to begin anew, a recovery that failed, or a start that finds \
            the traces of a crash.",
    ignores: "Stops that somebody asked for, an immediate one too, and starts after them.",
    advice: "Stop what starts it again, then find what it crashes of: the statement that ran, no space, memory, a damaged file.",
    needs: &["log"],
    keys: &[
        KeyInfo {
            key: "cycles",
            default: "3",
            about: "crashes",
        },
        KeyInfo {
            key: "within",
            default: "10m",
            about: "in so long",
        },
    ],
    specimen: || vec![sample::host::hosted(|h| sample::host::says(h, crashes(3)))],
    lookalike: || {
        vec![sample::host::hosted(|h| {
            let stop = |ago| {
                use muster_model::snapshot::LogLevel::Log;
                [
                    sample::host::event(
                        ago,
                        LogClass::Stopping,
                        Log,
                        "received immediate shutdown request",
                        &[],
                    ),
                    sample::host::event(ago - 1, LogClass::Starting, Log, "starting PostgreSQL", &[]),
                    sample::host::event(
                        ago - 2,
                        LogClass::CrashRecovery,
                        Log,
                        "database system was interrupted",
                        &[],
                    ),
                    sample::host::event(ago - 3, LogClass::Ready, Log, "database system is ready", &[]),
                ]
            };
            sample::host::says(h, [400, 300, 200, 100].into_iter().flat_map(stop).collect());
        })]
    },
};

fn crashes(n: i64) -> Vec<LogEvent> {
    (0..n)
        .rev()
        .flat_map(|i| sample::host::killed(20 + i * 60, "11"))
        .collect()
}

pub(super) fn rule(c: &mut Context<'_>) {
    let (cycles, within) = (c.number(INFO.kind, "cycles"), c.span(INFO.kind, "within"));
    for (server, _) in hosted(c) {
        let Some(log) = log(c, INFO.kind, server) else {
            continue;
        };
        let crashes = log.crashes(c.now(), within);
        let many = f64::from(u32::try_from(crashes.len()).unwrap_or(u32::MAX));
        let Some(first) = crashes.first().filter(|_| many >= cycles) else {
            continue;
        };
        // What ended it, as far as the log says.
        let causes = [
            LogClass::Killed,
            LogClass::Crashed,
            LogClass::Panic,
            LogClass::Disk,
            LogClass::Corruption,
        ];
        let last = log.within(&causes, c.now(), within).next_back();
        let why = last
            .map(|e| format!("; the last one: {}", e.message))
            .unwrap_or_default();
        let mut f = finding(
            INFO.kind,
            Severity::Critical,
            &server.address,
            Subject::new("server", &server.name),
            first.at,
            format!(
                "{} crashed {} times in {}{why}",
                server.address,
                crashes.len(),
                within.human()
            ),
        );
        f.incident = true;
        f.evidence = evidence(json!({
            "crashes": crashes.iter().map(|e| e.at).collect::<Vec<_>>(), "last": last.map(|e| &e.message),
            "named": last.map(|e| &e.named), "answers": server.answers(),
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::host::{hosted, says};
    use super::super::sample::judged;
    use super::crashes;

    #[test]
    fn three_crashes_in_ten_minutes_are_a_loop() {
        let found = |n| {
            let all = judged(&hosted(|h| says(h, crashes(n)))).findings;
            all.into_iter().find(|f| f.kind == "server.crash_loop")
        };
        assert!(found(2).is_none());
        let f = found(3).expect("found");
        assert!(
            f.incident && f.summary.contains("crashed 3 times in 10m"),
            "{}",
            f.summary
        );
        let j = judged(&hosted(|h| h.log = None));
        assert!(j.unknown.iter().any(|u| u.kind == "server.crash_loop"));
    }
}
