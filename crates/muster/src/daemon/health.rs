//! `/health*` of CATALOGUE D from the daemon's own observations. Numbers are numbers (milliseconds, bytes, counts); what was not
//! read is null, with the reason beside it.
//!
//! Knows the newest picture of each cluster. Reads nothing anew: an endpoint that is asked by a load balancer every second must
//! not cost the databases anything.

use muster_model::snapshot::{CacheStats, CacheView, Pool, PoolerState, Reach, Role, ServerView};
use muster_model::{Health, Span, Time, standby};
use serde_json::{Map, Value, json};

use crate::view::ClusterPicture;

mod latency;

pub use latency::queries;

/// A picture older than this is no knowledge.
const OLD: Span = Span::from_secs(30);

/// The three states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// All is read and within its limits.
    Healthy,
    /// Something is wrong or not known; what can go on goes on.
    Degraded,
    /// It cannot serve.
    Unhealthy,
}

impl State {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// Its HTTP status: only `unhealthy` is 503.
    #[must_use]
    pub fn status(self) -> u16 {
        if self == Self::Unhealthy { 503 } else { 200 }
    }
}

pub(super) fn primary(c: &ClusterPicture) -> Option<&ServerView> {
    let said = |s: &&ServerView| s.role() == Some(Role::Primary);
    c.snapshot
        .primary()
        .or_else(|| c.snapshot.servers.iter().find(said))
}

/// How a cluster does, for who writes to it.
#[must_use]
pub fn of(c: &ClusterPicture, now: Time) -> State {
    let writable = primary(c).is_some_and(ServerView::answers);
    if !writable {
        return State::Unhealthy;
    }
    let worst = c.health.iter().map(|(_, h)| *h).max().unwrap_or(Health::Unknown);
    let old = now.since(c.snapshot.taken_at) > OLD;
    if worst > Health::Warning || old || !c.snapshot.gaps.is_empty() {
        State::Degraded
    } else {
        State::Healthy
    }
}

/// `GET /health`: the worst of the clusters asked for.
#[must_use]
pub fn brief(clusters: &[&ClusterPicture], now: Time) -> (State, Value) {
    let state = clusters
        .iter()
        .map(|c| of(c, now))
        .max()
        .unwrap_or(State::Unhealthy);
    // What was seen long ago is not known to be so.
    let connected = !clusters.is_empty()
        && clusters
            .iter()
            .all(|c| now.since(c.snapshot.taken_at) <= OLD && primary(c).is_some_and(ServerView::answers));
    let database = if connected { "connected" } else { "disconnected" };
    (state, json!({"status": state.word(), "database": database}))
}

/// `GET /health/ready`: whether Muster does its work. A database that is down is its work: degraded, not unhealthy.
#[must_use]
pub fn ready(
    clusters: &[&ClusterPicture],
    expected: usize,
    unwritable: Option<&str>,
    now: Time,
) -> (State, Value) {
    let stale = clusters
        .iter()
        .filter(|c| now.since(c.snapshot.taken_at) > OLD)
        .count();
    let (state, why) = if clusters.len() < expected {
        (
            State::Unhealthy,
            Some("not every cluster has been looked at yet".to_owned()),
        )
    } else if stale > 0 {
        (
            State::Unhealthy,
            Some(format!("{stale} clusters were not looked at for more than {OLD}")),
        )
    } else if let Some(why) = unwritable {
        (State::Degraded, Some(why.to_owned()))
    } else if clusters.iter().any(|c| of(c, now) != State::Healthy) {
        (State::Degraded, Some("a cluster is not healthy".to_owned()))
    } else {
        (State::Healthy, None)
    };
    (state, json!({"status": state.word(), "reason": why}))
}

/// `GET /health/detailed` of one cluster.
#[must_use]
pub fn detailed(c: &ClusterPicture, now: Time) -> Value {
    let unread = |reason: &str| json!({"status": "unknown", "reason": reason});
    let mut services = Map::new();
    services.insert("database".into(), database(c));
    services.insert(
        "redis".into(),
        c.snapshot.caches.first().map_or_else(
            || unread("no Redis is enrolled"),
            |r| {
                json!({
                    "status": word_of(c, &r.address),
                    "memory": r.used_memory,
                    "keyspace": stats(r).map(|s| s.keys),
                    "evictions": stats(r).map(|s| s.counted.now.evicted),
                    "hit_rate": stats(r).and_then(hit_rate),
                    "reason": reason_of(&r.reach),
                })
            },
        ),
    );
    services.insert(
        "pgbouncer".into(),
        if c.snapshot.poolers.is_empty() {
            unread("no PgBouncer is enrolled")
        } else {
            json!({
                "status": worst_of(c, c.snapshot.poolers.iter().map(|p| p.address.as_str())),
                "active_connections": pooled(c, |p| p.sv_active),
                "waiting_clients": pooled(c, |p| p.cl_waiting),
                "reason": unread_pooler(c),
            })
        },
    );
    services.insert("queries".into(), latency::of_cluster(c));
    json!({
        "status": of(c, now).word(),
        "cluster": c.name,
        "timestamp": c.snapshot.taken_at,
        "services": services,
    })
}

