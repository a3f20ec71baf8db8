//! `access.privilege_lost`: our login may no longer do what it could.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "access.privilege_lost",
    title: "Muster has lost a privilege",
    about: "A right that one of our logins had at an earlier look is gone: what it was for can no longer be seen, or done. It is said \
            until the right is back, and for a day at most after it was last there.",
    ignores: "A right that it never had (muster.blind names what that hides), and another user in the config.",
    advice: "See who revoked it and why; the finding names the line that gives it back.",
    needs: &["login"],
    keys: &[],
    specimen: || sample::over_time([sample::wal::right(true), sample::wal::right(false)]),
    lookalike: || sample::over_time([sample::wal::right(false), sample::wal::right(false)]),
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        let Some(login) = c.part(INFO.kind, server, &server.login, "the rights of our login") else {
            continue;
        };
        for (right, held) in &login.rights {
            let name = format!("{}|{}|{}|{right}", INFO.kind, server.address, login.user);
            let Some(lost) = c
                .fact(&name, if *held { "held" } else { "lost" })
                .filter(|_| !held)
            else {
                continue;
            };
            let (part, user) = right
                .split_once(" of ")
                .unwrap_or((right.as_str(), login.user.as_str()));
            let grant = if part.ends_with("()") {
                format!("GRANT EXECUTE ON FUNCTION pg_catalog.{part} TO {user};")
            } else {
                format!("GRANT {part} TO {user};")
            };
            let mut f = finding(
                INFO.kind,
                Severity::Warning,
                &server.address,
                Subject::new("right", right),
                lost.at,
                format!("login {user} has lost {part} on {}: {grant}", server.address),
            );
            f.evidence = evidence(json!({"user": user, "right": part, "remedy": grant}));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Finding, Snapshot};

    use super::super::sample::looks;
    use super::super::sample::wal::right;
    use super::INFO;

    fn said(pictures: Vec<Snapshot>) -> Vec<Finding> {
        let j = looks(pictures);
        j.findings.into_iter().filter(|f| f.kind == INFO.kind).collect()
    }

    #[test]
    fn what_was_there_and_is_gone_is_said_until_it_is_back() {
        assert_eq!(said(vec![right(false), right(false)]), [], "it never had it");
        let told = said(vec![right(true), right(false), right(false), right(false)]);
        assert_eq!(
            told[0].summary,
            "login muster has lost pg_monitor on shop/a: GRANT pg_monitor TO muster;"
        );
        assert_eq!(said(vec![right(true), right(false), right(true)]), []);
    }

    #[test]
    fn the_login_that_acts_and_functions_have_their_own_lines() {
        let with = |held| {
            let mut s = right(true);
            let rights = &mut s.servers[0].login.as_mut().expect("login").value.rights;
            rights.insert("pg_signal_backend of muster_act".into(), held);
            rights.insert("pg_hba_file_rules()".into(), held);
            s
        };
        let told: Vec<String> = said(vec![with(true), with(false)])
            .into_iter()
            .map(|f| f.summary)
            .collect();
        assert!(
            told.iter()
                .any(|t| t.ends_with("GRANT pg_signal_backend TO muster_act;")),
            "{told:?}"
        );
        assert!(
            told.iter()
                .any(|t| t.ends_with("GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO muster;")),
            "{told:?}"
        );
    }

    #[test]
    fn another_user_has_lost_nothing_and_unread_is_unknown() {
        let mut other = right(false);
        other.servers[0].login.as_mut().expect("login").value.user = "watch".into();
        assert_eq!(said(vec![right(true), other.clone()]), []);
        other.servers[0].login = None;
        assert!(looks([other]).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
