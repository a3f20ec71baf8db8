//! What ending a session and cancelling its statement have in common: everything but the statement that acts.
//!
//! The identity is checked in the statement that acts. A cancel is only sent where it works: for a session that idles in
//! its transaction it would return true and change nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use muster_engine::{Action, ActionPlan, CodeError, Permit};
use muster_model::{
    Blast, Field, FrozenTarget, Kind, Observation, Outcome, Protect, Record, Risk, Scope, Signature, Span,
    TargetFacts, Type, UndoPlan,
};
use muster_reach::{Estate, PgSession, ReachError, Server};

use crate::Protected;
use crate::exclude;
use crate::eyes::span;
use crate::identity::{SessionId, identify};

/// The server's clock, in microseconds: the acting statement may not take effect later than our right to act.
const CLOCK: &str = "SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8 AS now";
const MAX_CONNECTIONS: &str = "SELECT pg_catalog.current_setting('max_connections')::int8 AS n";

/// What makes one of the two actions: data, told in its own file.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// How long to wait for the effect.
    pub(super) wait: &'static str,
    pub(super) no_undo: &'static str,
    /// The acting statement, with the identity in its WHERE.
    pub(super) sql: &'static str,
    /// Whether the session ends, or only its statement.
    pub(super) whole: bool,
    pub(super) function: &'static str,
    pub(super) verb: &'static str,
    pub(super) seen: &'static str,
}

/// What came of the acting statement.
enum Sent {
    Yes,
    /// The identity did not fit any more, or it was too late.
    No,
    /// Another acting statement of ours runs on this server.
    Busy,
    /// It was not sent, and why.
    Not(String),
}

/// Ends sessions or statements.
pub struct End {
    way: &'static Way,
    signature: Signature,
    estate: Arc<Estate>,
    protect: Protected,
}

impl End {
    pub(super) fn new(way: &'static Way, estate: Arc<Estate>, protect: Protected) -> Self {
        Self {
            way,
            signature: signature(way),
            estate,
            protect,
        }
    }

    fn server(&self, scope: &Scope, id: &SessionId) -> Result<Arc<Server>, String> {
        let cluster = self.estate.cluster(&scope.cluster);
        cluster
            .and_then(|c| c.server(&id.server))
            .cloned()
            .ok_or_else(|| format!("{} is not in the config", id.server))
    }

    fn protected(&self, scope: &Scope) -> Protect {
        let all = self
            .protect
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        all.get(&scope.cluster).cloned().unwrap_or_default()
    }

    async fn now(session: &PgSession, id: &SessionId) -> Result<Option<SessionId>, ReachError> {
        let read = identify(session, &id.server, &[id.pid]).await?;
        Ok(read.into_iter().find(|n| n.backend_start == id.backend_start))
    }

    /// Whether the effect is there, by what is seen of the session now.
    fn happened(&self, id: &SessionId, now: Option<&SessionId>) -> bool {
        match now {
            None => true,
            Some(n) if self.way.whole => n.backend_start != id.backend_start,
            Some(n) => n.state != "active" || n.query_start != id.query_start,
        }
    }

    async fn act(&self, session: &PgSession, id: &SessionId, permit: &Permit) -> Result<Sent, ReachError> {
        let clock = match session.query(CLOCK, &[]).await {
            Ok(clock) => clock,
            Err(e) => return Ok(Sent::Not(e.reason)),
        };
        // In this order: were we stopped in between, the remaining time is the shorter for it.
        let left = i64::try_from(permit.remaining().millis()).unwrap_or(0) * 1000;
        let deadline = clock.first().map_or(0, |r| r.get::<_, i64>("now")) + left;
        let third = if self.way.whole {
            id.state_change
        } else {
            id.query_start
        };
        let rows = session
            .query(
                self.way.sql,
                &[
                    &id.pid,
                    &id.backend_start,
                    &id.xact_start,
                    &id.state,
                    &id.user,
                    &third,
                    &id.system_identifier,
                    &deadline,
                ],
            )
            .await?;
        let flag = |name: &str| rows.first().and_then(|r| r.get::<_, Option<bool>>(name));
        Ok(match (flag("alone"), flag("sent")) {
            (Some(true), Some(true)) => Sent::Yes,
            (Some(true), _) => Sent::No,
            _ => Sent::Busy,
        })
    }

