//! `memory.oom`: the kernel killed a process of the server, or of its host, for want of memory.

use muster_model::snapshot::{LogClass, LogEvent, ServerLog};
use muster_model::{Severity, Span, Subject, Time};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::hosts::{hosted, size};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "memory.oom",
    title: "Killed for want of memory",
    about: "The server's log says that a process was terminated by signal 9 and all sessions were ended to recover, and the kernel's \
            count of out-of-memory kills grew, or cannot tell. The count alone, without a process of the server in the log, is a warning: \
            somebody else on the host was killed.",
    ignores: "A process that a person killed: signal 9 while the kernel's count stands still is `server.backend_crashed`.",
    advice: "Find who needed the memory (work_mem times operations times sessions, a leak, another program), lower it, set \
             vm.overcommit_memory=2. Restart nothing: the server has recovered by itself, or says why not.",
    needs: &["log", "host"],
    keys: &[KeyInfo {
        key: "within",
        default: "5m",
        about: "so long it is spoken of; not longer than the five minutes of the counter",
    }],
    specimen: || {
        vec![sample::host::hosted(|h| {
            sample::host::says(h, sample::host::killed(20, "9"));
            if let Some(m) = &mut h.memory {
                m.value.oom_kills = Some(sample::host::kills(1));
            }
        })]
    },
    lookalike: || {
        vec![sample::host::hosted(|h| {
            sample::host::says(h, sample::host::killed(20, "9"));
        })]
    },
};

/// A process that ended by a signal so that all sessions were ended.
pub(super) fn deadly(log: &ServerLog, now: Time, within: Span) -> Option<&LogEvent> {
    let place = log.events.iter().rposition(|e| {
        matches!(e.class, LogClass::Killed | LogClass::Crashed) && e.dated && now.since(e.at) <= within
    })?;
    // A helper process (an archiver, a worker) may die alone.
    let anew = log.events[place..]
        .iter()
        .any(|e| e.class == LogClass::Reinitializing);
    anew.then(|| &log.events[place])
}

/// What the kernel's counter says of the time since an event: `None` when it was not read, or began later.
pub(super) fn kernel_killed(host: &muster_model::snapshot::HostView, since: Option<Time>) -> Option<u64> {
    let counted = host.memory.as_ref()?.value.oom_kills.as_ref()?;
    let before = counted.five_minutes.as_ref()?;
    let grown = counted.in_five_minutes(|n| *n)?.by;
    // A counter that began after the event knows of it only by growing.
    let knows = grown > 0 || since.is_none_or(|t| before.at <= t);
    knows.then_some(grown)
}

