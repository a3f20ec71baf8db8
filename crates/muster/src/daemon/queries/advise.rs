//! `muster query advise`: indexes that might help one statement, each asked of the planner where hypopg is there, and the reasons why
//! those that are there are not used.
//!
//! Makes no index. Without hypopg, or with stale statistics, it says that it cannot prove.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_model::query::{TableFacts, Writes, ident};
use muster_observe::queries::{self, Counted, Hypothetical};
use muster_rules::queries::candidates::{Candidate, candidates};
use muster_rules::queries::reasons::{Reason, reasons, stale};
use muster_rules::queries::tree::PlanTree;
use muster_rules::queries::worth::{Advice, Tried, size, verdicts, write_cost};
use serde_json::{Value, json};

use super::super::api::{Answer, ApiError};
use super::super::watch::Watch;
use super::ask::{Ask, Ready, ready};
use super::explain::{Planned, begin, or_said, relations, told, tree};

/// The two looks at the counters lie so far apart, at least.
const APART: Duration = Duration::from_secs(2);
/// Candidates that are tried.
const MOST: usize = 24;

/// Advice on a statement.
pub(super) async fn advise(w: &Watch, body: &Value) -> Answer {
    let ask = Ask::of(body);
    let ready = ready(w, &ask).await?;
    let told = judge(w, &ask, &ready).await;
    ready.trial.end().await;
    told
}

/// What the primary counts, at two moments.
struct Counters {
    first: BTreeMap<u32, Counted>,
    second: BTreeMap<u32, Counted>,
    server: String,
}

async fn judge(w: &Watch, ask: &Ask, ready: &Ready) -> Answer {
    let planned = begin(ready).await?;
    let read = queries::tables(&ready.trial, &relations(&planned.tree)).await;
    let mut tables = or_said(ready, read).await?;
    let oids: Vec<u32> = tables.iter().map(|t| t.oid).collect();
    let began = Instant::now();
    let first = count(ready, &oids).await;
    if let Ok((_, counted)) = &first {
        put(&mut tables, counted);
    }
    let off = or_said(ready, queries::switched_off(&ready.trial).await).await?;
    let mut why = reasons(&planned.tree, &tables, &off);
    let (mut new, there) = candidates(&planned.tree, &tables);
    new.truncate(MOST);
    let fresh = |c: &Candidate| stale(&tables[c.table]).is_none();
    let (sure, unsure): (Vec<Candidate>, Vec<Candidate>) = new.into_iter().partition(fresh);
    forced(ready, &planned, &mut why).await;
    let tried = trials(ready, &planned, &tables, &sure).await;
    ready.trial.end().await;

    let mut counters = None;
    let mut gap = None;
    match first {
        Ok((server, first)) if !(sure.is_empty() && unsure.is_empty()) => {
            tokio::time::sleep(APART.saturating_sub(began.elapsed())).await;
            match count(ready, &oids).await {
                Ok((_, second)) => {
                    counters = Some(Counters {
                        first,
                        second,
                        server,
                    });
                }
                Err(e) => gap = Some(e),
            }
        }
        Ok(_) => {}
        Err(e) => gap = Some(e),
    }
    let mut out = Vec::new();
    let statement = |c: &Candidate| &tables[c.table];
    match &tried {
        Ok(tried) => {
            for (t, (advice, sentence)) in tried.iter().zip(verdicts(planned.tree.root.cost, tried)) {
                let mut one = candidate(
                    &t.candidate,
                    statement(&t.candidate),
                    advice,
                    &sentence,
                    counters.as_ref(),
                );
                one["cost_before"] = planned.tree.root.cost.into();
                one["cost_after"] = t.after.into();
                one["used"] = t.used.into();
                if let Some(bytes) = t.bytes {
                    one["bytes"] = bytes.into();
                    one["size_method"] = "hypopg's estimate".into();
                }
                out.push(one);
            }
        }
        Err(reason) => {
            for c in &sure {
                let (advice, sentence) = unproven(c, statement(c), &why, reason);
                out.push(candidate(c, statement(c), advice, &sentence, counters.as_ref()));
            }
        }
    }
    for c in &unsure {
        let sentence = stale(statement(c)).map_or_else(String::new, |r| format!("cannot prove: {}", r.text));
        out.push(candidate(
            c,
            statement(c),
            Advice::CannotProve,
            &sentence,
            counters.as_ref(),
        ));
    }
    let mut answer = told(w, ready, &planned, &tables, false);
    answer["summary"] = summary(&out, &why).into();
    answer["candidates"] = json!(out);
    answer["already_there"] = there
        .iter()
        .map(|(c, index)| json!({"table": statement(c).quoted(), "columns": c.list(), "index": index}))
        .collect();
    answer["reasons"] = json!(why);
    answer["hypopg"] = match (&tried, &ready.place.hypopg) {
        (Ok(_), Some((_, version))) => json!({"version": version, "reason": Value::Null}),
        (Err(reason), _) => json!({"version": Value::Null, "reason": reason}),
        (Ok(_), None) => Value::Null,
    };
    answer["write_cost_gap"] = json!(gap.map(|e| json!({"reason": e.error, "remedy": e.remedy})));
    answer["timeout_s"] = ask.seconds.into();
    Ok(answer)
}

