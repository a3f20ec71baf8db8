//! Poolers, caches and applications in a bundle.

use std::sync::Arc;

use muster_model::{Answered, Span};
use muster_reach::{App, Cache, Pooler, Show, redact};
use serde_json::{Value, json};

use super::{Begun, DAY, Lack, Piece, Read, logs};

/// Rows of one SHOW; a pooler can have ten thousand clients.
const ROWS: usize = 2000;

/// What a console shows.
pub(super) async fn pooler(pooler: &Arc<Pooler>) -> Piece {
    let begun = Begun::new(
        "pooler",
        Some(&pooler.address),
        "SHOW VERSION, POOLS, CLIENTS, SERVERS, DATABASES, STATS, LISTS, CONFIG",
    );
    let mut document = serde_json::Map::new();
    let mut lack = None;
    let mut answered = None;
    let mut cut = false;
    for (key, what) in [
        ("version", Show::Version),
        ("pools", Show::Pools),
        ("clients", Show::Clients),
        ("servers", Show::Servers),
        ("databases", Show::Databases),
        ("stats", Show::Stats),
        ("lists", Show::Lists),
        ("config", Show::Config),
    ] {
        match pooler.show(what).await {
            Ok(mut rows) => {
                if key == "version" {
                    let version = rows.first().and_then(|r| r.values().next().cloned());
                    answered = Some(Answered {
                        endpoint: pooler.address.clone(),
                        version,
                        ..Answered::default()
                    });
                }
                cut |= rows.len() > ROWS;
                document.insert(format!("{key}_rows"), json!(rows.len()));
                rows.truncate(ROWS);
                document.insert(key.to_owned(), json!(rows));
            }
            Err(e) => {
                let mut why = Lack::from(e);
                why.reason = format!("SHOW {}: {}", key.to_uppercase(), why.reason);
                lack = Some(why);
                // Who does not answer the first is not asked seven times more.
                if document.is_empty() {
                    break;
                }
            }
        }
    }
    let read = Read {
        cut,
        lack,
        ..if document.is_empty() {
            Read::default()
        } else {
            Read::json(Value::Object(document))
        }
    };
    begun.ended(read, answered)
}

/// What INFO says.
pub(super) async fn cache(cache: &Arc<Cache>) -> Piece {
    let begun = Begun::new("cache", Some(&cache.address), "INFO");
    match cache.info().await {
        Ok(info) => {
            let answered = Answered {
                endpoint: cache.address.clone(),
                system_identifier: info.get("run_id").cloned(),
                version: info.get("redis_version").cloned(),
                user: Some(cache.user()),
            };
            begun.ended(Read::json(json!(info)), Some(answered))
        }
        Err(e) => begun.ended(Read::failed(e), None),
    }
}

/// The health route and the log of an application.
pub(super) async fn app(app: &Arc<App>, since: Span) -> Vec<Piece> {
    let mut out = vec![health(app).await];
    let short = if since == Span::ZERO {
        Span::from_mins(120)
    } else {
        since
    };
    let mut windows = vec![("app_log", short)];
    if short != DAY {
        windows.push(("app_log_24h", DAY));
    }
    for (name, window) in windows {
        let Some(place) = &app.log else {
            let begun = Begun::new(name, Some(&app.address), "the config");
            let how = "name it in the config: `log: {file: PATH}`, `{unit: NAME}` or `{container: NAME}`";
            out.push(begun.skipped("the config does not say where it logs", Some(how)));
            continue;
        };
        let what = format!("{}, the last {}", place.shown(), window.human());
        let begun = Begun::new(name, Some(&app.address), what);
        let read = logs::of_app(place, window).await;
        out.push(begun.ended(read, None));
    }
    out
}

async fn health(app: &Arc<App>) -> Piece {
    let collector = app
        .endpoint
        .as_deref()
        .map_or_else(|| "the config".to_owned(), |e| format!("GET {e}"));
    let begun = Begun::new("http_health", Some(&app.address), collector);
    let Some(endpoint) = app.endpoint.clone() else {
        return begun.skipped("the config names no health route", Some("add `health: URL`"));
    };
    let answered = Answered {
        endpoint: endpoint.clone(),
        ..Answered::default()
    };
    match app.health().await {
        Err(e) => begun.ended(Read::failed(e), None),
        Ok(None) => begun.skipped("the config names no health route", Some("add `health: URL`")),
        Ok(Some(answer)) => {
            let mut json = answer.json.clone();
            if let Some(json) = &mut json {
                redact::document(json);
            }
            let document = json!({
                "address": endpoint, "status": answer.status, "took_ms": answer.took.as_secs_f64() * 1000.0,
                "answer": json, "is_json": answer.json.is_some(),
            });
            // An answer is an answer: 503 is what was to be seen.
            begun.ended(Read::json(document), Some(answered))
        }
    }
}
