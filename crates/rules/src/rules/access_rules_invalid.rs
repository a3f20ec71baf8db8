//! `access.rules_invalid`: `pg_hba.conf` holds lines that the server refuses.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::settings_invalid::{lines, place};
use super::{RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "access.rules_invalid",
    title: "pg_hba.conf holds lines that the server refuses",
    about: "The server was asked what it thinks of pg_hba.conf as it is on its disk now. With one line that it refuses a reload keeps \
            all the old rules, so no change to them works, and the server does not start the next time.",
    ignores: "Rules that are right and let nobody in: that is somebody's choice.",
    advice: "Correct the line that is named, then reload, before the next restart.",
    needs: &["files"],
    keys: &[],
    specimen: || vec![sample::wal::bad_lines(0, 0, 1)],
    lookalike: || vec![sample::wal::bad_lines(1, 0, 0)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        let Some(files) = c.part(INFO.kind, server, &server.files, "its access rules") else {
            continue;
        };
        let Some(rules) = &files.rules_invalid else {
            c.lacks(
                INFO.kind,
                &server.address,
                "its access rules: this role may not ask",
            );
            continue;
        };
        let Some(first) = rules.first() else { continue };
        let held = c.held(&format!("{}|{}", INFO.kind, server.address));
        let mut f = finding(
            INFO.kind,
            Severity::Warning,
            &server.address,
            Subject::new("access_rules", &server.name),
            c.now().minus(held),
            format!(
                "{} refuses {} of its access rules, the first {}: {}; the old rules stay, and as the file is it does not start again",
                server.address,
                lines(rules.len()),
                place(first),
                first.error
            ),
        );
        f.evidence =
            evidence(json!({"lines": rules.iter().take(20).collect::<Vec<_>>(), "count": rules.len()}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::judged;
    use super::super::sample::wal::bad_lines;
    use super::INFO;

    #[test]
    fn a_refused_rule_warns_with_its_line_and_unread_is_unknown() {
        let j = judged(&bad_lines(0, 0, 1));
        let f = j.findings.iter().find(|f| f.kind == INFO.kind).expect("found");
        assert!(
            f.summary
                .contains("refuses 1 line of its access rules, the first pg_hba.conf:7"),
            "{}",
            f.summary
        );
        assert!(
            !judged(&bad_lines(1, 1, 0))
                .findings
                .iter()
                .any(|f| f.kind == INFO.kind)
        );
        let mut s = bad_lines(0, 0, 1);
        s.servers[0].files.as_mut().expect("files").value.rules_invalid = None;
        let j = judged(&s);
        assert!(
            j.unknown.iter().any(|u| u.kind == INFO.kind) && !j.findings.iter().any(|f| f.kind == INFO.kind)
        );
    }
}
