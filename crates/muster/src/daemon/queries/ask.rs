//! What is asked about one statement, where it is looked at, and the session in which that happens.
//!
//! A cluster is looked at on a standby that is fresh, so that nothing is taken from the primary; a server that is named is that
//! server. Refuses to guess: which server, database, user and search path it was, is told with the answer.

use std::sync::Arc;
use std::time::Duration;

use muster_model::fingerprint;
use muster_observe::queries::{self, Place};
use muster_reach::{Brought, Cluster, ReachError, Server, Trial, redact};
use muster_rules::queries::refusals;
use serde_json::Value;

use super::super::api::ApiError;
use super::super::watch::Watch;

/// A standby that is farther behind has other statistics, and may lack the table.
const FRESH_BYTES: u64 = 16 << 20;
/// A statement may take so long without being asked, and at most.
const USUAL: u64 = 10;
const LONGEST: u64 = 300;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    pub(super) id: Option<String>,
    pub(super) sql: Option<String>,
    pub(super) values: Vec<String>,
    pub(super) target: Option<String>,
    pub(super) database: Option<String>,
    pub(super) search_path: Option<String>,
    pub(super) seconds: u64,
}

impl Ask {
    pub(super) fn of(body: &Value) -> Self {
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let values = body.get("params").and_then(Value::as_array);
        Self {
            id: text("id"),
            sql: text("sql"),
            values: values
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            target: text("target"),
            database: text("database"),
            search_path: text("search_path"),
            seconds: body
                .get("timeout")
                .and_then(Value::as_u64)
                .unwrap_or(USUAL)
                .clamp(1, LONGEST),
        }
    }
}

/// Where it is looked at.
pub(super) struct Where {
    pub(super) server: Arc<Server>,
    /// The primary, when it answers.
    pub(super) primary: Option<Arc<Server>>,
    /// Why there.
    pub(super) why: String,
    cluster: Arc<Cluster>,
}

/// Everything is ready: a session, the statement, the settings.
pub(super) struct Ready {
    pub(super) at: Where,
    pub(super) trial: Trial,
    pub(super) place: Place,
    pub(super) brought: Brought,
    /// Without literals.
    pub(super) shown: String,
    pub(super) fingerprint: String,
    pub(super) user: Option<String>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) seconds: u64,
}

impl Ready {
    /// `search_path` under which it is planned.
    pub(super) fn search_path(&self) -> &str {
        let found = self.settings.iter().find(|(n, _)| n == "search_path");
        found.map_or("", |(_, v)| v.as_str())
    }
}

/// Makes everything ready.
pub(super) async fn ready(w: &Watch, ask: &Ask) -> Result<Ready, ApiError> {
    if let Some(sql) = &ask.sql {
        refused(refusals::of_number(&redact::whole_statement(sql)))?;
    }
    let at = choose(w, ask.target.as_deref()).await?;
    let (text, user, database) = match (&ask.sql, &ask.id) {
        (Some(sql), _) => (sql.clone(), None, ask.database.clone()),
        (None, Some(id)) => {
            let found = search(&at, ask, id).await?;
            (found.text, Some(found.user), Some(found.database))
        }
        (None, None) => {
            return Err(ApiError::new(
                400,
                "no statement is given",
                "give the id that `muster query top` prints, or `--sql TEXT`, or `--file FILE`",
            ));
        }
    };
    let shown = redact::whole_statement(&text);
    refused(refusals::of_number(&shown))?;
    let (trial, place, settings) = open(&at.server, ask, database.as_deref(), user.as_deref()).await?;
    Ok(Ready {
        at,
        trial,
        place,
        fingerprint: fingerprint::of(&shown),
        shown: redact::statement(&text),
        brought: Brought {
            text,
            values: ask.values.clone(),
        },
        user,
        settings,
        seconds: ask.seconds,
    })
}