    /// The statement for a person who does it by hand.
    fn by_hand(&self, id: &SessionId) -> String {
        let function = self.way.function;
        let (column, since) = if self.way.whole {
            ("state_change", id.state_change)
        } else {
            ("query_start", id.query_start)
        };
        let micros = |column: &str, value: Option<i64>| {
            let value = value.map_or("NULL".to_owned(), |v| v.to_string());
            format!("(extract(epoch FROM {column}) * 1000000)::int8 IS NOT DISTINCT FROM {value}")
        };
        format!(
            "SELECT {function}(pid) FROM pg_stat_activity WHERE pid = {} AND {} AND {} AND {} AND state = '{}' AND usename = \
             '{}' AND backend_type = 'client backend';",
            id.pid,
            micros("backend_start", Some(id.backend_start)),
            micros("xact_start", id.xact_start),
            micros(column, since),
            id.state.replace('\'', "''"),
            id.user.replace('\'', "''")
        )
    }
}

fn signature(way: &Way) -> Signature {
    Signature {
        name: way.name.to_owned(),
        kind: Kind::Action,
        risk: Risk::Disruptive,
        about: format!(
            "{} Never a superuser's, a walsender's, a backup's, a worker's or our own session, nor one whose commit waits \
             for a standby. A session that changed since the plan is skipped.",
            way.about
        ),
        params: vec![Field::new("wait", Type::Duration, "how long to wait for the effect").or(way.wait)],
        outputs: Vec::new(),
        target: Some("session".to_owned()),
        undo: Some(format!("none: {}", way.no_undo.trim_start_matches("no undo: "))),
    }
}

#[async_trait]
impl Action for End {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn plan(
        &self,
        scope: &Scope,
        step: &str,
        _: &Record,
        targets: &[FrozenTarget],
    ) -> Result<ActionPlan, CodeError> {
        let protect = self.protected(scope);
        let mut plan = ActionPlan {
            targets: Vec::new(),
            facts: Vec::new(),
            blast: Blast::default(),
            undo: UndoPlan::None {
                why: self.way.no_undo.to_owned(),
            },
            missing_privileges: Vec::new(),
        };
        let mut users: Vec<String> = Vec::new();
        let mut server = None;
        for target in targets {
            let id = SessionId::thaw(target)?;
            if !self.way.whole && id.state != "active" {
                return Err(CodeError::Input {
                    name: target.label.clone(),
                    reason: "a cancel changes nothing in a session that runs no statement".to_owned(),
                });
            }
            let mut frozen = target.clone();
            if let Some(map) = frozen.json.as_object_mut() {
                map.insert("by_hand".to_owned(), self.by_hand(&id).into());
            }
            plan.targets.push(frozen);
            plan.facts.push(TargetFacts {
                step: step.to_owned(),
                fingerprint: target.fingerprint.clone(),
                class: "client_session".to_owned(),
                owner: Some(id.owner()),
                age: Some(Span::from_millis(id.age_ms)),
                excluded: exclude::reason(&id, &protect),
            });
            if !users.contains(&id.user) {
                users.push(id.user.clone());
            }
            server = Some(id);
        }
        let verb = self.way.verb;
        plan.blast.targets = targets.len() as u64;
        if let Some(id) = &server {
            let reach = self.server(scope, id).map_err(|reason| CodeError::Input {
                name: id.server.clone(),
                reason,
            })?;
            let unreadable = |e: ReachError| CodeError::Unreadable {
                target: id.server.clone(),
                reason: e.reason,
            };
            let session = reach.observing().await.map_err(unreadable)?;
            let rows = session.query(MAX_CONNECTIONS, &[]).await.map_err(unreadable)?;
            plan.blast.population = rows.first().map_or(0, |r| r.get::<_, i64>("n").unsigned_abs());
            plan.blast.summary = format!(
                "{verb} {} of {} possible sessions on {} (owners: {})",
                targets.len(),
                plan.blast.population,
                id.server,
                users.join(", ")
            );
            if reach.can_act() {
                let capability = reach.acting().await.map_err(unreadable)?.capability().clone();
                let own = users.iter().all(|u| *u == capability.user);
                let mut needs = |role: &str| {
                    plan.missing_privileges
                        .push(format!("GRANT {role} TO {};", capability.user));
                };
                if !capability.signal && !capability.superuser && !own {
                    needs("pg_signal_backend");
                }
                // Without it the state of others is not shown, and what cannot be seen must not count as gone.
                if !capability.monitor && !capability.superuser {
                    needs("pg_monitor");
                }
            }
        }
        Ok(plan)
    }

