//! `settings.invalid`: the settings files hold lines that the server refuses.

use muster_model::snapshot::BadLine;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::size::several;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "settings.invalid",
    title: "The settings files hold lines that the server refuses",
    about: "The server was asked what it thinks of postgresql.conf and all that it includes, as they are on its disk now. A line that it \
            refuses keeps a reload from working, and the server from starting the next time. What is right and waits for a restart is \
            information.",
    ignores: "A line that a later one replaces.",
    advice: "Correct the line that is named, then reload. An unknown name hides what is wrong after it: look again. Do it before the \
             next restart, not after.",
    needs: &["files"],
    keys: &[],
    specimen: || vec![sample::wal::bad_lines(1, 0, 0)],
    lookalike: || vec![sample::wal::bad_lines(0, 0, 1)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        let Some(files) = c.part(INFO.kind, server, &server.files, "its settings files") else {
            continue;
        };
        let (Some(invalid), Some(waiting)) = (&files.invalid, &files.waiting) else {
            c.lacks(
                INFO.kind,
                &server.address,
                "its settings files: this role may not ask",
            );
            continue;
        };
        let mut say = |word: &str, severity, lines: &[BadLine], what: String| {
            let held = c.held(&format!("{}|{}|{word}", INFO.kind, server.address));
            let mut f = finding(
                INFO.kind,
                severity,
                &server.address,
                Subject::new(word, &server.name),
                c.now().minus(held),
                what,
            );
            f.evidence =
                evidence(json!({"lines": lines.iter().take(20).collect::<Vec<_>>(), "count": lines.len()}));
            c.findings.push(f);
        };
        if let Some(first) = invalid.first() {
            let what = format!(
                "{} refuses {} of its settings files, the first {}: {}; as they are it does not start again",
                server.address,
                lines(invalid.len()),
                place(first),
                first.error
            );
            say("settings_file", Severity::Warning, invalid, what);
        }
        if !waiting.is_empty() {
            let names: Vec<&str> = waiting.iter().filter_map(|l| l.name.as_deref()).collect();
            let what = format!(
                "{} waits for a restart to take over {}",
                server.address,
                names.join(", ")
            );
            say("restart", Severity::Info, waiting, what);
        }
    }
}

/// `1 line`, `3 lines`.
pub(super) fn lines(n: usize) -> String {
    several(n as u64, "line")
}

/// `work_mem in postgresql.conf:7`.
pub(super) fn place(l: &BadLine) -> String {
    let name = l.name.as_ref().map_or(String::new(), |n| format!("{n} in "));
    format!("{name}{}:{}", l.file, l.line)
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::judged;
    use super::super::sample::wal::bad_lines;
    use super::INFO;

    fn said(s: &muster_model::Snapshot) -> Vec<(Severity, String)> {
        let mine = judged(s).findings.into_iter().filter(|f| f.kind == INFO.kind);
        mine.map(|f| (f.severity, f.summary)).collect()
    }

    #[test]
    fn a_refused_line_warns_and_a_restart_that_is_due_is_information() {
        assert_eq!(said(&bad_lines(0, 0, 2)), []);
        assert_eq!(
            said(&bad_lines(2, 0, 0)),
            [(
                Severity::Warning,
                "shop/a refuses 2 lines of its settings files, the first work_mem in postgresql.conf:7: setting could not be \
                 applied; as they are it does not start again"
                    .to_owned()
            )]
        );
        let due = said(&bad_lines(0, 1, 0));
        assert_eq!(due[0].0, Severity::Info);
        assert!(due[0].1.ends_with("take over max_connections"), "{}", due[0].1);
    }

    #[test]
    fn files_that_may_not_be_asked_for_are_unknown() {
        let unknown = |s: &muster_model::Snapshot| judged(s).unknown.iter().any(|u| u.kind == INFO.kind);
        let mut s = bad_lines(1, 0, 0);
        s.servers[0].files.as_mut().expect("files").value.invalid = None;
        assert!(unknown(&s) && said(&s).is_empty());
        s.servers[0].files = None;
        assert!(unknown(&s));
    }
}