/// A session at one server.
pub(super) async fn open(
    server: &Server,
    ask: &Ask,
    database: Option<&str>,
    user: Option<&str>,
) -> Result<(Trial, Place, Vec<(String, String)>), ApiError> {
    let failed = |e: ReachError| unreachable_at(&e);
    let trial = server
        .trial(database, Duration::from_secs(ask.seconds))
        .await
        .map_err(failed)?;
    let place = queries::place(&trial).await.map_err(failed)?;
    let settings = queries::settings(&trial, &place, user, ask.search_path.as_deref())
        .await
        .map_err(failed)?;
    Ok((trial, place, settings))
}

pub(super) fn refused(refusal: Option<refusals::Refusal>) -> Result<(), ApiError> {
    refusal.map_or(Ok(()), |r| Err(ApiError::new(409, r.why, r.remedy)))
}

/// The servers of a target, and the one to ask.
pub(super) async fn choose(w: &Watch, target: Option<&str>) -> Result<Where, ApiError> {
    let config = w.app.config();
    let wrong = |e: String| ApiError::new(400, e, "`muster config show` lists the targets");
    let (settings, address) = config.target(target).map_err(wrong)?;
    let name = settings.reach.name.clone();
    let cluster = w
        .app
        .estate
        .cluster(&name)
        .cloned()
        .ok_or_else(|| wrong(format!("cluster {name} is not reached")))?;
    if address != name && cluster.server(&address).is_none() {
        let error = format!("{address} is no PostgreSQL server");
        return Err(ApiError::new(
            400,
            error,
            "name the cluster, or one of its servers",
        ));
    }
    let mut primary: Option<(Arc<Server>, u64)> = None;
    let mut standbys: Vec<(Arc<Server>, u64)> = Vec::new();
    let mut troubles = Vec::new();
    for server in &cluster.servers {
        let asked = async {
            let trial = server.trial(None, server.limits().statement).await?;
            queries::position(&trial).await
        };
        match asked.await {
            Ok((Some(at), true)) => standbys.push((server.clone(), at)),
            Ok((Some(at), false)) if primary.as_ref().is_none_or(|(_, p)| *p < at) => {
                primary = Some((server.clone(), at));
            }
            Ok(_) => {}
            Err(e) => troubles.push(e),
        }
    }
    let only_primary = primary.as_ref().map(|(s, _)| s.clone());
    if let Some(server) = cluster.server(&address) {
        return Ok(Where {
            server: server.clone(),
            primary: only_primary,
            why: "it was named".to_owned(),
            cluster: cluster.clone(),
        });
    }
    let fresh = primary.as_ref().and_then(|(_, now)| {
        standbys
            .iter()
            .map(|(s, at)| (s, now.saturating_sub(*at)))
            .filter(|(_, behind)| *behind <= FRESH_BYTES)
            .min_by_key(|(_, behind)| *behind)
    });
    let (server, why) = match (fresh, &primary, standbys.first()) {
        (Some((s, behind)), _, _) => (
            s.clone(),
            format!("a standby that is {behind} bytes behind, so that the primary is spared"),
        ),
        (None, Some((p, _)), None) => (
            p.clone(),
            "the primary: there is no standby that answers".to_owned(),
        ),
        (None, Some((p, _)), Some(_)) => (p.clone(), "the primary: no standby is fresh".to_owned()),
        (None, None, Some((s, _))) => (
            s.clone(),
            "a standby; the primary does not answer, so how far it is behind is not known".to_owned(),
        ),
        (None, None, None) => {
            return Err(troubles.first().map_or_else(
                || {
                    ApiError::new(
                        409,
                        format!("no server of {name} can be asked"),
                        "`muster check` says why",
                    )
                },
                unreachable_at,
            ));
        }
    };
    Ok(Where {
        server,
        primary: only_primary,
        why,
        cluster: cluster.clone(),
    })
}