/// Asks the planner about each. `Err` is why nobody can.
async fn trials(
    ready: &Ready,
    planned: &Planned,
    tables: &[TableFacts],
    all: &[Candidate],
) -> Result<Vec<Tried>, String> {
    let database = &ready.place.database;
    let Some((schema, _)) = &ready.place.hypopg else {
        let quoted = ident(database);
        return Err(if ready.place.hypopg_available {
            format!("hypopg is not installed in database {quoted}: CREATE EXTENSION hypopg;")
        } else {
            format!(
                "hypopg is not installed in database {quoted}: install the package hypopg of this PostgreSQL, then CREATE EXTENSION \
                 hypopg;"
            )
        });
    };
    let failed = |e: muster_reach::ReachError| format!("hypopg cannot be asked: {}", e.reason);
    // Behind the statement's own path, so that no name of the statement changes its meaning.
    let path = format!("{}, {}", ready.search_path(), ident(schema));
    ready.trial.set("search_path", &path).await.map_err(failed)?;
    let mut out = Vec::new();
    for c in all {
        let ddl = c.ddl(&tables[c.table], false);
        let tried = one(ready, planned, c, &ddl).await;
        // Forgotten also when it failed: the next one shall be alone.
        Hypothetical::reset(&ready.trial).await.map_err(failed)?;
        out.extend(tried.map_err(failed)?);
    }
    Ok(out)
}

async fn one(
    ready: &Ready,
    planned: &Planned,
    c: &Candidate,
    ddl: &str,
) -> Result<Option<Tried>, muster_reach::ReachError> {
    let Some(made) = Hypothetical::create(&ready.trial, ddl).await? else {
        return Ok(None);
    };
    let (raw, _) = queries::plan(&ready.trial, planned.types.len(), &ready.brought).await?;
    Ok(PlanTree::of(&raw).map(|tree| {
        let mut used = false;
        tree.root
            .each(&mut |n| used |= n.index.as_deref() == Some(made.name.as_str()));
        Tried {
            candidate: c.clone(),
            after: tree.root.cost,
            used,
            bytes: made.bytes,
        }
    }))
}

/// What it would cost if the planner had to use the index that it does not want.
async fn forced(ready: &Ready, planned: &Planned, why: &mut [Reason]) {
    let doubted = |r: &Reason| matches!(r.kind, "dearer" | "low_selectivity") && r.index.is_some();
    if !why.iter().any(doubted) || ready.trial.set("enable_seqscan", "off").await.is_err() {
        return;
    }
    let answer = queries::plan(&ready.trial, planned.types.len(), &ready.brought).await;
    if let Ok((raw, _)) = answer
        && let Ok(forced) = tree(ready, &raw)
    {
        for r in why.iter_mut().filter(|r| doubted(r)) {
            let mut uses = false;
            forced.root.each(&mut |n| uses |= n.index == r.index);
            // A plan that still reads the table whole says nothing.
            if uses {
                r.text.push_str(&format!(
                    ": with it the statement costs {:.0} instead of {:.0}",
                    forced.root.cost, planned.tree.root.cost
                ));
            }
        }
    }
    // A refusal here leaves the transaction aborted, and what follows says so.
    let on = ready.settings.iter().find(|(n, _)| n == "enable_seqscan");
    let _ = ready
        .trial
        .set("enable_seqscan", on.map_or("on", |(_, v)| v.as_str()))
        .await;
}

/// Without hypopg: what the catalogue alone can tell.
fn unproven(c: &Candidate, t: &TableFacts, why: &[Reason], reason: &str) -> (Advice, String) {
    let table = t.quoted();
    if let Some(low) = why
        .iter()
        .find(|r| r.kind == "low_selectivity" && r.table == table && c.columns.len() == 1)
    {
        return (Advice::NotUsed, format!("hardly worth it: {}", low.text));
    }
    (
        Advice::CannotProve,
        format!("cannot prove: {reason} By its form it serves {}", c.serves),
    )
}

