//! What is never a target, whoever asks: one reason a rule. A reason refuses the whole plan; the acting statement checks
//! the same again.

use muster_model::Protect;

use crate::identity::SessionId;

/// Why this session must not be touched; `None` when it may.
pub(crate) fn reason(session: &SessionId, protect: &Protect) -> Option<String> {
    RULES
        .iter()
        .find_map(|rule| rule(session))
        .or_else(|| protected(session, protect))
}

type Rule = fn(&SessionId) -> Option<String>;

const RULES: [Rule; 6] = [
    superuser,
    not_a_client,
    our_own,
    backup,
    waits_for_standby,
    unknown_identity,
];

fn superuser(s: &SessionId) -> Option<String> {
    s.superuser.then(|| "it is a superuser's session".to_owned())
}

/// Walsenders, autovacuum (against wraparound above all), parallel workers, background processes.
fn not_a_client(s: &SessionId) -> Option<String> {
    (s.backend_type != "client backend")
        .then(|| format!("it is a {}, not a client's session", s.backend_type))
}

fn our_own(s: &SessionId) -> Option<String> {
    s.application
        .starts_with("muster/")
        .then(|| "it is a session of Muster".to_owned())
}

fn backup(s: &SessionId) -> Option<String> {
    const PROGRAMS: [&str; 8] = [
        "pg_dump",
        "pg_dumpall",
        "pg_basebackup",
        "pg_receivewal",
        "pg_restore",
        "pgbackrest",
        "barman",
        "wal-g",
    ];
    let name = s.application.to_lowercase();
    PROGRAMS
        .iter()
        .any(|p| name.starts_with(p))
        .then(|| format!("it is a backup ({})", s.application))
}

/// Cancelled, its commit would count as done here and may be missing on the standby.
fn waits_for_standby(s: &SessionId) -> Option<String> {
    (s.wait_event == "SyncRep").then(|| "its commit waits for a synchronous standby".to_owned())
}

fn unknown_identity(s: &SessionId) -> Option<String> {
    (s.system_identifier.is_empty() || s.user.is_empty() || s.state.is_empty())
        .then(|| "its identity is not fully known".to_owned())
}

fn protected(s: &SessionId, protect: &Protect) -> Option<String> {
    if protect.users.contains(&s.user) {
        return Some(format!("the config protects user {}", s.user));
    }
    if protect.databases.contains(&s.database) {
        return Some(format!("the config protects database {}", s.database));
    }
    let fits = |pattern: &String| match pattern.strip_suffix('*') {
        Some(head) => s.application.starts_with(head),
        None => *pattern == s.application,
    };
    protect
        .applications
        .iter()
        .find(|p| fits(p))
        .map(|p| format!("the config protects application {p}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionId {
        SessionId {
            server: "shop/a".into(),
            system_identifier: "7".into(),
            pid: 1,
            backend_start: 1,
            xact_start: None,
            query_start: None,
            state_change: None,
            state: "idle".into(),
            user: "app".into(),
            database: "app".into(),
            application: "notes".into(),
            client: String::new(),
            backend_type: "client backend".into(),
            superuser: false,
            wait_event: String::new(),
            query: String::new(),
            age_ms: 0,
            behind_pooler: None,
        }
    }

    #[test]
    fn every_exclusion_fires_and_a_plain_client_passes() {
        let none = Protect::default();
        assert_eq!(reason(&session(), &none), None);
        let spoil: [fn(&mut SessionId); 7] = [
            |s| s.superuser = true,
            |s| s.backend_type = "walsender".into(),
            |s| s.backend_type = "autovacuum worker".into(),
            |s| s.application = "muster/observe".into(),
            |s| s.application = "pg_dump".into(),
            |s| s.wait_event = "SyncRep".into(),
            |s| s.system_identifier.clear(),
        ];
        for change in spoil {
            let mut s = session();
            change(&mut s);
            assert!(reason(&s, &none).is_some(), "{s:?}");
        }
        for protect in [
            Protect {
                users: vec!["app".into()],
                ..Protect::default()
            },
            Protect {
                applications: vec!["no*".into()],
                ..Protect::default()
            },
            Protect {
                databases: vec!["app".into()],
                ..Protect::default()
            },
        ] {
            assert!(reason(&session(), &protect).is_some());
        }
    }
}