async fn search(at: &Where, ask: &Ask, id: &str) -> Result<queries::Found, ApiError> {
    let database = ask.database.as_deref();
    let mut order: Vec<&Arc<Server>> = at.primary.iter().collect();
    order.push(&at.server);
    for s in &at.cluster.servers {
        if !order.iter().any(|o| o.address == s.address) {
            order.push(s);
        }
    }
    let (mut absent, mut trouble) = (0_usize, None);
    for server in &order {
        let trial = match server.trial(database, Duration::from_secs(ask.seconds)).await {
            Ok(trial) => trial,
            Err(e) => {
                trouble = Some(e);
                continue;
            }
        };
        match queries::find(server, &trial, database, id).await {
            Ok(None) => absent += 1,
            Ok(Some(all)) => {
                let fits = |f: &&queries::Found| database.is_none_or(|d| d == f.database);
                if let Some(found) = all.iter().find(fits) {
                    return Ok(found.clone());
                }
            }
            Err(e) => trouble = Some(e),
        }
    }
    if let Some(e) = trouble {
        return Err(unreachable_at(&e));
    }
    if absent == order.len() {
        return Err(ApiError::new(
            409,
            "pg_stat_statements is not in the database that was asked, so no id is known",
            "name its database with `--database`, or give the text with `--sql`",
        ));
    }
    Err(ApiError::new(
        404,
        format!("no statement has the id {id}, or this role may not see it"),
        "`muster query top` prints the ids; a role without pg_monitor sees only its own statements",
    ))
}

/// That a server cannot be asked.
pub(super) fn unreachable_at(e: &ReachError) -> ApiError {
    ApiError::new(409, e.to_string(), e.remedy())
}

/// What the server says of the statement itself.
pub(super) async fn said(ready: &Ready, e: &ReachError) -> ApiError {
    let (at, limits) = (&ready.at.server.address, ready.at.server.limits());
    let code = e.sqlstate.as_deref().unwrap_or_default();
    match code {
        "55P03" => ApiError::new(
            409,
            format!(
                "{at}: a table of the statement is locked, and after {} ms nothing waits for it any more",
                limits.lock.as_millis()
            ),
            "`muster check` names who holds the lock; ask again when it is free",
        ),
        "57014" => ApiError::new(
            409,
            format!("{at}: it took longer than {} s and was cancelled", ready.seconds),
            "give it more time with `--timeout SECONDS`, or ask without carrying it out",
        ),
        "40001" => ApiError::new(
            409,
            format!("{at}: the standby cancelled it, because it conflicts with what it replays"),
            "ask again, or name the primary as the target",
        ),
        "42501" => denied(ready, e).await,
        "42P01" | "42883" | "3F000" => ApiError::new(
            409,
            format!("{at}: {}", e.reason),
            format!(
                "names are looked up in `{}` of database {}; `--database` and `--search-path` name others",
                ready.search_path(),
                ready.place.database
            ),
        ),
        _ if code.is_empty() => unreachable_at(e),
        _ => ApiError::new(
            409,
            format!("{at}: the server cannot plan it: {} (SQLSTATE {code})", e.reason),
            "correct the text, or give values for its parameters with `--param`",
        ),
    }
}

async fn denied(ready: &Ready, e: &ReachError) -> ApiError {
    let role = muster_model::query::ident(&ready.trial.capability().user);
    let error = format!(
        "{}: role {role} may not read it: {}",
        ready.at.server.address, e.reason
    );
    let name = e.reason.rsplit(' ').next().unwrap_or_default().to_owned();
    if e.reason.contains("for schema") {
        let name = muster_model::query::ident(&name);
        return ApiError::new(409, error, format!("GRANT USAGE ON SCHEMA {name} TO {role};"));
    }
    ready.trial.end().await;
    match queries::denied(&ready.trial, &name).await {
        Ok(Some(full)) => ApiError::new(
            409,
            error,
            format!(
                "GRANT SELECT ON {full} TO {role}; in database {}",
                ready.place.database
            ),
        ),
        // It may read it: then the statement wants to write, and a role that observes must not be able to.
        Ok(None) => ApiError::new(
            409,
            error,
            "the statement writes or locks, and this role only reads: ask about a SELECT with the same conditions",
        ),
        Err(e) => unreachable_at(&e),
    }
}
