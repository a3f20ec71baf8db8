//! `index.redundant`: an index that another one replaces, or that no server of the cluster has used for weeks.

use std::collections::BTreeMap;

use muster_model::Severity;
use muster_model::snapshot::{Index, Indexes, ServerView};
use serde_json::json;

use super::sample::inside as picture;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::{Inside, of_primaries, of_server};
use crate::judge::Context;
use crate::sizes::{human, megabytes};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "index.redundant",
    title: "Index that is not needed",
    about: "Another valid index of the same table has the same columns, or begins with them, with the same access method, operator \
            classes, collations, order and predicate; or no server of the cluster, standbys included, has scanned the index for 35 \
            days, and all of them have counted for so long.",
    ignores: "What a constraint, a foreign key or logical replication stands on, unique indexes, indexes of partitions, expressions \
              (they carry statistics), what a table is clustered on, and what is smaller than 10 MB. An index that appeared while \
              Muster watched is young until it is not; how old the others are the catalogue does not say.",
    advice: "A person decides. Keep its definition (pg_get_indexdef) before DROP INDEX CONCURRENTLY. An index that only a report at \
             the end of a quarter needs looks unused for 35 days.",
    needs: &["indexes"],
    keys: &[
        KeyInfo {
            key: "unused_for",
            default: "35d",
            about: "no scan on any server for so long, and counted for so long on each",
        },
        KeyInfo {
            key: "size_mb",
            default: "10",
            about: "MB from which it matters",
        },
    ],
    specimen: || {
        vec![picture::with_indexes(vec![
            picture::index(7, &["1"]),
            picture::index(8, &["1", "2"]),
        ])]
    },
    lookalike: || {
        let of_constraint = Index {
            constraint: true,
            unique: true,
            ..picture::index(7, &["1"])
        };
        vec![
            picture::with_indexes(vec![of_constraint, picture::index(8, &["1", "2"])]),
            picture::with_indexes(vec![picture::index(7, &["2"]), picture::index(8, &["1", "2"])]),
        ]
    },
};

pub(super) fn rule(c: &mut Context<'_>) {
    let least = megabytes(c.number(INFO.kind, "size_mb"));
    let servers: Vec<&ServerView> = c.snapshot.servers.iter().collect();
    let mut usage = BTreeMap::new();
    for server in servers.iter().filter(|s| s.role().is_some()) {
        usage.insert(
            server.address.clone(),
            of_server(c, INFO.kind, "use of indexes", server, |d| &d.indexes),
        );
    }
    for i in of_primaries(c, INFO.kind, "indexes", |d| &d.indexes) {
        let smallest = i.value.indexes.iter().filter(|x| x.valid).map(|x| x.pages).min();
        if i.value.left_out > 0 && smallest.unwrap_or(0) * i.value.block >= least {
            let why = format!(
                "{} indexes of database {} are above the limit of what is read",
                i.value.left_out, i.database.name
            );
            c.lacks(INFO.kind, &i.server.address, why);
        }
        for x in i
            .value
            .indexes
            .iter()
            .filter(|x| x.pages * i.value.block >= least)
        {
            if let Some(by) = replaced(x, i.value) {
                let how = if by.keys.len() == x.keys.len() {
                    "has the same columns"
                } else {
                    "begins with its columns"
                };
                let what = format!("index {} is not needed: {} {how}", x.full_name(), by.full_name());
                tell(c, i, x, &what, &json!({"replaced_by": by.full_name()}));
            } else if let Some(servers) = unused(c, i, x, &usage) {
                let what = format!(
                    "index {} was not scanned for {} on any server of the cluster",
                    x.full_name(),
                    c.span(INFO.kind, "unused_for").human()
                );
                tell(c, i, x, &what, &json!({"servers": servers}));
            }
        }
    }
}

fn tell(c: &mut Context<'_>, i: Inside<'_, Indexes>, x: &Index, what: &str, why: &serde_json::Value) {
    let bytes = x.pages * i.value.block;
    let held = c.held(&i.condition(INFO.kind, x.oid));
    let mut f = finding(
        INFO.kind,
        Severity::Warning,
        &i.server.address,
        i.subject("index", &x.full_name()),
        c.now().minus(held),
        format!(
            "{what}; it takes {} on {} in database {}",
            human(bytes),
            x.table,
            i.database.name
        ),
    );
    f.evidence = evidence(json!({
        "database": i.database.name, "index": x.full_name(), "table": x.table, "bytes": bytes, "scans": x.scans, "why": why,
    }));
    f.ruled_out = vec![
        "a constraint, a foreign key, replica identity or a partition that needs it: none does".to_owned(),
    ];
    c.findings.push(f);
}

/// Whether something stands on it that a scan count does not show.
fn stands(x: &Index) -> bool {
    x.constraint || x.unique || x.replica_identity || x.clustered || x.partition || !x.valid || !x.ready
}

/// The index that does all that this one does.
fn replaced<'i>(x: &Index, all: &'i Indexes) -> Option<&'i Index> {
    if stands(x) {
        return None;
    }
    all.indexes.iter().find(|by| {
        let comparable = by.oid != x.oid
            && by.table_oid == x.table_oid
            && by.valid
            && by.ready
            && by.method == x.method
            && by.formula == x.formula
            && x.includes.iter().all(|n| by.includes.contains(n));
        let same = by.keys == x.keys;
        // Of two that are the same the older one stays, unless something stands on the younger.
        let stays = same && (stands(by) || by.oid < x.oid || by.includes.len() > x.includes.len());
        let begins = x.method == "btree"
            && !x.expressions
            && by.keys.len() > x.keys.len()
            && by.keys.starts_with(&x.keys);
        comparable && (stays || begins)
    })
}

