//! One pass over a cluster: the collectors that are due, all servers at once, into a Snapshot with its Gaps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_model::snapshot::{Activity, Cost, Gap, Part, Reach, Rung, ServerView};
use muster_model::{Snapshot, Span, Time};
use muster_reach::error::Trouble;
use muster_reach::{Cluster, PgSession, ReachError, Server};
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};

use crate::beside::Beside;
use crate::collectors::{
    activity, conflicts, identity, limits, locks, login, replication, settings, traffic, waits, wal,
};
use crate::defect::caught;
use crate::lane::{self, Slow};
use crate::near::Near;
use crate::row::Offset;
use crate::{apart, denied, expense};

/// How often collectors run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Activity, locks, pooler.
    pub activity: Span,
    /// Identity, replication, cache.
    pub replication: Span,
    /// Statements, tables, indexes.
    pub tables: Span,
    /// Settings, files, schema, partitions.
    pub settings: Span,
}

/// How much a pass reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What is due; the slow lane goes on beside it.
    Due,
    /// Only what probes look at, anew: who it is, sessions, locks, replication, poolers. Plans are made while it hurts.
    Probe,
    /// Everything but the slow lane, anew; that stands still.
    Hot,
    /// Everything, anew, the slow lane included.
    All,
}

impl Default for Cadence {
    fn default() -> Self {
        Self {
            activity: Span::from_secs(1),
            replication: Span::from_secs(2),
            tables: Span::from_secs(15),
            settings: Span::from_secs(60),
        }
    }
}

/// How long a pass waits for one server. One that takes longer is shown as it was, with its age, until it has answered.
const PATIENCE: Duration = Duration::from_millis(500);
/// A clock that goes back by this much was set; by less, it was corrected.
const SET_BACK: Span = Span::from_secs(1);
/// From this share of slots on nobody logs in anew for what can wait.
const CROWDED_AT: f64 = 0.95;

/// A daemon that has just started looks into catalogues after so long.
const SLOW_AFTER: Span = Span::from_secs(3);

/// Slots that clients have, and those that they may have.
fn slots(activity: &Activity) -> (u32, u32) {
    let used = activity.sessions.iter().filter(|s| s.is_client()).count();
    let usable = activity.max_connections.saturating_sub(activity.reserved);
    (u32::try_from(used).unwrap_or(u32::MAX), usable)
}

/// Whether nearly all slots are taken.
fn crowded(activity: &Activity) -> bool {
    let (used, usable) = slots(activity);
    f64::from(used) >= f64::from(usable) * CROWDED_AT
}

/// Whether a client would be let in. The server counts as is done here; to try it would take one of the last slots, and a
/// login that may use reserved ones would get in where nobody else does.
fn room(view: &ServerView) -> Reach {
    let Some(activity) = view.activity.as_ref().map(|a| &a.value) else {
        return Reach::Up;
    };
    let (used, usable) = slots(activity);
    if used < usable || usable == 0 {
        return Reach::Up;
    }
    Reach::Full {
        reason: format!(
            "all {usable} slots for clients are taken; {} of {} are reserved",
            activity.reserved, activity.max_connections
        ),
    }
}

#[derive(Default)]
struct ServerMemory {
    view: Option<ServerView>,
    gaps: Vec<Gap>,
    misses: u32,
    down_since: Option<Time>,
    offset: Offset,
    names: locks::Names,
    traffic: traffic::Memory,
    wal: wal::Memory,
    conflicts: conflicts::Memory,
    spent: expense::Memory,
    waits: waits::Memory,
    limits_at: Option<Time>,
    apart: apart::Memory,
    slow: Slow,
    slow_gaps: Vec<Gap>,
    began: Option<Time>,
    round: Option<JoinHandle<Slow>>,
    near: Near,
}

