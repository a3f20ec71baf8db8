//! `server.split_brain`: two servers take writes, or servers of one cluster are not of one cluster.

use std::collections::BTreeMap;

use muster_model::snapshot::{Identity, Role, ServerView};
use muster_model::{Severity, Snapshot, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::{Context, Mode};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "server.split_brain",
    title: "Two primaries in one cluster",
    about: "Two servers that answer and have the same system identifier both say that they are primary: each takes writes that the \
            other does not have. Also found: servers of one cluster of the config whose system identifiers differ.",
    ignores: "A server that does not answer, and the moment of a switch-over: it must last longer than a look at roles takes.",
    advice: "Fence one of them now: stop it, or take its clients away. Which one stays is a person's choice: compare timelines and \
             what was written since they parted. Then save what the other has and rewind or rebuild it. Different system \
             identifiers: the config names a server of another cluster.",
    needs: &["identity"],
    keys: &[KeyInfo {
        key: "for",
        default: "3s",
        about: "how long it must last",
    }],
    specimen: || sample::seconds(&sample::wal::roles(Role::Primary, 1, Role::Primary, 2), 4),
    lookalike: || sample::seconds(&sample::wal::roles(Role::Primary, 1, Role::Standby, 2), 4),
};

type Known<'a> = Vec<(&'a ServerView, &'a Identity)>;

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot: &Snapshot = c.snapshot;
    let mut clusters: BTreeMap<&str, Known<'_>> = BTreeMap::new();
    for server in &snapshot.servers {
        let Some(identity) = c.part(INFO.kind, server, &server.identity, "its role and identity") else {
            continue;
        };
        // Without the privilege the identifier is empty: then it counts as one of the others.
        clusters
            .entry(identity.system_identifier.as_str())
            .or_default()
            .push((server, identity));
    }
    let unnamed = clusters.remove("").unwrap_or_default();
    if clusters.len() > 1 {
        let all: Vec<&(&ServerView, &Identity)> = clusters.values().flatten().collect();
        let named: Vec<String> = all
            .iter()
            .map(|(s, i)| format!("{} is of {}", s.address, i.system_identifier))
            .collect();
        let said = format!(
            "the servers of {} are of {} different clusters: {}",
            snapshot.cluster,
            clusters.len(),
            named.join(", ")
        );
        say(c, "identity", said, &all);
    }
    // What the config calls one cluster is one until something says otherwise.
    if clusters.is_empty() {
        clusters.insert("", Vec::new());
    }
    for known in clusters.values() {
        let primaries: Vec<&(&ServerView, &Identity)> = known
            .iter()
            .chain(&unnamed)
            .filter(|(_, i)| i.role == Role::Primary)
            .collect();
        if primaries.len() > 1 {
            let named: Vec<String> = primaries
                .iter()
                .map(|(s, i)| format!("{} (timeline {})", s.address, i.timeline))
                .collect();
            let unsure = if known.is_empty() {
                "; their system identifiers may not be read"
            } else {
                ""
            };
            let said = format!(
                "both are primary and take writes: {}{unsure}",
                named.join(" and ")
            );
            say(c, "primaries", said, &primaries);
        }
    }
}

fn say(c: &mut Context<'_>, what: &str, said: String, servers: &[&(&ServerView, &Identity)]) {
    let cluster = c.snapshot.cluster.clone();
    let held = c.held(&format!("{}|{cluster}|{what}", INFO.kind));
    let pending = held < c.span(INFO.kind, "for");
    if pending && c.mode == Mode::Watch {
        return;
    }
    let mut f = finding(
        INFO.kind,
        Severity::Critical,
        &cluster,
        Subject::new(what, &cluster),
        c.now().minus(held),
        said,
    );
    f.pending = pending;
    f.incident = !pending;
    let servers: Vec<_> = servers
        .iter()
        .map(|(s, i)| {
            json!({"server": s.address, "endpoint": s.endpoint, "timeline": i.timeline, "role": i.role,
            "system_identifier": i.system_identifier, "started_at": i.started_at, "read_only": i.read_only})
        })
        .collect();
    f.evidence = evidence(json!({"servers": servers}));
    c.findings.push(f);
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Role::{Primary, Standby};
    use muster_model::{Finding, Health, Snapshot};

    use super::super::sample::looks;
    use super::super::sample::wal::{roles, strangers};
    use super::INFO;

    fn after(s: &Snapshot, seconds: usize) -> Vec<Finding> {
        let j = looks(std::iter::repeat_n(s.clone(), seconds + 1));
        j.findings.into_iter().filter(|f| f.kind == INFO.kind).collect()
    }

    #[test]
    fn two_primaries_are_one_incident_of_the_whole_cluster() {
        let both = roles(Primary, 1, Primary, 2);
        assert_eq!(after(&both, 2), []);
        let told = after(&both, 3);
        assert_eq!(told.len(), 1);
        let f = &told[0];
        assert!(f.incident && f.target == "shop", "{f:?}");
        assert!(
            f.summary.contains("shop/a (timeline 1) and shop/b (timeline 2)"),
            "{}",
            f.summary
        );
        let j = looks(std::iter::repeat_n(both, 4));
        assert!(
            j.health.iter().all(|(_, h)| *h == Health::Critical),
            "{:?}",
            j.health
        );
    }

    #[test]
    fn two_primaries_whose_identifiers_may_not_be_read_are_two_primaries() {
        let nameless = |mut s: Snapshot| {
            for identity in s.servers.iter_mut().filter_map(|s| s.identity.as_mut()) {
                identity.value.system_identifier = String::new();
            }
            s
        };
        let told = after(&nameless(roles(Primary, 1, Primary, 2)), 3);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].incident && told[0].summary.ends_with("may not be read"),
            "{told:?}"
        );
        assert_eq!(after(&nameless(roles(Primary, 1, Standby, 1)), 9), []);
    }

    #[test]
    fn a_primary_that_does_not_answer_is_none() {
        let mut s = roles(Primary, 1, Primary, 2);
        s.servers[0].reach = super::super::sample::down(5).servers[0].reach.clone();
        assert_eq!(after(&s, 9), []);
        assert_eq!(after(&roles(Primary, 1, Standby, 1), 9), []);
    }

    #[test]
    fn servers_of_two_clusters_are_named() {
        let told = after(&strangers(), 3);
        assert_eq!(told.len(), 1);
        assert!(told[0].summary.contains("shop/a is of 7"), "{}", told[0].summary);
        let mut unread = strangers();
        unread.servers[1].identity = None;
        assert_eq!(after(&unread, 3), []);
        assert!(looks([unread]).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