/// The servers that all have counted long enough and never scanned it since; nothing when one did or cannot say.
fn unused(
    c: &mut Context<'_>,
    i: Inside<'_, Indexes>,
    x: &Index,
    usage: &BTreeMap<String, Vec<Inside<'_, Indexes>>>,
) -> Option<Vec<String>> {
    if stands(x) || x.foreign_key || x.expressions {
        return None;
    }
    let (long, now) = (c.span(INFO.kind, "unused_for"), c.now());
    if x.appeared.is_some_and(|t| now.since(t) < long) {
        return None;
    }
    let mut servers = Vec::new();
    for server in &c.snapshot.servers {
        let of = usage.get(&server.address)?;
        let there = of.iter().find(|u| u.database.name == i.database.name)?;
        let counted = there.value.counted_since?;
        let own = there.value.indexes.iter().find(|o| o.oid == x.oid)?;
        let idle = match own.last_scan {
            Some(t) => now.since(t) >= long,
            None => own.scans == 0,
        };
        if now.since(counted) < long || !idle {
            return None;
        }
        servers.push(server.address.clone());
    }
    Some(servers)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{inside, judged, kinds, server};
    use super::*;
    use crate::sample::inside::{days, index};

    fn found(indexes: Vec<Index>) -> Vec<String> {
        let j = judged(&inside::with_indexes(indexes));
        assert!(!j.unknown.iter().any(|u| u.kind == INFO.kind), "{:?}", j.unknown);
        j.findings
            .into_iter()
            .filter(|f| f.kind == INFO.kind)
            .map(|f| f.summary)
            .collect()
    }

    #[test]
    fn of_two_that_are_the_same_one_goes_and_never_the_one_something_stands_on() {
        let two = found(vec![index(7, &["1"]), index(8, &["1"])]);
        assert_eq!(two.len(), 1);
        assert!(
            two[0].contains("index public.i8 is not needed: public.i7 has the same columns"),
            "{two:?}"
        );
        let key = Index {
            constraint: true,
            unique: true,
            ..index(9, &["1"])
        };
        let two = found(vec![index(7, &["1"]), key]);
        assert!(
            two.len() == 1 && two[0].contains("public.i9 has the same"),
            "{two:?}"
        );
    }

    #[test]
    fn what_differs_in_one_thing_is_not_redundant() {
        let base = || index(7, &["1"]);
        let others = [
            Index {
                method: "hash".into(),
                ..index(8, &["1", "2"])
            },
            Index {
                formula: "where".into(),
                ..index(8, &["1", "2"])
            },
            Index {
                valid: false,
                ..index(8, &["1", "2"])
            },
            Index {
                table_oid: 2,
                ..index(8, &["1", "2"])
            },
            index(8, &["1 desc", "2"]),
        ];
        for other in others {
            assert_eq!(
                found(vec![base(), other.clone()]),
                Vec::<String>::new(),
                "{other:?}"
            );
        }
        let small = Index {
            pages: 1279,
            ..base()
        };
        assert!(
            found(vec![small, index(8, &["1", "2"])]).is_empty(),
            "below 10 MB"
        );
        let edge = Index {
            pages: 1280,
            ..base()
        };
        assert_eq!(found(vec![edge, index(8, &["1", "2"])]).len(), 1);
    }

    fn cluster(primary_scans: u64, standby_scans: u64, counted: u64) -> Vec<String> {
        let mut s = inside::healthy_of(&[("a", primary_scans), ("bb", standby_scans)], counted);
        s.servers[1].replication = s.servers[0].replication.clone();
        let j = judged(&s);
        kinds(&j)
            .into_iter()
            .filter(|k| *k == INFO.kind)
            .map(ToOwned::to_owned)
            .collect()
    }

    #[test]
    fn unused_means_on_all_servers_and_for_long_enough() {
        assert_eq!(cluster(0, 0, 36).len(), 1);
        assert!(cluster(0, 3, 36).is_empty(), "the standby uses it");
        assert!(cluster(3, 0, 36).is_empty());
        assert!(cluster(0, 0, 34).is_empty(), "counted for 34 days only");
    }

    #[test]
    fn a_standby_that_was_not_read_makes_unused_unknown() {
        let mut s = inside::healthy_of(&[("a", 0), ("bb", 0)], 60);
        s.servers[1].databases[0].indexes = None;
        let j = judged(&s);
        assert!(!kinds(&j).contains(&INFO.kind));
        assert!(j.unknown.iter().any(|u| u.kind == INFO.kind));
    }

    #[test]
    fn what_appeared_while_muster_watched_is_young() {
        let mut x = Index {
            scans: 0,
            ..index(7, &["1"])
        };
        assert_eq!(found(vec![x.clone()]).len(), 1);
        x.appeared = Some(crate::sample::now().minus(days(3)));
        assert!(found(vec![x.clone()]).is_empty());
        x.appeared = None;
        x.foreign_key = true;
        assert!(found(vec![x]).is_empty());
        assert_eq!(server("a").databases.len(), 1);
    }
}