impl ServerMemory {
    /// What one collector read. A server that refuses it its statement has refused nobody else theirs: that is a Gap. A session
    /// that is gone ends the pass.
    fn part<T>(
        &mut self,
        server: &Server,
        collector: &str,
        read: Result<T, ReachError>,
    ) -> Result<Option<T>, ReachError> {
        self.gaps.retain(|g| g.collector != collector);
        match read {
            Ok(value) => Ok(Some(value)),
            Err(e) if refused(&e) => {
                self.gaps.push(Gap {
                    collector: collector.to_owned(),
                    target: server.address.clone(),
                    reason: e.reason.clone(),
                    remedy: Some(e.remedy()),
                });
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// The same of what a pass begins with. Only a refusal is a Gap here: a server that is too slow for these statements answers
    /// nobody.
    fn basic<T>(
        &mut self,
        server: &Server,
        session: &PgSession,
        collector: &str,
        read: Result<T, ReachError>,
    ) -> Result<Option<T>, ReachError> {
        match read {
            Err(e) if refused(&e) && e.trouble != Trouble::Timeout && !session.is_closed() => {
                let remedy = denied::remedy(&e, &session.capability().user);
                self.lacks(server, collector, e.reason, remedy);
                Ok(None)
            }
            Ok(value) => {
                self.gaps.retain(|g| g.collector != collector);
                Ok(Some(value))
            }
            Err(e) => Err(e),
        }
    }

    /// Notes one gap of a collector, in the place of those it had.
    fn lacks(&mut self, server: &Server, collector: &str, reason: String, remedy: String) {
        self.gaps.retain(|g| g.collector != collector);
        self.gaps.push(Gap {
            collector: collector.to_owned(),
            target: server.address.clone(),
            reason,
            remedy: Some(remedy),
        });
    }

    fn shows(&mut self, view: &mut ServerView) {
        self.slow.show(view);
        self.slow_gaps = self.slow.gaps().cloned().collect();
    }
}

impl Drop for ServerMemory {
    fn drop(&mut self) {
        if let Some(round) = &self.round {
            round.abort();
        }
    }
}

/// What is known of one server, and the look at it that is under way.
#[derive(Default)]
struct Watched {
    flight: Option<JoinHandle<ServerMemory>>,
    known: Option<ServerMemory>,
    /// As of the last look that came back.
    view: Option<ServerView>,
    gaps: Vec<Gap>,
}

impl Watched {
    /// Sets a look off, unless one is under way, and waits for it: to its end where somebody asked for all anew, and for the
    /// first picture. Otherwise only briefly, so that a server that hangs does not hide what the others do.
    async fn look(mut self, reader: Reader, server: Arc<Server>, now: Time, extent: Extent) -> Self {
        let address = server.address.clone();
        let patient = extent != Extent::Due || self.view.is_none();
        if patient && let Some(flight) = self.flight.take() {
            // It began before now: what it says is not asked anew. That nobody answers is true now as well.
            self.lands(&address, flight.await);
            if !self.view.as_ref().is_some_and(ServerView::answers) {
                return self;
            }
        }
        let mut flight = match self.flight.take() {
            Some(flight) => flight,
            None => {
                let known = self.known.take().unwrap_or_default();
                tokio::spawn(async move { Box::pin(reader.server(&server, known, now, extent)).await })
            }
        };
        if patient {
            self.lands(&address, flight.await);
        } else {
            match tokio::time::timeout(PATIENCE, &mut flight).await {
                Ok(landed) => self.lands(&address, landed),
                Err(_) => self.flight = Some(flight),
            }
        }
        self
    }

    /// A look that broke off took its memory with it: the next one begins anew.
    fn lands(&mut self, target: &str, landed: Result<ServerMemory, JoinError>) {
        let known = landed.unwrap_or_else(|_| {
            let mut anew = ServerMemory::default();
            anew.gaps.push(Gap {
                collector: "activity".to_owned(),
                target: target.to_owned(),
                reason: "the look at this server broke off".to_owned(),
                remedy: Some("this may be a defect of Muster: please report it with its log".to_owned()),
            });
            anew
        });
        self.view.clone_from(&known.view);
        self.gaps.clone_from(&known.gaps);
        self.gaps.extend_from_slice(&known.slow_gaps);
        self.gaps.extend_from_slice(known.near.gaps());
        self.known = Some(known);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(flight) = &self.flight {
            flight.abort();
        }
    }
}

/// Watches one cluster.
pub struct Observer {
    cluster: Arc<Cluster>,
    cadence: Cadence,
    watched: Mutex<Memory>,
    beside: Mutex<Beside>,
}

/// What passes remember.
#[derive(Default)]
struct Memory {
    servers: BTreeMap<String, Watched>,
    last: Option<Time>,
}

/// Reads one server.
#[derive(Clone, Copy)]
struct Reader {
    cadence: Cadence,
}

impl Observer {
    /// Of a cluster.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, cadence: Cadence) -> Self {
        Self {
            cluster,
            cadence,
            watched: Mutex::default(),
            beside: Mutex::default(),
        }
    }

    /// The cluster's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.cluster.name
    }

    /// Reads so much and returns the newest picture. Passes never overlap: the memory is locked.
    pub async fn pass(&self, now: Time, extent: Extent) -> Snapshot {
        let mut snapshot = Snapshot::new(&self.cluster.name, now);
        let mut memory = self.watched.lock().await;
        let mut beside = self.beside.lock().await;
        if memory.last.is_some_and(|last| last.since(now) >= SET_BACK) {
            // Times to come would look fresh, and nothing would be due until they have come: as after an outage.
            memory.servers.clear();
            *beside = Beside::default();
        }
        memory.last = Some(now);
        let reader = Reader {
            cadence: self.cadence,
        };
        let looks = self.cluster.servers.iter().map(|server| {
            let known = memory.servers.remove(&server.address).unwrap_or_default();
            known.look(reader, server.clone(), now, extent)
        });
        let (servers, beside) = futures::join!(
            futures::future::join_all(looks),
            beside.look(&self.cluster, self.cadence, now, extent)
        );
        for (server, watched) in self.cluster.servers.iter().zip(servers) {
            // A look that broke off has no picture.
            snapshot.servers.push(
                watched
                    .view
                    .clone()
                    .unwrap_or_else(|| ServerView::unread(&server.name, &server.address, &server.endpoint)),
            );
            snapshot.gaps.extend_from_slice(&watched.gaps);
            memory.servers.insert(server.address.clone(), watched);
        }
        drop(memory);
        snapshot.poolers = beside.poolers;
        snapshot.caches = beside.caches;
        snapshot.apps = beside.apps;
        snapshot.gaps.extend(beside.gaps);
        snapshot.cost = self.cost();
        snapshot
    }

    /// What collection cost since the start.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let mut sum = Cost::default();
        let meters = self
            .cluster
            .servers
            .iter()
            .map(|s| s.meter())
            .chain(self.cluster.poolers.iter().map(|p| p.meter()))
            .chain(self.cluster.caches.iter().map(|c| c.meter()))
            .chain(self.cluster.apps.iter().map(|a| a.meter()));
        for meter in meters {
            let cost = meter.cost();
            sum.queries += cost.queries;
            sum.rows += cost.rows;
            sum.busy_ms += cost.busy_ms;
        }
        sum
    }
}

