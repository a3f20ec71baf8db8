//! `access.database_missing`: a database that a config names is not there.

use std::collections::BTreeSet;

use muster_model::snapshot::Rung;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::access_unreachable::{refused, serves};
use super::{MISSES, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::reachability;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "access.database_missing",
    title: "A database is missing",
    about: "The database of our login does not exist or lets nobody in, though the server does (three misses in a row and 1 s); or a \
            pooler points a name at a database that its server does not have, so every client that asks for it fails.",
    ignores: "Names that are disabled in the pooler, and pooler targets that are not enrolled here: nobody knows their databases.",
    advice: "Was it dropped or renamed? `postgres` always exists, for Muster's own login. For a pooler: correct its [databases], then \
             RELOAD.",
    needs: &["identity", "pooler", "traffic"],
    keys: MISSES,
    specimen: || vec![sample::wal::refused(Rung::Database, 3)],
    lookalike: || vec![sample::wal::pooler_points_to("app")],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        if let Some((kind, lives)) = reachability::kind(snapshot, server)
            && kind == INFO.kind
        {
            refused(c, INFO.kind, "server", &server.address, &server.reach, &lives);
        }
    }
    for pooler in &snapshot.poolers {
        let Some(state) = &pooler.state else { continue };
        for d in state
            .value
            .databases
            .iter()
            .filter(|d| !d.disabled && d.name != "pgbouncer")
        {
            let behind = snapshot.servers.iter().find(|s| serves(s, &d.host, d.port));
            let Some(server) = behind.filter(|s| s.answers()) else {
                continue;
            };
            let Some(traffic) = c.part(INFO.kind, server, &server.traffic, "its databases") else {
                continue;
            };
            let there: BTreeSet<&str> = traffic
                .iter()
                .map(|t| t.database.as_str())
                .filter(|n| !n.is_empty())
                .collect();
            // A server always has one: an empty list was not read right.
            if there.is_empty() || there.contains(d.database.as_str()) {
                continue;
            }
            let held = c.held(&format!("{}|{}|{}", INFO.kind, pooler.address, d.name));
            let mut f = finding(
                INFO.kind,
                Severity::Warning,
                &pooler.address,
                Subject::new("database", &d.name),
                c.now().minus(held),
                format!(
                    "{} points {} to database {} of {}, which is not there",
                    pooler.address, d.name, d.database, server.address
                ),
            );
            f.evidence = evidence(json!({
                "name": d.name, "database": d.database, "server": server.address, "there": there.iter().take(50).collect::<Vec<_>>(),
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Rung;

    use super::super::sample::wal::{pooler_points_to, refused};
    use super::super::sample::{judged, kinds};
    use super::INFO;

    #[test]
    fn our_own_database_that_is_gone_is_an_incident() {
        let j = judged(&refused(Rung::Database, 3));
        assert!(
            j.findings[0].incident && j.findings[0].summary.contains("it lets us in"),
            "{:?}",
            j.findings
        );
    }

    #[test]
    fn a_pooler_that_points_to_nothing_warns() {
        assert_eq!(kinds(&judged(&pooler_points_to("app"))), [""; 0]);
        let j = judged(&pooler_points_to("ap"));
        assert_eq!(kinds(&j), [INFO.kind]);
        assert_eq!(
            j.findings[0].summary,
            "shop/bouncer points app to database ap of shop/a, which is not there"
        );
    }

    #[test]
    fn a_target_that_is_not_enrolled_and_databases_that_were_not_read_prove_nothing() {
        let mut s = pooler_points_to("ap");
        s.poolers[0].state.as_mut().expect("state").value.databases[0].port = 1;
        assert_eq!(kinds(&judged(&s)), [""; 0]);
        let mut s = pooler_points_to("ap");
        s.servers[0].traffic = None;
        let j = judged(&s);
        assert!(j.findings.is_empty() && j.unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