fn stats(r: &CacheView) -> Option<&CacheStats> {
    r.stats.as_ref().map(|p| &p.value)
}

/// Per cent of the lookups of the last minute.
#[allow(clippy::cast_precision_loss)]
fn hit_rate(s: &CacheStats) -> Option<f64> {
    let (hits, misses) = (
        s.counted.in_a_minute(|c| c.hits)?.by,
        s.counted.in_a_minute(|c| c.misses)?.by,
    );
    (hits + misses > 0).then(|| hits as f64 * 100.0 / (hits + misses) as f64)
}

/// What `latency` is.
const LATENCY_METHOD: &str = "mean time in which Muster's own statements of the last minutes were answered";
/// Why there is none.
const NO_LATENCY: &str = "Muster's own statements are not answered now, or too few were yet";

/// How quickly our own statements were answered lately, in milliseconds.
#[allow(clippy::cast_precision_loss)]
fn own_latency(s: &ServerView) -> Option<f64> {
    let cost = s.cost.as_ref()?;
    let before = &cost.before.as_ref()?.value;
    let queries = cost.now.queries.checked_sub(before.queries).filter(|n| *n > 0)?;
    Some(((cost.now.busy_ms - before.busy_ms).max(0.0)) / queries as f64)
}

fn database(c: &ClusterPicture) -> Value {
    let lead = primary(c);
    let replicas: Vec<Value> = c
        .snapshot
        .servers
        .iter()
        .filter(|s| lead.is_none_or(|p| p.address != s.address))
        .map(|s| {
            let state = standby::judge(lead, s);
            let lag = (state.lag_known && s.answers()).then(|| state.lag.millis());
            let why = if state.lag_known || !matches!(state.word, "ok" | "replication.lagging") {
                state.why
            } else {
                "the position of the primary, or the time of what was replayed, is not known".to_owned()
            };
            json!({"name": s.name, "connected": s.answers(), "lag": lag, "reason": lag.is_none().then_some(why)})
        })
        .collect();
    let activity = lead.and_then(|s| s.activity.as_ref()).map(|a| &a.value);
    let sessions = activity.map(|a| a.sessions.iter().filter(|s| s.is_client()).count());
    let answers = lead.is_some_and(ServerView::answers);
    let way = lead.filter(|s| s.answers()).and_then(own_latency);
    // What a PgBouncer opens beyond its pools is their reserve.
    let reserve = of_poolers(c, |s| s.databases.iter().map(|d| d.reserve_pool).sum());
    json!({
        "status": lead.map_or("unknown", |s| word_of(c, &s.address)),
        "primary": {"connected": answers, "name": lead.map(|s| s.name.clone()), "latency": way,
            "method": way.map(|_| LATENCY_METHOD), "reason": way.is_none().then_some(NO_LATENCY)},
        "replicas": replicas,
        "connections": sessions,
        "max_connections": activity.map(|a| a.max_connections),
        "pool": {
            "size": pooled(c, |p| p.size), "checked_out": pooled(c, |p| p.sv_active), "checkedin": pooled(c, |p| p.sv_idle),
            "overflow": reserve, "waiting": pooled(c, |p| p.cl_waiting),
            "reason": unread_pooler(c),
        },
        "is_alive": answers,
        "can_connect": lead.map(|s| matches!(s.reach, Reach::Up)),
        "last_health_check": c.snapshot.taken_at,
        "reason": lead.map_or(Some("no server says that it is the primary".to_owned()), |s| reason_of(&s.reach)),
    })
}

/// A sum over all poolers; nothing when one of them was not read, or there is none.
fn of_poolers(c: &ClusterPicture, of: impl Fn(&PoolerState) -> u32) -> Option<u32> {
    let all = &c.snapshot.poolers;
    (!all.is_empty())
        .then(|| {
            all.iter()
                .map(|p| Some(of(&p.state.as_ref()?.value)))
                .sum::<Option<u32>>()
        })
        .flatten()
}

/// The same over their pools.
fn pooled(c: &ClusterPicture, of: impl Fn(&Pool) -> u32) -> Option<u32> {
    of_poolers(c, |s| s.pools.iter().map(&of).sum())
}

/// Why the numbers of the poolers are not there.
fn unread_pooler(c: &ClusterPicture) -> Option<String> {
    let all = &c.snapshot.poolers;
    if all.is_empty() {
        return Some("no PgBouncer is enrolled".to_owned());
    }
    let unread = all.iter().find(|p| p.state.is_none())?;
    let why = reason_of(&unread.reach).unwrap_or_else(|| "its console was not read".to_owned());
    Some(format!("{}: {why}", unread.address))
}

