//! `muster query top`: what took the server's time in the last minute, statement by statement, and what is usual for it.
//!
//! Knows the newest pictures; without a daemon it takes two looks of its own. Carries no percentile: none can be had from sums.

mod advise;
mod ask;
mod explain;
mod measure;

use std::time::Duration;

use muster_model::snapshot::{ServerView, Statements};
use muster_model::{Span, Time};
use serde_json::{Value, json};

use super::api::{Answer, ApiError};
use super::watch::{Watch, read};
use crate::view::ClusterPicture;

/// A look of its own lasts so long.
const OWN_LOOK: Duration = Duration::from_secs(3);

/// What is asked about one statement: `explain`, `advise` or `measure`.
pub(super) async fn one(w: &Watch, what: &str, body: &Value) -> Answer {
    match what {
        "explain" => explain::explain(w, body).await,
        "advise" => advise::advise(w, body).await,
        "measure" => measure::measure(w, body).await,
        _ => Err(ApiError::new(
            404,
            format!("nothing is known about `{what}` of a statement"),
            "one of: explain, advise, measure",
        )),
    }
}

/// Statements of the servers that are asked for.
pub(super) async fn top(w: &Watch, target: Option<&str>) -> Answer {
    let config = w.app.config();
    let wrong = |e: String| ApiError::new(400, e, "`muster config show` lists the targets");
    let only = target
        .map(|t| config.target(Some(t)).map(|(_, a)| a))
        .transpose()
        .map_err(wrong)?;
    let known: Vec<ClusterPicture> = read(&w.pictures).values().cloned().collect();
    let mut servers: Vec<ServerView> = known.into_iter().flat_map(|c| c.snapshot.servers).collect();
    if servers.iter().all(|s| window(s).is_none()) {
        servers = own_look(w, &config).await;
    }
    let asked = |s: &&ServerView| {
        only.as_ref()
            .is_none_or(|o| s.address == *o || s.address.starts_with(&format!("{o}/")))
    };
    let rows: Vec<Value> = servers.iter().filter(asked).map(of_server).collect();
    Ok(json!(rows))
}

async fn own_look(w: &Watch, config: &crate::config::Resolved) -> Vec<ServerView> {
    let mut out = Vec::new();
    for c in &config.clusters {
        let Some(cluster) = w.app.estate.cluster(&c.reach.name) else {
            continue;
        };
        let observer = muster_observe::Observer::new(cluster.clone(), config.cadence);
        observer
            .pass(w.app.engine.now(), muster_observe::Extent::All)
            .await;
        tokio::time::sleep(OWN_LOOK).await;
        let snapshot = observer
            .pass(w.app.engine.now(), muster_observe::Extent::All)
            .await;
        out.extend(snapshot.servers);
    }
    out
}

fn window(s: &ServerView) -> Option<&Statements> {
    s.statements
        .as_ref()
        .map(|p| &p.value)
        .filter(|s| s.window.is_some())
}

/// One server: its statements, or why there are none.
fn of_server(s: &ServerView) -> Value {
    let at: Option<Time> = s.statements.as_ref().map(|p| p.taken_at);
    let Some(read) = s.statements.as_ref().map(|p| &p.value) else {
        return json!({"server": s.address, "statements": [], "reason": "its statements were not read"});
    };
    let Some(w) = &read.window else {
        let reason = match &read.off {
            Some(off) => format!("statements are not counted: {}", json!(off)),
            None => "one look is not enough: ask again in a moment".to_owned(),
        };
        return json!({"server": s.address, "taken_at": at, "statements": [], "reason": reason});
    };
    let seconds = w.over.max(Span::from_millis(1)).secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let a_second = |n: u64| n as f64 / seconds;
    let share = |ms: f64| {
        if w.total.ms > 0.0 {
            ms * 100.0 / w.total.ms
        } else {
            0.0
        }
    };
    let rows: Vec<Value> = w
        .top
        .iter()
        .map(|q| {
            json!({
                "fingerprint": q.fingerprint, "queryid": q.queryid, "query": q.text, "database": q.database, "user": q.user,
                "calls": q.work.calls, "calls_per_second": a_second(q.work.calls), "total_ms": q.work.ms,
                "share_percent": share(q.work.ms), "mean_ms": q.work.mean_ms(), "rows_per_call": q.work.rows_per_call(),
                "blocks_per_call": q.work.blocks_per_call(), "temp_blocks": q.work.temp_blocks,
                "usual_mean_ms": q.usual.map(|u| u.mean_ms), "toplevel": q.toplevel,
            })
        })
        .collect();
    json!({
        "server": s.address, "taken_at": at, "over_ms": w.over.millis(), "calls": w.total.calls, "total_ms": w.total.ms,
        "rest_ms": w.rest.ms, "own_ms": w.own.ms, "hidden": read.hidden, "forgotten": w.forgotten, "statements": rows,
        "reason": Value::Null,
    })
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::{Part, Statement, StatementWindow, StatementsOff, Work};

    use super::*;

    #[test]
    fn shares_are_of_all_that_clients_did_and_none_is_said_with_its_reason() {
        let mut s = ServerView::unread("a", "shop/a", "h:1");
        assert_eq!(of_server(&s)["reason"], "its statements were not read");
        let work = |calls, ms| Work {
            calls,
            ms,
            ..Work::default()
        };
        let mut read = Statements {
            window: Some(StatementWindow {
                over: Span::from_secs(10),
                total: work(100, 400.0),
                top: vec![Statement {
                    text: Some("SELECT 1".into()),
                    work: work(50, 100.0),
                    ..Statement::default()
                }],
                ..StatementWindow::default()
            }),
            ..Statements::default()
        };
        let part = |value| {
            Some(Part {
                taken_at: Time::from_millis(5),
                value,
            })
        };
        s.statements = part(read.clone());
        let told = of_server(&s);
        assert_eq!(told["statements"][0]["share_percent"], 25.0);
        assert_eq!(told["statements"][0]["calls_per_second"], 5.0);
        assert_eq!(told["statements"][0]["mean_ms"], 2.0);
        read.window = None;
        read.off = Some(StatementsOff::NotPreloaded { created_in: None });
        s.statements = part(read);
        assert!(
            of_server(&s)["reason"]
                .as_str()
                .is_some_and(|r| r.contains("not_preloaded"))
        );
    }
}
