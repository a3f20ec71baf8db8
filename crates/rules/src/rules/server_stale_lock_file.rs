//! `server.stale_lock_file`: a server does not start because of a lock file or shared memory of one that is gone.

use muster_model::snapshot::LogClass;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{RuleInfo, evidence, finding, sample, server_start_refused};
use crate::hosts::{down_since, hosted, log};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "server.stale_lock_file",
    title: "A lock file is in the way",
    about: "The server is down and its log says that `postmaster.pid` exists, or that shared memory of an earlier server is still in use, while \
            the process that the lock file names is no PostgreSQL of this data folder: its number belongs to somebody else by now, or it is \
            dead and its children live on.",
    ignores: "A lock file whose process is a PostgreSQL of this folder: it is not stale, that server runs and does not answer.",
    advice: "Prove it by start time, program and working folder of the process first. Shared memory in use means that server processes without \
             their postmaster still run, and may write: end those, not the file.",
    needs: &["log", "host"],
    keys: &[],
    specimen: || vec![locked(Some(false))],
    lookalike: || vec![locked(Some(true))],
};

fn locked(serves: Option<bool>) -> muster_model::Snapshot {
    sample::host::down(|h| {
        let names = [("process", "4711"), ("how", "lock_file")];
        let text = "lock file \"postmaster.pid\" already exists";
        sample::host::says(
            h,
            vec![sample::host::event(
                5,
                LogClass::LockFile,
                muster_model::snapshot::LogLevel::Fatal,
                text,
                &names,
            )],
        );
        if let Some(p) = &mut h.postmaster {
            p.value.serves = serves;
        }
    })
}

pub(super) fn rule(c: &mut Context<'_>) {
    for (server, host) in hosted(c) {
        let Some(since) = down_since(server) else {
            continue;
        };
        let Some(log) = log(c, INFO.kind, server) else {
            continue;
        };
        let Some(e) =
            server_start_refused::reason(log, server, since).filter(|e| e.class == LogClass::LockFile)
        else {
            continue;
        };
        let Some(postmaster) = c.near(INFO.kind, server, &host.postmaster, "postmaster.pid") else {
            continue;
        };
        let memory = e.named.get("how").is_some_and(|h| h == "shared_memory");
        if !memory && postmaster.serves == Some(true) {
            continue;
        }
        let pid = postmaster
            .pid
            .map_or_else(|| "no process".to_owned(), |p| format!("process {p}"));
        let (text, proof) = match (memory, postmaster.serves) {
            (true, _) => (
                "shared memory of an earlier server is still in use: server processes without their postmaster still run".to_owned(),
                None,
            ),
            (false, Some(_)) => (
                format!("postmaster.pid names {pid}, which is no PostgreSQL of this data folder"),
                Some(format!("a server that runs: {pid} is none of this data folder")),
            ),
            (false, None) => (
                format!("postmaster.pid names {pid}; whether that is a PostgreSQL cannot be told"),
                None,
            ),
        };
        let mut f = finding(
            INFO.kind,
            Severity::Critical,
            &server.address,
            Subject::new("server", &server.name),
            since.min(e.at),
            format!("{} does not start: {text}", server.address),
        );
        f.incident = true;
        f.ruled_out.extend(proof);
        f.evidence = evidence(json!({
            "message": e.message, "at": e.at, "named": e.named, "pid": postmaster.pid, "serves": postmaster.serves,
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::judged;
    use super::locked;

    fn said(s: &muster_model::Snapshot) -> Option<String> {
        let all = judged(s).findings;
        all.into_iter()
            .find(|f| f.kind == "server.stale_lock_file")
            .map(|f| f.summary)
    }

    #[test]
    fn only_a_lock_file_of_nobody_is_stale() {
        assert!(said(&locked(Some(false))).is_some_and(|t| t.contains("process 47, which is no PostgreSQL")));
        assert!(said(&locked(None)).is_some_and(|t| t.contains("cannot be told")));
        assert_eq!(said(&locked(Some(true))), None);
        let mut up = locked(Some(false));
        up.servers[0].reach = muster_model::snapshot::Reach::Up;
        assert_eq!(said(&up), None);
    }

    #[test]
    fn a_lock_file_that_may_not_be_read_is_unknown() {
        let mut s = locked(Some(false));
        if let Some(h) = &mut s.servers[0].host {
            h.postmaster = None;
        }
        let j = judged(&s);
        assert!(j.unknown.iter().any(|u| u.kind == "server.stale_lock_file"));
    }
}
