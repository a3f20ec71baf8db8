//! A fresh look at a cluster, for probes: every part is read anew, whatever the daemon's cadence.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_engine::CodeError;
use muster_engine::clock::{Clock, SystemClock};
use muster_model::snapshot::{PoolerView, ServerView};
use muster_model::{Record, Scope, Snapshot, Span, Type};
use muster_observe::{Cadence, Extent, Observer};
use muster_reach::{Estate, Server};
use serde_json::Value;

/// Looks at clusters.
pub(crate) struct Eyes {
    estate: Arc<Estate>,
    observers: BTreeMap<String, Observer>,
}

impl Eyes {
    pub(crate) fn new(estate: Arc<Estate>) -> Self {
        let observers = estate
            .clusters()
            .iter()
            .map(|c| (c.name.clone(), Observer::new(c.clone(), Cadence::default())))
            .collect();
        Self { estate, observers }
    }

    /// Everything about the scope's cluster, read now.
    pub(crate) async fn look(&self, scope: &Scope) -> Result<Snapshot, CodeError> {
        let observer = self
            .observers
            .get(&scope.cluster)
            .ok_or_else(|| unreadable(scope, "it is not in the config"))?;
        Ok(observer.pass(SystemClock.now(), Extent::Probe).await)
    }

    /// The server at an address.
    pub(crate) fn server(&self, scope: &Scope, address: &str) -> Result<Arc<Server>, CodeError> {
        let cluster = self.estate.cluster(&scope.cluster);
        cluster
            .and_then(|c| c.server(address))
            .cloned()
            .ok_or_else(|| unreadable(scope, "it is not in the config"))
    }
}

pub(crate) fn unreadable(scope: &Scope, reason: &str) -> CodeError {
    CodeError::Unreadable {
        target: scope.target.clone(),
        reason: reason.to_owned(),
    }
}

fn no_primary(scope: &Scope, snapshot: &Snapshot) -> CodeError {
    let mut reason = "no server of it says that it is the primary".to_owned();
    for server in snapshot.servers.iter().filter(|s| !s.answers()) {
        let why = snapshot
            .gap("activity", &server.address)
            .map_or("it does not answer", |g| g.reason.as_str());
        reason.push_str(&format!("; {}: {why}", server.address));
    }
    unreadable(scope, &reason)
}

/// The server that a scope means: the one it names, else the primary.
pub(crate) fn server_of<'a>(scope: &Scope, snapshot: &'a Snapshot) -> Result<&'a ServerView, CodeError> {
    let server = snapshot
        .server(&scope.target)
        .or_else(|| snapshot.primary())
        .ok_or_else(|| no_primary(scope, snapshot))?;
    if server.answers() {
        return Ok(server);
    }
    let why = snapshot
        .gap("activity", &server.address)
        .map_or("it does not answer", |g| g.reason.as_str());
    Err(CodeError::Unreadable {
        target: server.address.clone(),
        reason: why.to_owned(),
    })
}

/// Its sessions, when this role sees them.
pub(crate) fn sessions_of(server: &ServerView) -> Result<&muster_model::snapshot::Activity, CodeError> {
    let activity = server
        .activity
        .as_ref()
        .map(|p| &p.value)
        .ok_or_else(|| CodeError::Unreadable {
            target: server.address.clone(),
            reason: "its sessions were not read".to_owned(),
        })?;
    if activity.sees_all {
        return Ok(activity);
    }
    Err(CodeError::Privilege {
        target: server.address.clone(),
        reason: "the sessions of others are not seen".to_owned(),
        grant: Some("GRANT pg_monitor TO the observing role;".to_owned()),
    })
}

/// The pooler that a scope means: the one it names, else the only one.
pub(crate) fn pooler_of<'a>(scope: &Scope, snapshot: &'a Snapshot) -> Result<&'a PoolerView, CodeError> {
    let named = snapshot.poolers.iter().find(|p| p.address == scope.target);
    let only = if snapshot.poolers.len() == 1 {
        snapshot.poolers.first()
    } else {
        None
    };
    let pooler = named.or(only).ok_or_else(|| {
        unreadable(
            scope,
            if snapshot.poolers.is_empty() {
                "no pooler is enrolled"
            } else {
                "name one pooler with --target"
            },
        )
    })?;
    if pooler.state.is_some() {
        return Ok(pooler);
    }
    let why = snapshot
        .gap("pooler", &pooler.address)
        .map_or("it does not answer", |g| g.reason.as_str());
    Err(CodeError::Unreadable {
        target: pooler.address.clone(),
        reason: why.to_owned(),
    })
}

/// An input of type duration.
pub(crate) fn span(with: &Record, name: &str, fallback: Span) -> Result<Span, CodeError> {
    match with.get(name) {
        None | Some(Value::Null) => Ok(fallback),
        Some(Value::String(text)) => text.parse().map_err(|reason| CodeError::Input {
            name: name.to_owned(),
            reason,
        }),
        Some(other) => Err(CodeError::Input {
            name: name.to_owned(),
            reason: format!("{other} is not {}", Type::Duration.name()),
        }),
    }
}

/// An input of type int.
pub(crate) fn int(with: &Record, name: &str, fallback: i64) -> i64 {
    with.get(name).and_then(Value::as_i64).unwrap_or(fallback)
}

/// An input of type text.
pub(crate) fn text<'a>(with: &'a Record, name: &str) -> Option<&'a str> {
    with.get(name).and_then(Value::as_str).filter(|t| !t.is_empty())
}

/// An input that is a list of text.
pub(crate) fn texts(with: &Record, name: &str) -> Option<Vec<String>> {
    let items = with.get(name)?.as_array()?;
    Some(
        items
            .iter()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect(),
    )
}

/// An object as a record.
pub(crate) fn record(value: Value) -> Record {
    match value {
        Value::Object(map) => map,
        _ => Record::new(),
    }
}
