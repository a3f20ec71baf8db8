//! `server.start_refused`: a server is down, and its log says what keeps it from starting.

use muster_model::snapshot::{LogClass, LogEvent, LogLevel, ServerLog, ServerView};
use muster_model::{Severity, Span, Subject, Time};
use serde_json::json;

use super::{RuleInfo, evidence, finding, sample};
use crate::hosts::{down_since, hosted, log};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "server.start_refused",
    title: "A server does not start",
    about: "The server does not answer, and the last thing its log says, after it was last ready, is why it cannot start: permissions, a \
            data folder of another version, a setting, a port that is taken, no space, a damaged file.",
    ignores: "A server that somebody stopped; a wrong setting that a running server refused to take over; a lock file in the way \
              (`server.stale_lock_file`).",
    advice: "Do what the reason says; nothing is gained by starting again.",
    needs: &["log"],
    keys: &[],
    specimen: || vec![sample::host::down(|h| sample::host::says(h, refused()))],
    lookalike: || {
        vec![sample::host::down(|h| {
            let mut events = refused();
            events.extend([
                sample::host::event(
                    50,
                    LogClass::Ready,
                    LogLevel::Log,
                    "database system is ready",
                    &[],
                ),
                sample::host::event(
                    9,
                    LogClass::Stopping,
                    LogLevel::Log,
                    "received fast shutdown request",
                    &[],
                ),
            ]);
            sample::host::says(h, events);
        })]
    },
};

fn refused() -> Vec<LogEvent> {
    use sample::host::event;
    vec![
        event(
            90,
            LogClass::Stopping,
            LogLevel::Log,
            "received fast shutdown request",
            &[],
        ),
        event(
            60,
            LogClass::Config,
            LogLevel::Log,
            "unrecognized configuration parameter \"shard_buffers\"",
            &[("setting", "shard_buffers")],
        ),
        event(
            60,
            LogClass::Config,
            LogLevel::Fatal,
            "configuration file \"x.conf\" contains errors",
            &[],
        ),
    ]
}

const REASONS: &[LogClass] = &[
    LogClass::Permission,
    LogClass::Version,
    LogClass::Config,
    LogClass::Port,
    LogClass::Disk,
    LogClass::Corruption,
    LogClass::Panic,
    LogClass::LockFile,
];

/// What was said longer before it was first missed does not keep it from starting: a client's error of yesterday.
const BEFORE: Span = Span::from_mins(1);

/// Why the last start was refused: the newest reason after which the server was neither ready nor asked to stop, and that was
/// told since it is down. Of a server that was never seen it is not known since when it is down.
pub(super) fn reason<'l>(log: &'l ServerLog, server: &ServerView, down: Time) -> Option<&'l LogEvent> {
    let from = server.identity.as_ref().map(|_| down.minus(BEFORE));
    newest(log).filter(|e| from.is_none_or(|from| e.at >= from))
}

fn newest(log: &ServerLog) -> Option<&LogEvent> {
    let over = |e: &LogEvent| matches!(e.class, LogClass::Ready | LogClass::Stopping);
    let after = log.events.iter().rposition(over).map_or(0, |i| i + 1);
    let said = &log.events[after..];
    let last = said
        .iter()
        .rposition(|e| REASONS.contains(&e.class) && e.level >= LogLevel::Fatal)?;
    let end = &said[last];
    // What was said just before, of the same class, is more exact than `contains errors`.
    let exact = said[..last]
        .iter()
        .rev()
        .take_while(|e| e.class == end.class && end.at.since(e.at).millis() <= 5000)
        .find(|e| !e.named.is_empty());
    Some(
        exact
            .filter(|_| end.named.is_empty() || end.class == LogClass::Config)
            .unwrap_or(end),
    )
}

fn word(class: LogClass) -> &'static str {
    match class {
        LogClass::Permission => "permissions",
        LogClass::Version => "version",
        LogClass::Config => "configuration",
        LogClass::Port => "port",
        LogClass::Disk => "no space",
        LogClass::Corruption => "a damaged file",
        _ => "panic",
    }
}

