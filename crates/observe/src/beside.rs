//! What stands beside the servers: poolers, caches, applications. Each is looked at on its own, and nobody waits for one
//! that hangs.
//!
//! A look that takes long goes on beside the passes, never two at one target; meanwhile the last picture stands with its
//! age. A target that missed is looked at every second, so that three misses come soon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_model::snapshot::{AppView, CacheView, Gap, Part, PoolerView, Reach};
use muster_model::{Span, Time};
use muster_reach::error::Trouble;
use muster_reach::{App, AppLogPlace, Cache, Cluster, HealthAnswer, Pooler, ReachError};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::collectors::{app, app_log, cache, pooler};
use crate::pass::{Cadence, Extent, unreachable_as};

/// How long a pass waits for a look that it set off.
const PATIENCE: Duration = Duration::from_millis(250);
/// The same when a probe asks: it looks at servers and poolers, and the others must not hold it up for long.
const PROBED: Duration = Duration::from_secs(1);

/// A log is waited for so long at most: a file on a storage that is gone never answers.
const LOG_PATIENCE: Duration = Duration::from_secs(3);
/// A log that is not read for so long hangs.
const LATE: Span = Span::from_secs(30);

/// How a look is asked for.
#[derive(Clone, Copy)]
struct Asked {
    now: Time,
    /// Whether it is asked anew though it is not due.
    anew: bool,
    /// How long it is waited for; `None` to its end.
    patience: Option<Duration>,
    /// Whether the end may never come: then it is waited for only so long, the first time too.
    at_most: Option<Duration>,
}

impl Asked {
    fn by(extent: Extent, now: Time, probes_look_at_it: bool) -> Self {
        Self {
            now,
            anew: extent != Extent::Due,
            at_most: None,
            patience: match extent {
                Extent::Due => Some(PATIENCE),
                Extent::Probe | Extent::Hot if !probes_look_at_it => Some(PROBED),
                Extent::Probe | Extent::Hot | Extent::All => None,
            },
        }
    }
}

/// A look at one target: in flight, due again when, missed how often.
struct Looks<T> {
    flight: Option<(Time, JoinHandle<Result<T, ReachError>>)>,
    asked: Option<Time>,
    misses: u32,
    down_since: Option<Time>,
}

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Self {
            flight: None,
            asked: None,
            misses: 0,
            down_since: None,
        }
    }
}

impl<T> Drop for Looks<T> {
    fn drop(&mut self) {
        if let Some((_, flight)) = &self.flight {
            flight.abort();
        }
    }
}

impl<T: Send + 'static> Looks<T> {
    /// The answer of a look, when there is one; sets one off when it is due or asked for.
    async fn look<F>(
        &mut self,
        target: &str,
        asked: Asked,
        every: Span,
        start: impl FnOnce() -> F,
    ) -> Option<(Time, Result<T, ReachError>)>
    where
        F: Future<Output = Result<T, ReachError>> + Send + 'static,
    {
        let now = asked.now;
        if asked.patience.is_none()
            && asked.at_most.is_none()
            && let Some((_, flight)) = self.flight.take()
        {
            // It began before now: what it says is not asked anew.
            let _ = flight.await;
        }
        let mut patience = asked.patience;
        if self.flight.is_none() {
            let due = |t: Time| now.since(t).millis() + 50 >= every.millis();
            if !asked.anew && !self.asked.is_none_or(due) {
                return None;
            }
            // The first picture is waited for: half a picture would be unknown, and nobody is used to a quicker one yet.
            if self.asked.replace(now).is_none() {
                patience = None;
            }
            self.flight = Some((now, tokio::spawn(start())));
        }
        let (began, mut flight) = self.flight.take()?;
        let patience = match (patience, asked.at_most) {
            (Some(patience), Some(most)) => Some(patience.min(most)),
            (patience, most) => patience.or(most),
        };
        let done = match patience {
            None => flight.await,
            Some(patience) => match tokio::time::timeout(patience, &mut flight).await {
                Ok(done) => done,
                Err(_) => {
                    self.flight = Some((began, flight));
                    return None;
                }
            },
        };
        let broke = |_| Err(ReachError::new(target, Trouble::Closed, "the look broke off"));
        Some((began, done.unwrap_or_else(broke)))
    }

    fn answered(&mut self) {
        self.misses = 0;
        self.down_since = None;
    }

    fn missed(&mut self, e: &ReachError, at: Time) -> Reach {
        self.misses += 1;
        let since = *self.down_since.get_or_insert(at);
        unreachable_as(e, self.misses, since)
    }

    /// How often it is looked at: who missed, soon again.
    fn every(&self, usual: Span, soon: Span) -> Span {
        if self.misses > 0 { usual.min(soon) } else { usual }
    }
}

struct OfPooler {
    looks: Looks<pooler::Look>,
    memory: pooler::Memory,
    view: PoolerView,
    gap: Option<Gap>,
}