impl Reader {
    async fn server(
        &self,
        server: &Arc<Server>,
        mut known: ServerMemory,
        now: Time,
        extent: Extent,
    ) -> ServerMemory {
        let mut view = known
            .view
            .take()
            .unwrap_or_else(|| ServerView::unread(&server.name, &server.address, &server.endpoint));
        let read = caught(
            &server.address,
            self.read(server, &mut view, &mut known, now, extent),
        );
        match read.await {
            Ok(()) => {
                known.misses = 0;
                known.down_since = None;
                view.reach = room(&view);
                self.slowly(server, &mut view, &mut known, now, extent).await;
            }
            Err(e) => {
                known.misses += 1;
                let since = *known.down_since.get_or_insert(now);
                // An answer that we cannot read says nothing about who gave it.
                view.reach = if e.trouble == Trouble::Statement && e.sqlstate.is_none() {
                    Reach::Unknown
                } else {
                    unreachable_as(&e, known.misses, since)
                };
                // Old sessions and locks would be read as present ones; who it is stays known.
                view.activity = None;
                view.locks = None;
                view.replication = None;
                view.traffic = None;
                view.wal = None;
                view.login = None;
                view.waits = None;
                view.limits = None;
                known.limits_at = None;
                known.apart.forget(&mut view);
                known.gaps = vec![Gap {
                    collector: "activity".to_owned(),
                    target: server.address.clone(),
                    reason: e.reason.clone(),
                    remedy: Some(e.remedy()),
                }];
            }
        }
        view.cost = Some(known.spent.sum_up(now, server.meter()));
        if extent != Extent::Probe {
            known.near.look(server, &mut view, now).await;
        }
        known.view = Some(view);
        known
    }

