//! `memory.growth`: server processes grow for hours, or one of them has a large part of the memory.

use muster_model::snapshot::BackendMemory;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::hosts::{hosted, size};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "memory.growth",
    title: "Server processes grow",
    about: "A server process's own memory (without shared buffers) grew by 50 MB an hour in each third of at least 3 h, or is more than 25 % \
            of the memory. Critical when less than 10 % of the memory is left.",
    ignores: "Shared buffers, which look like a process's memory once it has touched them; a cache that fills and stays.",
    advice: "Find what the owner does (prepared statements, plans and catalogue caches of many partitions, a huge result), and let its \
             sessions be renewed: a pooler's server_lifetime, or the pool's.",
    needs: &["host"],
    keys: &[
        KeyInfo {
            key: "growth",
            default: "50",
            about: "MB an hour",
        },
        KeyInfo {
            key: "for",
            default: "3h",
            about: "over at least so long",
        },
        KeyInfo {
            key: "share",
            default: "25",
            about: "per cent of the memory in one process",
        },
        KeyInfo {
            key: "available",
            default: "10",
            about: "per cent of the memory left: critical",
        },
    ],
    specimen: || vec![sample::host::backend(600, 60.0, 180)],
    lookalike: || vec![sample::host::backend(600, 60.0, 60)],
};

const MB: f64 = 1024.0 * 1024.0;

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub(super) fn rule(c: &mut Context<'_>) {
    let (growth, lasting) = (c.number(INFO.kind, "growth") * MB, c.span(INFO.kind, "for"));
    let (share, least) = (c.number(INFO.kind, "share"), c.number(INFO.kind, "available"));
    for (server, host) in hosted(c) {
        let Some(memory) = c.near(INFO.kind, server, &host.memory, "memory of its host") else {
            continue;
        };
        let total = memory.total.max(1) as f64;
        let grows = |b: &BackendMemory| b.over >= lasting && b.per_hour.is_some_and(|g| g >= growth);
        let large = |b: &BackendMemory| b.own as f64 * 100.0 / total > share;
        let bad: Vec<&BackendMemory> = memory.backends.iter().filter(|b| grows(b) || large(b)).collect();
        let Some(most) = bad.first() else {
            continue;
        };
        let owner = |pid: i32| {
            let sessions = server.activity.as_ref().map(|a| &a.value.sessions)?;
            sessions
                .iter()
                .find(|s| s.pid == pid)
                .map(muster_model::snapshot::Session::owner)
        };
        let left = memory.available as f64 * 100.0 / total;
        let severe = left < least;
        let whose = owner(most.pid).map(|o| format!(" of {o}")).unwrap_or_default();
        let mut text = format!("process {}{whose} has {} for itself", most.pid, size(most.own));
        if let Some(per_hour) = most.per_hour.filter(|_| grows(most)) {
            text += &format!(
                ", {} more every hour for {}",
                size(per_hour as u64),
                most.over.human()
            );
        }
        if bad.len() > 1 {
            text += &format!("; {} processes are like it", bad.len() - 1);
        }
        text += &format!("; {} of {} are left", size(memory.available), size(memory.total));
        let mut f = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &server.address,
            Subject::new("server", &server.name),
            c.now().minus(most.over),
            text,
        );
        f.incident = severe;
        let list = bad.iter().take(10).map(|b| {
            json!({"pid": b.pid, "owner": owner(b.pid), "own": b.own, "per_hour": b.per_hour, "over_ms": b.over.millis()})
        });
        f.evidence = evidence(json!({
            "processes": list.collect::<Vec<_>>(), "available": memory.available, "total": memory.total, "own": memory.own,
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::host::{backend, hosted};
    use super::super::sample::{judged, kinds, session};

    #[test]
    fn three_hours_of_fifty_megabytes_or_a_quarter_of_the_memory() {
        let said = |own, per_hour, minutes| !judged(&backend(own, per_hour, minutes)).findings.is_empty();
        assert!(said(600, 50.0, 180));
        assert!(!said(600, 49.0, 180));
        assert!(!said(600, 50.0, 179));
        assert!(said(4097, 0.0, 1), "more than 4 of 16 GB");
        assert!(!said(4096, 0.0, 1));
    }

    #[test]
    fn it_names_the_owner_and_is_critical_when_hardly_anything_is_left() {
        let mut s = backend(600, 60.0, 200);
        if let Some(a) = &mut s.servers[0].activity {
            a.value.sessions = vec![session(4711, "idle", 10)];
        }
        let j = judged(&s);
        assert_eq!(j.findings[0].severity, Severity::Warning);
        assert!(
            j.findings[0].summary.contains("4711 of app/notes has 600 MB"),
            "{}",
            j.findings[0].summary
        );
        if let Some(m) = s.servers[0].host.as_mut().and_then(|h| h.memory.as_mut()) {
            m.value.available = m.value.total / 20;
        }
        let j = judged(&s);
        assert!(j.findings[0].incident && j.findings[0].severity == Severity::Critical);
        assert_eq!(kinds(&j), ["memory.growth"]);
    }

    #[test]
    fn memory_that_was_not_read_is_unknown() {
        let j = judged(&hosted(|h| h.memory = None));
        assert!(j.unknown.iter().any(|u| u.kind == "memory.growth"));
    }
}