fn worst_of<'a>(c: &ClusterPicture, addresses: impl Iterator<Item = &'a str>) -> &'static str {
    let words: Vec<&str> = addresses.map(|a| word_of(c, a)).collect();
    ["unhealthy", "unknown", "degraded"]
        .into_iter()
        .find(|w| words.contains(w))
        .unwrap_or("healthy")
}

fn reason_of(reach: &Reach) -> Option<String> {
    match reach {
        Reach::Up => None,
        Reach::Unknown => Some("not tried yet".to_owned()),
        Reach::Full { reason } | Reach::Starting { reason } | Reach::Down { reason, .. } => {
            Some(reason.clone())
        }
    }
}

fn word_of(c: &ClusterPicture, address: &str) -> &'static str {
    match c
        .health
        .iter()
        .filter(|(a, _)| a == address)
        .map(|(_, h)| *h)
        .max()
    {
        Some(Health::Ok | Health::Warning) => "healthy",
        Some(Health::Critical) => "unhealthy",
        Some(Health::Unknown) => "degraded",
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poolers_are_summed_and_one_that_was_not_read_makes_the_sum_unknown() {
        let mut c = crate::web::sample::calm().clusters.remove(0);
        let waiting = |c: &ClusterPicture| detailed(c, c.snapshot.taken_at)["services"]["pgbouncer"].clone();
        let one = waiting(&c)["active_connections"].as_u64().expect("one is read");
        let mut second = c.snapshot.poolers[0].clone();
        second.address = "shop/second".into();
        c.snapshot.poolers.push(second);
        assert_eq!(waiting(&c)["active_connections"].as_u64(), Some(2 * one));
        c.snapshot.poolers[1].state = None;
        let body = waiting(&c);
        assert_eq!(body["active_connections"], Value::Null);
        assert!(
            body["reason"].as_str().is_some_and(|r| r.contains("shop/second")),
            "{body}"
        );
    }

    #[test]
    fn the_lag_of_a_standby_is_null_while_the_primary_is_silent() {
        let mut c = crate::web::sample::calm().clusters.remove(0);
        let now = c.snapshot.taken_at;
        let lag = |c: &ClusterPicture| detailed(c, now)["services"]["database"]["replicas"][0].clone();
        assert!(lag(&c)["lag"].is_number(), "{}", lag(&c));
        let lead = c
            .snapshot
            .servers
            .iter_mut()
            .find(|s| s.role() == Some(Role::Primary));
        lead.expect("a primary").replication = None;
        let body = lag(&c);
        assert_eq!(body["lag"], Value::Null);
        assert!(
            body["reason"].as_str().is_some_and(|r| r.contains("not known")),
            "{body}"
        );
    }

    #[test]
    fn only_what_cannot_serve_is_503_and_unknown_is_null_with_a_reason() {
        let view = crate::web::sample::calm();
        let c = &view.clusters[0];
        let now = c.snapshot.taken_at;
        let (state, body) = brief(&[c], now);
        assert_eq!(
            (state.status(), body["database"].as_str()),
            (200, Some("connected"))
        );
        let detail = detailed(c, now);
        assert_eq!(detail["services"]["queries"]["p95_latency"], Value::Null);
        let why = detail["services"]["queries"]["reason"]
            .as_str()
            .unwrap_or_default();
        assert!(why.contains("no host"), "{why}");
        assert!(detail["services"]["database"]["connections"].is_number());

        let mut down = c.clone();
        for s in down
            .snapshot
            .servers
            .iter_mut()
            .filter(|s| s.role() == Some(Role::Primary))
        {
            s.reach = Reach::Down {
                rung: muster_model::snapshot::Rung::Tcp,
                reason: "refused".into(),
                misses: 3,
                since: now,
            };
            s.activity = None;
        }
        let (state, body) = brief(&[&down], now);
        assert_eq!(
            (state.status(), body["database"].as_str()),
            (503, Some("disconnected"))
        );
        assert_eq!(
            detailed(&down, now)["services"]["database"]["connections"],
            Value::Null
        );
        assert_eq!(
            ready(&[&down], 1, None, now).0,
            State::Degraded,
            "a database that is down is Muster's work"
        );
        assert_eq!(ready(&[], 1, None, now).0, State::Unhealthy);
        let later = now.plus(Span::from_mins(5));
        assert_eq!(
            ready(&[c], 1, None, later).0,
            State::Unhealthy,
            "a picture of five minutes ago is none"
        );
        assert_eq!(of(c, later), State::Degraded);
        assert_eq!(brief(&[c], later).1["database"], "disconnected", "nobody knows");
    }
}