pub(super) fn rule(c: &mut Context<'_>) {
    for (server, _) in hosted(c) {
        let Some(since) = down_since(server) else {
            continue;
        };
        let Some(log) = log(c, INFO.kind, server) else {
            continue;
        };
        let Some(e) = reason(log, server, since).filter(|e| e.class != LogClass::LockFile) else {
            continue;
        };
        let file = e.named.get("file").filter(|f| !e.message.contains(f.as_str()));
        let place = file.map(|f| format!(" in {f}")).unwrap_or_default();
        let mut f = finding(
            INFO.kind,
            Severity::Critical,
            &server.address,
            Subject::new("server", &server.name),
            since.min(e.at),
            format!(
                "{} does not start ({}): {}{place}",
                server.address,
                word(e.class),
                e.message
            ),
        );
        f.incident = true;
        f.evidence = evidence(json!({
            "why": e.class, "message": e.message, "named": e.named, "at": e.at, "dated": e.dated,
        }));
        f.ruled_out
            .push("a stop that somebody asked for: the log has none after the last start".to_owned());
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::IncidentSeverity;
    use muster_model::snapshot::{Holding, LogClass, LogLevel};

    use super::super::sample::host::{down, event, hosted, says, volume};
    use super::super::sample::judged;
    use super::refused;
    use crate::correlate::correlate;

    fn said(events: Vec<muster_model::snapshot::LogEvent>) -> Option<String> {
        let all = judged(&down(|h| says(h, events))).findings;
        all.into_iter()
            .find(|f| f.kind == "server.start_refused")
            .map(|f| f.summary)
    }

    #[test]
    fn the_most_exact_reason_is_named() {
        let text = said(refused()).expect("found");
        assert!(
            text.contains("(configuration): unrecognized configuration parameter \"shard_buffers\""),
            "{text}"
        );
        let version = vec![
            event(9, LogClass::Starting, LogLevel::Log, "starting", &[]),
            event(
                9,
                LogClass::Version,
                LogLevel::Fatal,
                "database files are incompatible with server",
                &[("data", "15")],
            ),
            event(
                9,
                LogClass::Stopped,
                LogLevel::Log,
                "database system is shut down",
                &[],
            ),
        ];
        assert!(said(version).is_some_and(|t| t.contains("(version)")));
    }

    #[test]
    fn what_was_said_long_before_it_was_missed_does_not_keep_it_from_starting() {
        let old = |ago, seen: bool| {
            let text = "could not open file \"base/1/2\": Permission denied";
            let events = vec![event(ago, LogClass::Permission, LogLevel::Fatal, text, &[])];
            let mut s = down(|h| says(h, events));
            if !seen {
                s.servers[0].identity = None;
            }
            let all = judged(&s).findings;
            all.iter().any(|f| f.kind == "server.start_refused")
        };
        assert!(old(62, true) && !old(63, true) && !old(86_400, true));
        assert!(old(86_400, false), "since when it is down is not known");
    }

    #[test]
    fn a_server_that_answers_or_was_stopped_or_is_locked_is_not_refused() {
        let up = judged(&hosted(|h| says(h, refused())));
        assert!(!up.findings.iter().any(|f| f.kind == "server.start_refused"));
        let mut stopped = refused();
        stopped.push(event(
            5,
            LogClass::Stopping,
            LogLevel::Log,
            "received fast shutdown request",
            &[],
        ));
        assert_eq!(said(stopped), None);
        let locked = vec![event(5, LogClass::LockFile, LogLevel::Fatal, "lock file", &[])];
        assert_eq!(said(locked), None);
        let reload = vec![event(
            5,
            LogClass::Config,
            LogLevel::Log,
            "invalid value",
            &[("setting", "x")],
        )];
        assert_eq!(said(reload), None, "a running server said so");
    }

    #[test]
    fn what_keeps_a_primary_from_starting_is_the_one_cause_and_as_bad_as_its_absence() {
        let roots = |s: &muster_model::Snapshot| {
            let found = correlate(s, &judged(s).findings);
            let all = found.roots.into_iter();
            all.map(|r| (r.cause.kind, r.severity, r.opens, r.symptoms.len()))
                .collect::<Vec<_>>()
        };
        let s = down(|h| says(h, refused()));
        assert_eq!(
            roots(&s),
            [("server.start_refused".to_owned(), IncidentSeverity::P0, true, 1)]
        );
        let full = down(|h| {
            let text = "could not write to file \"pg_wal/xlogtemp.7\": No space left on device";
            says(
                h,
                vec![event(
                    9,
                    LogClass::Disk,
                    LogLevel::Fatal,
                    text,
                    &[("file", "pg_wal/xlogtemp.7")],
                )],
            );
            if let Some(d) = &mut h.disks {
                d.value.volumes[1] = volume("/srv/wal", 2, 100, &[Holding::Wal]);
            }
        });
        assert_eq!(
            roots(&full),
            [("disk.wal_full".to_owned(), IncidentSeverity::P0, true, 2)]
        );
    }

    #[test]
    fn an_unread_log_of_a_server_that_is_down_is_unknown() {
        let j = judged(&down(|h| h.log = None));
        assert!(j.unknown.iter().any(|u| u.kind == "server.start_refused"));
    }
}
