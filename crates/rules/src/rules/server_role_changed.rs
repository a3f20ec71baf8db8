//! `server.role_changed`: a server is not what it was a moment ago.

use muster_model::snapshot::Role;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::{Changed, Context};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "server.role_changed",
    title: "A server has another role or timeline",
    about: "Role, timeline or system identifier of a server differ from what was seen before. It is said for some minutes, because it \
            explains much of what else is seen then: a promotion, a switch-over, a rebuilt standby.",
    ignores: "The first look at a server, and a restart in the same role. After a promotion the timeline follows at the next \
              checkpoint: the two are one story.",
    advice: "Was it meant? If not, see who promoted it, and whether the old primary still takes writes (server.split_brain).",
    needs: &["identity"],
    keys: &[KeyInfo {
        key: "for",
        default: "5m",
        about: "how long it is said",
    }],
    specimen: || {
        sample::over_time([
            sample::wal::roles(Role::Primary, 1, Role::Standby, 1),
            sample::wal::roles(Role::Standby, 1, Role::Primary, 2),
        ])
    },
    lookalike: || sample::seconds(&sample::wal::roles(Role::Primary, 3, Role::Standby, 3), 5),
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let told_for = c.span(INFO.kind, "for");
    for server in &snapshot.servers {
        let Some(identity) = c.part(INFO.kind, server, &server.identity, "its role") else {
            continue;
        };
        let mut changed = |what: &str, value: &str| -> Option<Changed> {
            let changed = c.fact(&format!("{}|{}|{what}", INFO.kind, server.address), value);
            changed.filter(|x| c.now().since(x.at) <= told_for)
        };
        let role = word(identity.role);
        let was = changed("role", role);
        // Without the privilege these are not known, and not knowing is no change.
        let timeline = (identity.timeline > 0).then(|| changed("timeline", &identity.timeline.to_string()));
        let identifier = (!identity.system_identifier.is_empty())
            .then(|| changed("system identifier", &identity.system_identifier));
        let (timeline, identifier) = (timeline.flatten(), identifier.flatten());
        let Some(at) = [&was, &timeline, &identifier]
            .into_iter()
            .flatten()
            .map(|x| x.at)
            .min()
        else {
            continue;
        };
        let mut said = Vec::new();
        if let Some(x) = &identifier {
            said.push(format!(
                "belongs to cluster {} and not to {} any more",
                identity.system_identifier, x.from
            ));
        }
        if let Some(x) = &was {
            said.push(format!("is a {role} and was a {}", x.from));
        }
        if let Some(x) = &timeline {
            said.push(format!(
                "is on timeline {} and was on {}",
                identity.timeline, x.from
            ));
        }
        let mut f = finding(
            INFO.kind,
            if was.is_some() || identifier.is_some() {
                Severity::Warning
            } else {
                Severity::Info
            },
            &server.address,
            Subject::new("server", &server.name),
            at,
            format!("{} {}", server.address, said.join(", ")),
        );
        f.evidence = evidence(json!({
            "role": role, "role_before": was.map(|x| x.from), "timeline": identity.timeline,
            "timeline_before": timeline.map(|x| x.from), "system_identifier": identity.system_identifier,
            "system_identifier_before": identifier.map(|x| x.from), "started_at": identity.started_at,
        }));
        c.findings.push(f);
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Standby => "standby",
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Role::{Primary, Standby};
    use muster_model::{Severity, Snapshot};

    use super::super::sample::looks;
    use super::super::sample::wal::{read_anew, roles, starting};
    use super::INFO;

    fn said(pictures: Vec<Snapshot>) -> Vec<(String, Severity)> {
        let j = looks(read_anew(pictures));
        let mine = j.findings.into_iter().filter(|f| f.kind == INFO.kind);
        mine.map(|f| (f.summary, f.severity)).collect()
    }

    #[test]
    fn a_promotion_is_told_once_with_its_timeline() {
        let told = said(vec![
            roles(Primary, 1, Standby, 1),
            roles(Standby, 1, Primary, 1),
            roles(Standby, 2, Primary, 2),
        ]);
        assert_eq!(
            told,
            [
                (
                    "shop/a is a standby and was a primary, is on timeline 2 and was on 1".to_owned(),
                    Severity::Warning
                ),
                (
                    "shop/b is a primary and was a standby, is on timeline 2 and was on 1".to_owned(),
                    Severity::Warning
                ),
            ]
        );
    }

    #[test]
    fn a_timeline_alone_is_information_and_after_five_minutes_it_is_silent() {
        let (before, after) = (roles(Primary, 1, Standby, 1), roles(Primary, 1, Standby, 2));
        let pictures = |n: usize| {
            let mut all = vec![before.clone()];
            all.extend(std::iter::repeat_n(after.clone(), n));
            all
        };
        assert_eq!(said(pictures(1))[0].1, Severity::Info);
        assert_eq!(said(pictures(301)).len(), 1);
        assert_eq!(said(pictures(302)), []);
    }

    #[test]
    fn a_server_that_was_away_in_between_is_remembered() {
        let mut away = roles(Primary, 1, Standby, 1);
        away.servers[1].reach = starting().servers[0].reach.clone();
        let told = said(vec![
            roles(Primary, 1, Standby, 1),
            away.clone(),
            away,
            roles(Primary, 1, Primary, 1),
        ]);
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn not_knowing_is_no_change() {
        let unknown = roles(Primary, 0, Standby, 1);
        assert_eq!(said(vec![roles(Primary, 1, Standby, 1), unknown]), []);
        let mut unread = roles(Primary, 1, Standby, 1);
        unread.servers[0].identity = None;
        assert!(looks([unread]).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