    async fn read(
        &self,
        server: &Server,
        view: &mut ServerView,
        known: &mut ServerMemory,
        now: Time,
        extent: Extent,
    ) -> Result<(), ReachError> {
        let all = extent != Extent::Due;
        let session = server.observing().await?;
        let due = |at: Option<Time>, every: Span| {
            all || at.is_none_or(|t| now.since(t).millis() + 50 >= every.millis())
        };
        if due(
            view.identity.as_ref().map(|p| p.taken_at),
            self.cadence.replication,
        ) {
            let read = identity::read(&session, &server.address, now).await;
            if let Some((read, offset, gaps)) = known.basic(server, &session, identity::INFO.name, read)? {
                known.offset = known.offset.refined(offset);
                known.gaps.extend(gaps);
                if let Some(value) = read {
                    view.identity = Some(Part { taken_at: now, value });
                }
            }
        }
        let offset = known.offset;
        if due(view.activity.as_ref().map(|p| p.taken_at), self.cadence.activity) {
            self.sessions(server, &session, view, known, now).await?;
        }
        // Which end it is decides what is asked.
        if view.role().is_none() {
            let reason =
                "whether it is a primary or a standby is not known: its identity cannot be read".to_owned();
            known.lacks(
                server,
                replication::INFO.name,
                reason,
                "close the gap of identity".to_owned(),
            );
        }
        if let Some(role) = view.role()
            && due(
                view.replication.as_ref().map(|p| p.taken_at),
                self.cadence.replication,
            )
        {
            let read = replication::read(&session, &server.address, role, offset).await;
            let read = known.basic(server, &session, replication::INFO.name, read)?;
            view.replication = None;
            if let Some((mut value, gaps)) = read {
                if extent != Extent::Probe {
                    let read = conflicts::read(&session, role, now, &mut known.conflicts).await;
                    value.conflicts = known.part(server, conflicts::INFO.name, read)?;
                    let read = conflicts::subscriptions(&session, role, now, &mut known.conflicts).await;
                    value.subscriptions = known.part(server, "subscriptions", read)?;
                }
                known.gaps.extend(gaps);
                view.replication = Some(Part { taken_at: now, value });
            }
        }
        if extent == Extent::Probe {
            return Ok(());
        }
        if due(
            view.traffic.as_ref().map(|p| p.taken_at),
            self.cadence.replication,
        ) {
            let read = traffic::read(&session, now, offset, &mut known.traffic).await;
            let value = known.part(server, traffic::INFO.name, read)?;
            view.traffic = value.map(|value| Part { taken_at: now, value });
        }
        if due(view.wal.as_ref().map(|p| p.taken_at), self.cadence.replication) {
            let read = wal::read(&session, now, offset, &mut known.wal).await;
            let value = known.part(server, wal::INFO.name, read)?.flatten();
            view.wal = value.map(|value| Part { taken_at: now, value });
        }
        if due(view.login.as_ref().map(|p| p.taken_at), self.cadence.tables) {
            let read = login::read(&session, server.acting_user()).await;
            let value = known.part(server, login::INFO.name, read)?;
            if value.as_ref().is_some_and(|v| login::outdated(&session, v)) {
                server.renew().await;
            }
            view.login = value.map(|value| Part { taken_at: now, value });
        }
        if due(view.settings.as_ref().map(|p| p.taken_at), self.cadence.settings) {
            let read = settings::read(&session).await;
            let value = known.part(server, settings::INFO.name, read)?;
            view.settings = value.map(|value| Part { taken_at: now, value });
        }
        if due(known.limits_at, self.cadence.settings) {
            known.limits_at = Some(now);
            known.gaps.retain(|g| g.collector != limits::INFO.name);
            view.limits = match limits::read(&session).await {
                Ok(value) => Some(Part { taken_at: now, value }),
                Err(e) if session.is_closed() => return Err(e),
                Err(e) => {
                    known.gaps.push(Gap {
                        collector: limits::INFO.name.to_owned(),
                        target: server.address.clone(),
                        reason: e.reason.clone(),
                        remedy: Some(e.remedy()),
                    });
                    None
                }
            };
        }
        let (memory, gaps) = (&mut known.apart, &mut known.gaps);
        apart::read(&session, view, memory, gaps, (now, offset), self.cadence, due).await
    }