struct OfCache {
    looks: Looks<cache::Look>,
    memory: cache::Memory,
    view: CacheView,
    gap: Option<Gap>,
}

struct OfApp {
    looks: Looks<Option<HealthAnswer>>,
    memory: app::Memory,
    view: AppView,
    gap: Option<Gap>,
    log_looks: Looks<app_log::Look>,
    /// While a look is under way it has the memory.
    log_memory: Option<Box<app_log::Memory>>,
    log_gap: Option<Gap>,
}

/// What is remembered of all of them.
#[derive(Default)]
pub(crate) struct Beside {
    poolers: Mutex<BTreeMap<String, OfPooler>>,
    caches: Mutex<BTreeMap<String, OfCache>>,
    apps: Mutex<BTreeMap<String, OfApp>>,
}

/// The newest picture of all of them.
pub(crate) struct Found {
    pub(crate) poolers: Vec<PoolerView>,
    pub(crate) caches: Vec<CacheView>,
    pub(crate) apps: Vec<AppView>,
    pub(crate) gaps: Vec<Gap>,
}

impl Beside {
    /// Looks at what is due, all at once.
    pub(crate) async fn look(&self, cluster: &Cluster, cadence: Cadence, now: Time, extent: Extent) -> Found {
        let probed = Asked::by(extent, now, true);
        let asked = Asked::by(extent, now, false);
        let (mut poolers, mut caches, mut apps) = (
            self.poolers.lock().await,
            self.caches.lock().await,
            self.apps.lock().await,
        );
        let of_poolers = futures::future::join_all(cluster.poolers.iter().map(|p| {
            let known = poolers.remove(&p.address).unwrap_or_else(|| OfPooler::new(p));
            known.look(p.clone(), cadence, probed)
        }));
        let of_caches = futures::future::join_all(cluster.caches.iter().map(|c| {
            let known = caches.remove(&c.address).unwrap_or_else(|| OfCache::new(c));
            known.look(c.clone(), cadence, asked)
        }));
        let of_apps = futures::future::join_all(cluster.apps.iter().map(|a| {
            let known = apps.remove(&a.address).unwrap_or_else(|| OfApp::new(a));
            known.look(a.clone(), cadence, asked)
        }));
        let (of_poolers, of_caches, of_apps) = futures::join!(of_poolers, of_caches, of_apps);
        let mut found = Found {
            poolers: of_poolers.iter().map(|k| k.view.clone()).collect(),
            caches: of_caches.iter().map(|k| k.view.clone()).collect(),
            apps: of_apps.iter().map(|k| k.view.clone()).collect(),
            gaps: Vec::new(),
        };
        found.gaps.extend(of_poolers.iter().filter_map(|k| k.gap.clone()));
        found.gaps.extend(of_caches.iter().filter_map(|k| k.gap.clone()));
        found.gaps.extend(of_apps.iter().filter_map(|k| k.gap.clone()));
        found
            .gaps
            .extend(of_apps.iter().filter_map(|k| k.log_gap.clone()));
        poolers.extend(of_poolers.into_iter().map(|k| (k.view.address.clone(), k)));
        caches.extend(of_caches.into_iter().map(|k| (k.view.address.clone(), k)));
        apps.extend(of_apps.into_iter().map(|k| (k.view.address.clone(), k)));
        found
    }
}

impl OfPooler {
    fn new(pooler: &Pooler) -> Self {
        Self {
            looks: Looks::default(),
            memory: pooler::Memory::default(),
            view: PoolerView {
                name: pooler.name.clone(),
                address: pooler.address.clone(),
                reach: Reach::Unknown,
                version: None,
                state: None,
            },
            gap: None,
        }
    }

    async fn look(mut self, pooler: Arc<Pooler>, cadence: Cadence, asked: Asked) -> Self {
        let wants = self.memory.wants(asked.now, asked.anew, cadence.settings);
        let every = self.looks.every(cadence.activity, cadence.activity);
        let address = pooler.address.clone();
        let start = || async move { pooler::read(&pooler, wants, asked.now).await };
        match self.looks.look(&address, asked, every, start).await {
            None => {}
            Some((at, Ok(look))) => {
                self.looks.answered();
                let (state, version) = self.memory.takes(look, at);
                self.view.reach = Reach::Up;
                self.view.version = version;
                self.view.state = Some(Part {
                    taken_at: at,
                    value: state,
                });
                self.gap = None;
            }
            Some((at, Err(e))) => {
                self.memory.forgets();
                self.view.reach = self.looks.missed(&e, at);
                self.view.state = None;
                self.gap = Some(unread(pooler::INFO.name, &e));
            }
        }
        self
    }
}

impl OfCache {
    fn new(cache: &Cache) -> Self {
        Self {
            looks: Looks::default(),
            memory: cache::Memory::default(),
            view: CacheView {
                name: cache.name.clone(),
                address: cache.address.clone(),
                ..CacheView::default()
            },
            gap: None,
        }
    }