pub(super) fn rule(c: &mut Context<'_>) {
    let within = c.span(INFO.kind, "within");
    for (server, host) in hosted(c) {
        let memory = c.near(INFO.kind, server, &host.memory, "memory of its host");
        let log = c.near(INFO.kind, server, &host.log, "the server's log");
        let dead = log
            .and_then(|l| deadly(l, c.now(), within))
            .filter(|e| e.class == LogClass::Killed);
        let grown = kernel_killed(host, dead.map(|e| e.at));
        let (severity, since, summary) = match (dead, grown) {
            (Some(e), n) if n != Some(0) => {
                let pid = e.named.get("process").map_or("?", String::as_str);
                let counted = match n {
                    Some(1) => "the kernel counts 1 out-of-memory kill since".to_owned(),
                    Some(n) => format!("the kernel counts {n} out-of-memory kills since"),
                    None => "whether the kernel did it cannot be told".to_owned(),
                };
                let text = format!(
                    "process {pid} of the server was killed by signal 9 and all sessions were ended; {counted}"
                );
                (Severity::Critical, e.at, text)
            }
            (None, Some(n)) if n > 0 => {
                let killed = |e: &LogEvent| e.class == LogClass::Killed && c.now().since(e.at) <= within;
                let whose = match log {
                    Some(l) if server.answers() && !l.events.iter().any(killed) => {
                        "none of them was the server's"
                    }
                    Some(_) => "whether one of them was the server's is not known",
                    None => "whether one of them was the server's is not known: its log was not read",
                };
                let text = format!(
                    "the kernel killed {} of the host for want of memory; {whose}",
                    if n == 1 {
                        "1 process".to_owned()
                    } else {
                        format!("{n} processes")
                    }
                );
                // The counter tells of five minutes, and of the kill when it was first seen.
                let held = c.held(&format!("{}|{}|counted", INFO.kind, server.address));
                (Severity::Warning, c.now().minus(held), text)
            }
            _ => continue,
        };
        let mut f = finding(
            INFO.kind,
            severity,
            &server.address,
            Subject::new("server", &server.name),
            since,
            summary,
        );
        f.incident = severity == Severity::Critical;
        f.evidence = evidence(json!({
            "process": dead.and_then(|e| e.named.get("process")), "statement": dead.and_then(|e| e.named.get("statement")),
            "kernel_kills": grown, "available": memory.map(|m| m.available), "total": memory.map(|m| m.total),
            "largest": memory.map(|m| m.backends.iter().take(5).map(|b| json!({"pid": b.pid, "own": size(b.own)})).collect::<Vec<_>>()),
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;
    use muster_model::snapshot::LogClass;

    use super::super::sample::host::{hosted, killed, kills, says};
    use super::super::sample::{judged, kinds};

    fn case(events: bool, grown: Option<u64>) -> Vec<(String, Severity, bool)> {
        let s = hosted(|h| {
            if events {
                says(h, killed(20, "9"));
            }
            if let Some(m) = &mut h.memory {
                m.value.oom_kills = grown.map(kills);
            }
        });
        let all = judged(&s).findings;
        all.into_iter()
            .map(|f| (f.kind, f.severity, f.incident))
            .collect()
    }

    #[test]
    fn the_kernels_counter_tells_a_kill_by_hand_from_one_for_want_of_memory() {
        let oom = || "memory.oom".to_owned();
        assert_eq!(case(true, Some(1)), [(oom(), Severity::Critical, true)]);
        assert_eq!(
            case(true, None),
            [(oom(), Severity::Critical, true)],
            "cannot be told"
        );
        assert_eq!(case(false, Some(2)), [(oom(), Severity::Warning, false)]);
        assert_eq!(case(false, Some(0)), []);
        let by_hand = case(true, Some(0));
        assert_eq!(by_hand.len(), 1);
        assert_eq!(by_hand[0].0, "server.backend_crashed");
    }

    #[test]
    fn whose_the_killed_were_is_said_only_when_it_is_known() {
        let said = |spoil: &dyn Fn(&mut muster_model::Snapshot)| {
            let mut s = hosted(|h| {
                if let Some(m) = &mut h.memory {
                    m.value.oom_kills = Some(kills(1));
                }
            });
            spoil(&mut s);
            let all = judged(&s).findings;
            let oom = all.into_iter().find(|f| f.kind == "memory.oom");
            oom.map(|f| f.summary).unwrap_or_default()
        };
        assert!(
            said(&|_| ())
                .ends_with("1 process of the host for want of memory; none of them was the server's")
        );
        let host = |s: &mut muster_model::Snapshot, f: &dyn Fn(&mut muster_model::snapshot::HostView)| {
            if let Some(h) = &mut s.servers[0].host {
                f(h);
            }
        };
        assert!(said(&|s| host(s, &|h| h.log = None)).ends_with("its log was not read"));
        let helper = said(&|s| {
            host(s, &|h| {
                let mut events = killed(20, "9");
                events.retain(|e| e.class == LogClass::Killed);
                says(h, events);
            });
        });
        assert!(helper.ends_with("is not known"), "{helper}");
        let down = said(&|s| s.servers[0].reach = super::super::sample::down(3).servers[0].reach.clone());
        assert!(down.ends_with("is not known"), "{down}");
    }

    #[test]
    fn a_helper_that_died_alone_and_one_of_long_ago_are_nothing() {
        let s = |ago, alone: bool| {
            hosted(|h| {
                let mut events = killed(ago, "9");
                if alone {
                    events.retain(|e| e.class == LogClass::Killed);
                }
                says(h, events);
                if let Some(m) = &mut h.memory {
                    m.value.oom_kills = None;
                }
            })
        };
        assert_eq!(kinds(&judged(&s(300, false))), ["memory.oom"]);
        assert_eq!(kinds(&judged(&s(301, false))), [""; 0]);
        assert_eq!(kinds(&judged(&s(20, true))), [""; 0]);
    }

    #[test]
    fn a_log_that_was_not_read_is_unknown() {
        let j = judged(&hosted(|h| h.log = None));
        assert!(j.unknown.iter().any(|u| u.kind == "memory.oom"));
    }
}