fn candidate(c: &Candidate, t: &TableFacts, advice: Advice, why: &str, counters: Option<&Counters>) -> Value {
    let name = c.name(t);
    let estimate = size(t, c);
    let writes = counters.and_then(|k| writes(k, t.oid));
    let columns: Vec<&str> = c.columns.iter().map(|(c, _)| c.as_str()).collect();
    let mut notes = Vec::new();
    if let Some(parent) = &t.partition_of {
        notes.push(format!(
            "{} is a partition of {parent}: make the index ON ONLY {parent}, then on each partition, and attach them",
            t.quoted()
        ));
    }
    if t.indexes.iter().any(|i| i.name == name) {
        notes.push(format!("an index {name} exists: choose another name"));
    }
    json!({
        "table": t.quoted(), "columns": c.list(), "serves": c.serves, "advice": advice, "why": why,
        "create": format!("{};", c.ddl(t, true)),
        "drop": format!("DROP INDEX CONCURRENTLY {}.{};", ident(&t.schema), ident(&name)),
        "bytes": estimate.map(|e| e.0), "size_method": estimate.map(|e| e.1),
        "write_cost": writes.as_ref().map(|w| write_cost(w, &columns.join(", "))), "writes": writes, "notes": notes,
        "indexes_now": t.indexes.len(),
    })
}

fn writes(k: &Counters, oid: u32) -> Option<Writes> {
    let (a, b) = (k.first.get(&oid)?, k.second.get(&oid)?);
    let over = b.at.since(a.at);
    // What adds an entry to every index: inserts, and updates that are not HOT.
    let entries = |c: &Counted| c.written[0] + c.written[1].saturating_sub(c.written[2]);
    #[allow(clippy::cast_precision_loss)]
    let per_second = (over.millis() >= 1000 && entries(b) >= entries(a))
        .then(|| (entries(b) - entries(a)) as f64 / over.secs_f64());
    Some(Writes {
        inserted: b.written[0],
        updated: b.written[1],
        hot: b.written[2],
        deleted: b.written[3],
        seq_scans: b.seq_scans,
        since: b.since,
        per_second,
        over_ms: over.millis(),
        server: k.server.clone(),
    })
}

/// The counters of the primary, in a session of their own: only it knows what is written.
async fn count(ready: &Ready, oids: &[u32]) -> Result<(String, BTreeMap<u32, Counted>), ApiError> {
    let Some(primary) = &ready.at.primary else {
        return Err(ApiError::new(
            409,
            "the primary does not answer, and only it counts what is written and changed",
            "`muster check` says why",
        ));
    };
    let asked = async {
        let trial = primary
            .trial(Some(&ready.place.database), primary.limits().statement)
            .await?;
        queries::counts(&trial, oids).await
    };
    let counted = asked.await.map_err(|e| super::ask::unreachable_at(&e))?;
    Ok((primary.address.clone(), counted))
}

fn put(tables: &mut [TableFacts], counted: &BTreeMap<u32, Counted>) {
    for t in tables {
        if let Some(c) = counted.get(&t.oid) {
            t.live = Some(c.live);
            t.modified = Some(c.modified);
            t.analyzed = c.analyzed;
        }
    }
}

fn summary(all: &[Value], why: &[Reason]) -> String {
    let of = |advice: &str| all.iter().filter(|c| c["advice"] == advice).collect::<Vec<_>>();
    let advised = of("advised");
    if !advised.is_empty() {
        let list: Vec<&str> = advised.iter().filter_map(|c| c["create"].as_str()).collect();
        return format!("Advised: {}", list.join(" "));
    }
    if let Some(stale) = why.iter().find(|r| r.kind == "stale_statistics") {
        return format!(
            "No index is advised: {}. {}.",
            stale.text,
            stale.remedy.as_deref().unwrap_or("")
        );
    }
    let unproven = of("cannot_prove");
    if !unproven.is_empty() {
        return format!(
            "No index is proven: {} might help, and nobody could ask the planner.",
            if unproven.len() == 1 {
                "one".to_owned()
            } else {
                unproven.len().to_string()
            }
        );
    }
    match why.first() {
        Some(r) => format!("No index is advised: {}.", r.text),
        None if all.is_empty() => {
            "No index is advised: no large table is read with a condition that an index could serve."
                .to_owned()
        }
        None => "No index is advised: none makes the statement cheaper by half.".to_owned(),
    }
}