    async fn look(mut self, cache: Arc<Cache>, cadence: Cadence, asked: Asked) -> Self {
        let wants = self.memory.wants(asked.now, asked.anew);
        let every = self.looks.every(cadence.replication, cadence.activity);
        let target = cache.clone();
        let start = || async move { cache::read(&target, wants).await };
        match self.looks.look(&cache.address, asked, every, start).await {
            None => {}
            Some((at, Ok(look))) => {
                self.looks.answered();
                self.view.reach = Reach::Up;
                let number = |key: &str| look.said(key).and_then(|v| v.parse().ok());
                self.view.used_memory = number("used_memory");
                self.view.max_memory = number("maxmemory");
                self.view.version = look.said("redis_version").map(str::to_owned);
                self.view.run_id = look.said("run_id").map(str::to_owned);
                let (stats, gap) = self.memory.takes(&look, at, &cache);
                self.view.stats = stats.map(|value| Part { taken_at: at, value });
                self.gap = gap;
            }
            Some((at, Err(e))) => {
                self.memory.forgets();
                self.view = CacheView {
                    // Who may not ask was answered: it runs, and we are blind.
                    reach: if e.trouble == Trouble::Privilege {
                        self.looks.answered();
                        Reach::Up
                    } else {
                        self.looks.missed(&e, at)
                    },
                    ..Self::new(&cache).view
                };
                let mut gap = unread(cache::INFO.name, &e);
                if e.trouble == Trouble::Privilege {
                    gap.remedy = Some(format!("ACL SETUSER {} +info", cache.user()));
                }
                self.gap = Some(gap);
            }
        }
        self
    }
}

impl OfApp {
    fn new(app: &App) -> Self {
        Self {
            looks: Looks::default(),
            memory: app::Memory::default(),
            view: AppView {
                name: app.name.clone(),
                address: app.address.clone(),
                endpoint: app.endpoint.clone(),
                ..AppView::default()
            },
            gap: None,
            log_looks: Looks::default(),
            log_memory: None,
            log_gap: None,
        }
    }

    async fn look(mut self, app: Arc<App>, cadence: Cadence, asked: Asked) -> Self {
        let every = self.looks.every(cadence.replication, cadence.activity);
        let address = app.address.clone();
        let log = app.log.clone();
        let start = || async move { app.health().await };
        match self.looks.look(&address, asked, every, start).await {
            None => {}
            // Named in the config without a health route: nobody looked.
            Some((_, Ok(None))) => self.view.reach = Reach::Unknown,
            Some((at, Ok(Some(answer)))) => {
                self.looks.answered();
                self.view.reach = Reach::Up;
                let (value, gap) = self.memory.takes(&answer, at, &address);
                self.view.health = Some(Part { taken_at: at, value });
                self.gap = gap;
            }
            Some((at, Err(e))) => {
                self.memory.misses();
                self.view.reach = self.looks.missed(&e, at);
                self.view.health = None;
                self.gap = Some(unread(app::INFO.name, &e));
            }
        }
        if let Some(place) = log {
            self.log(place, &address, cadence, asked).await;
        }
        self
    }

    /// Its log, beside its health: a file that hangs keeps nobody from asking whether it answers.
    async fn log(&mut self, place: AppLogPlace, address: &str, cadence: Cadence, asked: Asked) {
        let every = app_log::every(&place, cadence.replication);
        let (memory, now) = (&mut self.log_memory, asked.now);
        let asked = Asked {
            at_most: Some(LOG_PATIENCE),
            ..asked
        };
        let start = || {
            let memory = memory.take().unwrap_or_default();
            async move { Ok(app_log::look(memory, place, now).await) }
        };
        match self.log_looks.look(address, asked, every, start).await {
            None => {
                let began = self.log_looks.flight.as_ref().map(|(at, _)| *at);
                if began.is_some_and(|at| now.since(at) > LATE) {
                    self.log_gap = Some(app_log::gap(
                        address,
                        "it does not answer: a storage that hangs",
                        None,
                    ));
                }
            }
            Some((at, Ok(look))) => {
                self.log_memory = Some(look.memory);
                self.view.log = look.log.map(|value| Part { taken_at: at, value });
                self.log_gap = look
                    .lack
                    .map(|l| app_log::gap(address, &l.reason, l.remedy.as_deref()));
            }
            // It broke off and took its memory along: the next look begins anew.
            Some((_, Err(e))) => self.log_gap = Some(app_log::gap(address, &e.reason, None)),
        }
    }
}

fn unread(collector: &str, e: &ReachError) -> Gap {
    Gap {
        collector: collector.to_owned(),
        target: e.target.clone(),
        reason: e.reason.clone(),
        remedy: Some(e.remedy()),
    }
}