    /// Who is connected, and who waits for whom. What is refused of the one leaves the other.
    async fn sessions(
        &self,
        server: &Server,
        session: &PgSession,
        view: &mut ServerView,
        known: &mut ServerMemory,
        now: Time,
    ) -> Result<(), ReachError> {
        let offset = known.offset;
        // Old sessions and locks would be read as present ones.
        (view.activity, view.waits, view.locks) = (None, None, None);
        let read = activity::read(session, &server.address, offset).await;
        let Some((value, gaps)) = known.basic(server, session, activity::INFO.name, read)? else {
            let reason = "who waits is asked of the sessions, and these cannot be read".to_owned();
            known.lacks(
                server,
                locks::INFO.name,
                reason,
                "close the gap of activity".to_owned(),
            );
            return Ok(());
        };
        known.gaps.extend(gaps);
        let read = locks::read(session, &value.sessions, offset).await;
        if let Some(mut waits) = known.basic(server, session, locks::INFO.name, read)? {
            // When slots are short, a name is no reason for another login.
            let asks = (!crowded(&value)).then_some(server);
            locks::name(asks, &value.sessions, &mut waits, &mut known.names, now).await;
            view.locks = Some(Part {
                taken_at: now,
                value: waits,
            });
        }
        view.waits = Some(Part {
            taken_at: now,
            value: known.waits.take(now, &value),
        });
        view.activity = Some(Part { taken_at: now, value });
        Ok(())
    }

    /// Takes what the slow lane brought, and sets it off again when something is due; never two rounds at once.
    async fn slowly(
        &self,
        server: &Arc<Server>,
        view: &mut ServerView,
        known: &mut ServerMemory,
        now: Time,
        extent: Extent,
    ) {
        let all = extent == Extent::All;
        if let Some(round) = known.round.take_if(|r| all || r.is_finished()) {
            known.slow = round.await.unwrap_or_else(|_| Slow::lost(server, now));
            known.shows(view);
        }
        // The last slots belong to who acts, and to clients; what is known grows old meanwhile, and says so.
        if known.round.is_some()
            || matches!(extent, Extent::Probe | Extent::Hot)
            || view.activity.as_ref().is_some_and(|a| crowded(&a.value))
        {
            return;
        }
        // The first moments belong to what hurts now: who starts in the middle of an incident does not begin with catalogues.
        let began = *known.began.get_or_insert(now);
        if extent == Extent::Due && now.since(began) < SLOW_AFTER {
            return;
        }
        let due = known
            .slow
            .due(now, self.cadence.tables, self.cadence.settings, all);
        if !due.any() {
            return;
        }
        let slow = std::mem::take(&mut known.slow);
        let round = Box::pin(lane::round(server.clone(), slow, due, now, known.offset));
        if all {
            known.slow = round.await;
            known.shows(view);
            return;
        }
        known.round = Some(tokio::spawn(round));
    }
}

/// The server answered, and its answer was no. A statement that our own limit ended is one of these; a session that ended,
/// or gave no answer at all, is not.
fn refused(e: &ReachError) -> bool {
    e.sqlstate.is_some()
        && matches!(
            e.trouble,
            Trouble::Statement | Trouble::Privilege | Trouble::Timeout
        )
}

/// What a failure says about a target.
pub(crate) fn unreachable_as(e: &ReachError, misses: u32, since: Time) -> Reach {
    match e.trouble {
        Trouble::Full => Reach::Full {
            reason: e.reason.clone(),
        },
        Trouble::Starting => Reach::Starting {
            reason: e.reason.clone(),
        },
        _ => Reach::Down {
            rung: e.rung().unwrap_or(Rung::Query),
            reason: e.reason.clone(),
            misses,
            since,
        },
    }
}