    async fn apply(&self, scope: &Scope, with: &Record, target: &FrozenTarget, permit: &Permit) -> Outcome {
        let failed = |error: String| Outcome::Failed { error };
        let id = match SessionId::thaw(target) {
            Ok(id) => id,
            Err(e) => return failed(e.to_string()),
        };
        let wait = match span(with, "wait", Span::from_secs(5)) {
            Ok(wait) => wait.duration(),
            Err(e) => return failed(e.to_string()),
        };
        let session = match self.server(scope, &id) {
            Err(e) => return failed(e),
            Ok(server) => match server.acting().await {
                Ok(session) => session,
                Err(e) => return failed(format!("{e}; nothing was sent")),
            },
        };
        // What nobody may touch can have changed since the plan: the config's list, a backup that took the session over.
        match Self::now(&session, &id).await {
            Err(e) => return failed(format!("{e}; nothing was sent")),
            Ok(Some(now)) => {
                if let Some(why) = exclude::reason(&now, &self.protected(scope)) {
                    return Outcome::NotDone { why };
                }
            }
            Ok(None) if !sees(&session, &id) => {
                return failed("this login does not see the sessions of others; nothing was sent".to_owned());
            }
            Ok(None) => {
                return Outcome::NotDone {
                    why: changed(&id, None),
                };
            }
        }
        let began = Instant::now();
        let sent = loop {
            match self.act(&session, &id, permit).await {
                Ok(Sent::Busy) if began.elapsed() < wait => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => break other,
            }
        };
        match sent {
            Ok(Sent::Yes) => {}
            Ok(Sent::Not(why)) => return failed(format!("{why}; nothing was sent")),
            Ok(Sent::Busy) => {
                return failed("another Muster acts on this server just now; nothing was sent".to_owned());
            }
            Ok(Sent::No) if permit.remaining() == Span::ZERO => {
                return failed("the right to act ended before it could be sent; nothing was done".to_owned());
            }
            Ok(Sent::No) => {
                let now = Self::now(&session, &id).await;
                return Outcome::NotDone {
                    why: changed(&id, now.as_ref().ok().and_then(Option::as_ref)),
                };
            }
            // The server said no: it did not act. Class 57 is an end in the middle, which may come after the signal.
            Err(e) if e.sqlstate.as_ref().is_some_and(|s| !s.starts_with("57")) => return failed(e.reason),
            Err(e) => {
                return Outcome::Indeterminate {
                    why: format!("the answer was lost: {}", e.reason),
                };
            }
        }
        loop {
            match Self::now(&session, &id).await {
                Ok(now) if self.happened(&id, now.as_ref()) => {
                    let what = self.way.seen;
                    return Outcome::Done {
                        detail: format!("{}: {what}", target.label),
                    };
                }
                Ok(_) if began.elapsed() < wait => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok(_) => {
                    let waited =
                        Span::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)).human();
                    return failed(format!("it was sent, and after {waited} nothing had changed"));
                }
                Err(e) => {
                    return Outcome::Indeterminate {
                        why: format!("it was sent, but the look after it failed: {}", e.reason),
                    };
                }
            }
        }
    }

    async fn observe(&self, scope: &Scope, _: &Record, target: &FrozenTarget) -> Observation {
        let unknown = |why: String| Observation::Unknown { why };
        let id = match SessionId::thaw(target) {
            Ok(id) => id,
            Err(e) => return unknown(e.to_string()),
        };
        let session = match self.server(scope, &id) {
            Err(e) => return unknown(e),
            Ok(server) => match server.observing().await {
                Ok(session) => session,
                Err(e) => return unknown(e.to_string()),
            },
        };
        match Self::now(&session, &id).await {
            Err(e) => unknown(e.to_string()),
            Ok(None) if !sees(&session, &id) => {
                unknown("this login does not see the sessions of others, or it is another cluster".to_owned())
            }
            Ok(now) if self.happened(&id, now.as_ref()) => Observation::Done {
                detail: format!("{}: not there any more", target.label),
            },
            Ok(_) => Observation::NotDone {
                detail: format!("{}: still there", target.label),
            },
        }
    }

    async fn undo(&self, _: &Scope, _: &Record, _: &FrozenTarget, _: &Permit) -> Outcome {
        Outcome::NotDone {
            why: self.way.no_undo.to_owned(),
        }
    }
}

/// Whether a session that is not seen is not there: the login sees all, on the very cluster.
fn sees(session: &PgSession, id: &SessionId) -> bool {
    let c = session.capability();
    (c.monitor || c.superuser)
        && c.system_identifier
            .as_deref()
            .is_none_or(|s| s == id.system_identifier)
}

/// What is different from the plan, as far as it can be said.
fn changed(id: &SessionId, now: Option<&SessionId>) -> String {
    let what = match now {
        None => "it has ended by itself".to_owned(),
        Some(n) if n.state != id.state => format!("it was {}, now it is {}", id.state, n.state),
        Some(n) if n.xact_start != id.xact_start => "it is in another transaction".to_owned(),
        Some(n) if n.state_change != id.state_change || n.query_start != id.query_start => {
            "it has worked meanwhile".to_owned()
        }
        Some(_) => "its identity does not fit any more".to_owned(),
    };
    format!("changed since the plan: {what}")
}
