//! A world of numbered things that an action can end, a clock that never waits, and an engine over them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use muster_engine::clock::Clock;
use muster_engine::lease::{FileLeases, Leases, TTL};
use muster_engine::planner::{Planned, Request, VALID};
use muster_engine::{
    Action, ActionPlan, Catalogue, ClusterRules, CodeError, Driven, Engine, Journal, Known, Permit, Probe,
    Starter, Stop, Survey, Surveyor,
};
use muster_model::{
    Autopilot, Blast, Field, FrozenTarget, Kind, Observation, Outcome, Policy, Record, Risk, Scope,
    Signature, Span, TargetFacts, Time, Type, UndoPlan, Window,
};
use muster_runbooks::{Library, check};
use serde_json::json;

/// The world: what is there, and what happened to it.
#[derive(Default)]
pub(crate) struct World {
    /// Things that are there, each with the version that identifies it.
    pub(crate) things: BTreeMap<u32, u32>,
    /// How often each was ended.
    pub(crate) ended: BTreeMap<u32, u32>,
    /// How often each was brought back.
    pub(crate) undone: BTreeMap<u32, u32>,
    /// Ending these fails.
    pub(crate) stubborn: Vec<u32>,
    /// Ending these works, and says that it failed.
    pub(crate) clumsy: Vec<u32>,
    /// Ending these works, and the answer is lost.
    pub(crate) lossy: Vec<u32>,
    /// Undoing these fails.
    pub(crate) gone: Vec<u32>,
    /// Timeline of the primary.
    pub(crate) timeline: u32,
    /// By how many seconds somebody set the clock on the wall forward.
    pub(crate) skew: i64,
    /// Called with the thing just before it is ended, outside the lock.
    pub(crate) before_effect: Option<Before>,
    /// After so many reads of a probe there is a failover.
    pub(crate) failover_after: Option<u32>,
    /// After so many reads of a probe somebody sets the clock on the wall by so many seconds.
    pub(crate) skew_after: Option<(u32, i64)>,
    /// Nothing can be read.
    pub(crate) blind: bool,
    /// Ending these works, and they come back at once as they were.
    pub(crate) boomerang: Vec<u32>,
    /// A number that a condition to stop may look at.
    pub(crate) pressure: u32,
    /// That number cannot be read.
    pub(crate) dark: bool,
    /// Things that come back on their own at every look.
    pub(crate) relapse: Option<u32>,
}

/// What happens just before an effect.
pub(crate) type Before = Box<dyn Fn(u32) + Send + Sync>;

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "there {:?}, ended {:?}, undone {:?}",
            self.things, self.ended, self.undone
        )
    }
}

/// Shared.
pub(crate) type Shared = Arc<Mutex<World>>;

/// A world of things 1 to `n`.
pub(crate) fn world(n: u32) -> Shared {
    Arc::new(Mutex::new(World {
        things: (1..=n).map(|i| (i, 0)).collect(),
        ..World::default()
    }))
}

fn freeze(n: u32, version: u32) -> FrozenTarget {
    FrozenTarget {
        kind: "thing".into(),
        label: format!("thing {n}"),
        fingerprint: format!("thing-{n}.{version}"),
        json: json!({"n": n, "version": version}),
    }
}

fn parts(target: &FrozenTarget) -> (u32, u32) {
    let get = |k: &str| u32::try_from(target.json[k].as_u64().expect("number")).expect("small");
    (get("n"), get("version"))
}

struct Things(Signature, Shared);

impl Things {
    fn new(world: Shared) -> Self {
        let signature = Signature {
            name: "things.read@1".into(),
            kind: Kind::Probe,
            risk: Risk::Read,
            about: "things".into(),
            params: vec![],
            outputs: vec![
                Field::new("count", Type::Int, "things"),
                Field::new("things", Type::identities("thing"), "things"),
            ],
            target: None,
            undo: None,
        };
        Self(signature, world)
    }
}

#[async_trait]
impl Probe for Things {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn read(&self, scope: &Scope, _: &Record) -> Result<Record, CodeError> {
        let mut world = self.1.lock().expect("lock");
        if let Some(left) = world.failover_after {
            world.failover_after = left.checked_sub(1);
            if left == 0 {
                world.timeline += 1;
            }
        }
        if let Some((left, skew)) = world.skew_after {
            world.skew_after = left.checked_sub(1).map(|left| (left, skew));
            if left == 0 {
                world.skew = skew;
            }
        }
        if world.blind {
            return Err(CodeError::Unreadable {
                target: scope.target.clone(),
                reason: "dark".into(),
            });
        }
        let list: Vec<_> = world
            .things
            .iter()
            .map(|(n, v)| freeze(*n, *v).to_value())
            .collect();
        let out = json!({"count": list.len(), "things": list});
        if let Some(n) = world.relapse
            && world.things.remove(&n).is_none()
        {
            world.things.insert(n, 9);
        }
        Ok(out.as_object().expect("object").clone())
    }
}

/// Reads the pressure.
struct Gauge(Signature, Shared);

impl Gauge {
    fn new(world: Shared) -> Self {
        let signature = Signature {
            name: "pressure.read@1".into(),
            kind: Kind::Probe,
            risk: Risk::Read,
            about: "pressure".into(),
            params: vec![],
            outputs: vec![Field::new("pressure", Type::Int, "pressure")],
            target: None,
            undo: None,
        };
        Self(signature, world)
    }
}

#[async_trait]
impl Probe for Gauge {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn read(&self, scope: &Scope, _: &Record) -> Result<Record, CodeError> {
        let world = self.1.lock().expect("lock");
        if world.dark {
            return Err(CodeError::Unreadable {
                target: scope.target.clone(),
                reason: "the gauge is broken".into(),
            });
        }
        let out = json!({"pressure": world.pressure});
        Ok(out.as_object().expect("object").clone())
    }
}

struct End(Signature, Shared, bool);

impl End {
    fn new(world: Shared, undoable: bool) -> Self {
        let signature = Signature {
            name: if undoable { "thing.hide@1" } else { "thing.end@1" }.into(),
            kind: Kind::Action,
            risk: if undoable {
                Risk::Reversible
            } else {
                Risk::Disruptive
            },
            about: "ends a thing".into(),
            params: vec![],
            outputs: vec![],
            target: Some("thing".into()),
            undo: Some(
                if undoable {
                    "brings it back"
                } else {
                    "none: gone is gone"
                }
                .into(),
            ),
        };
        Self(signature, world, undoable)
    }
}

#[async_trait]
impl Action for End {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn plan(
        &self,
        _: &Scope,
        step: &str,
        _: &Record,
        targets: &[FrozenTarget],
    ) -> Result<ActionPlan, CodeError> {
        let facts = targets.iter().map(|t| TargetFacts {
            step: step.to_owned(),
            fingerprint: t.fingerprint.clone(),
            class: "thing".into(),
            owner: None,
            age: Some(Span::from_secs(60)),
            excluded: None,
        });
        Ok(ActionPlan {
            targets: targets.to_vec(),
            facts: facts.collect(),
            blast: Blast {
                targets: targets.len() as u64,
                population: 100,
                also: vec![],
                summary: "ends things".into(),
            },
            undo: if self.2 {
                UndoPlan::Inverse {
                    how: "brings it back".into(),
                }
            } else {
                UndoPlan::None {
                    why: "gone is gone".into(),
                }
            },
            missing_privileges: vec![],
        })
    }

    async fn apply(&self, _: &Scope, _: &Record, target: &FrozenTarget, permit: &Permit) -> Outcome {
        assert!(
            permit.remaining() > Span::ZERO,
            "an effect without the right to it"
        );
        let (n, version) = parts(target);
        let before = self.1.lock().expect("lock").before_effect.take();
        if let Some(before) = before {
            before(n);
            self.1.lock().expect("lock").before_effect.get_or_insert(before);
        }
        let mut world = self.1.lock().expect("lock");
        // As the statement that acts has its deadline.
        if permit.remaining() == Span::ZERO {
            return Outcome::Failed {
                error: "too late".into(),
            };
        }
        if world.stubborn.contains(&n) {
            return Outcome::Failed {
                error: format!("thing {n} does not go"),
            };
        }
        if world.things.get(&n) != Some(&version) {
            return Outcome::NotDone {
                why: "changed since plan".into(),
            };
        }
        world.things.remove(&n);
        *world.ended.entry(n).or_default() += 1;
        if world.boomerang.contains(&n) {
            world.things.insert(n, version);
        }
        if world.lossy.contains(&n) {
            return Outcome::Indeterminate {
                why: "the answer was lost".into(),
            };
        }
        if world.clumsy.contains(&n) {
            return Outcome::Failed {
                error: format!("thing {n} went, but not as asked"),
            };
        }
        Outcome::Done {
            detail: "gone".into(),
        }
    }

    async fn observe(&self, _: &Scope, _: &Record, target: &FrozenTarget) -> Observation {
        let world = self.1.lock().expect("lock");
        let (n, version) = parts(target);
        if world.blind {
            return Observation::Unknown { why: "dark".into() };
        }
        if world.things.get(&n) == Some(&version) {
            Observation::NotDone {
                detail: "it is there".into(),
            }
        } else {
            Observation::Done {
                detail: "it is gone".into(),
            }
        }
    }

    async fn undo(&self, _: &Scope, _: &Record, target: &FrozenTarget, permit: &Permit) -> Outcome {
        assert!(
            permit.remaining() > Span::ZERO,
            "an effect without the right to it"
        );
        let mut world = self.1.lock().expect("lock");
        let (n, version) = parts(target);
        if !self.2 {
            return Outcome::NotDone {
                why: "gone is gone".into(),
            };
        }
        if world.gone.contains(&n) {
            return Outcome::Failed {
                error: format!("thing {n} does not come back"),
            };
        }
        world.things.insert(n, version);
        *world.undone.entry(n).or_default() += 1;
        Outcome::Done {
            detail: "back".into(),
        }
    }
}

struct Still(Mutex<Time>, Shared);

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Time {
        let skew = self.1.lock().expect("lock").skew;
        Time::from_micros(self.0.lock().expect("lock").micros() + skew * 1_000_000)
    }

    fn elapsed(&self) -> Span {
        Span::from_millis(u64::try_from(self.0.lock().expect("lock").millis()).expect("after 1970"))
    }

    async fn wait(&self, span: Span) {
        let mut now = self.0.lock().expect("lock");
        *now = now.plus(span);
    }
}

struct Sure(Shared);

#[async_trait]
impl Surveyor for Sure {
    async fn survey(&self, _: &str, _: &str) -> Survey {
        // As one that asks servers: others get on meanwhile.
        tokio::task::yield_now().await;
        Survey {
            enrolled: true,
            identity: "77".into(),
            major: Some(15),
            can_act: true,
            unarmed: Vec::new(),
            practice: false,
            primaries: Some(vec!["shop/a".into()]),
            timeline: Some(self.0.lock().expect("lock").timeline),
            safety: None,
        }
    }
}

/// Policy of the tests: `ana` and `bo` approve.
pub(crate) fn policy() -> Policy {
    Policy {
        approvers: vec!["ana".into(), "bo".into()],
        ..Policy::default()
    }
}

/// What the config says about the cluster; no runbook is known yet.
pub(crate) fn rules() -> ClusterRules {
    ClusterRules {
        policy: policy(),
        autopilot: Autopilot::Propose,
        settings_digest: "s".into(),
        runbooks: BTreeMap::new(),
        windows: Vec::new(),
    }
}

/// Puts a runbook on the shelf.
pub(crate) fn shelve(engine: &Engine, text: &str) -> muster_runbooks::Runbook {
    let runbook = check("book.yaml", text, &engine.catalogue().signatures()).expect("good runbook");
    let known = Known {
        digest: runbook.digest.clone(),
        editor: None,
    };
    let mut rules = engine.rules("shop");
    rules.runbooks.insert(runbook.id.clone(), known);
    engine.reload(BTreeMap::from([("shop".to_owned(), rules)]));
    runbook
}

/// Leases beside the journal; each engine is a process of its own, and the one before it is dead.
fn leases(dir: &Path) -> Leases {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let store = FileLeases::new(&dir.join("leases")).expect("leases");
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    (0..number).for_each(|n| store.mark_dead(&format!("e{n}")));
    Leases::new(Arc::new(store), &format!("e{number}"), TTL)
}

/// An engine over a world and a journal file.
pub(crate) fn engine(dir: &Path, world: &Shared) -> Engine {
    engine_with(dir, world, leases(dir))
}

/// As [`engine`], with these leases.
pub(crate) fn engine_with(dir: &Path, world: &Shared, leases: Leases) -> Engine {
    let journal = Journal::open(&dir.join("journal.db")).expect("journal");
    let catalogue = Catalogue::new()
        .probe(Things::new(world.clone()))
        .probe(Gauge::new(world.clone()))
        .action(End::new(world.clone(), false))
        .action(End::new(world.clone(), true));
    let mut rules = rules();
    // The books of before are on the shelf still.
    for e in journal.of_kind("planned").expect("reads") {
        if let muster_engine::Event::Planned { plan } = e.event {
            let known = Known {
                digest: plan.runbook.digest,
                editor: None,
            };
            rules.runbooks.insert(plan.runbook.id, known);
        }
    }
    let started = journal
        .all()
        .expect("reads")
        .last()
        .map_or(Time::from_millis(0), |e| e.at);
    let clock = Arc::new(Still(
        Mutex::new(started.plus(Span::from_millis(1))),
        world.clone(),
    ));
    Engine::new(
        journal,
        catalogue,
        clock,
        Arc::new(Sure(world.clone())),
        BTreeMap::from([("shop".to_owned(), rules)]),
        leases,
        None,
    )
}

/// The runbook that ends (or hides) all things.
pub(crate) fn book(action: &str, on_fail: &str) -> String {
    format!(
        "schema: muster.runbook/1
id: book
title: Book
about: Ends all things that are there, and proves that none is left afterwards.
owner: on-call
risk: disruptive
steps:
  - id: look
    probe: things.read@1
    continue_if: count > 0
  - id: end
    action: {action}
    for_each: {{step: look, out: things}}
    limits: {{max_targets: 20, max_percent: 50, canary: 1, max_errors: 0}}
    on_fail: {on_fail}
  - id: proven
    verify:
      all: [{{probe: look, until: count == 0}}]
      hold: 10s
      within: 1m
    on_fail: {on_fail}
"
    )
}

/// As [`book`]; it stops when the pressure is high.
pub(crate) fn careful(action: &str, on_fail: &str) -> String {
    let limits = "max_errors: 0}\n";
    let stops = format!("{limits}    abort_if: [{{probe: gauge, when: pressure > 3}}]\n");
    let gauge = "  - id: gauge\n    probe: pressure.read@1\n  - id: end\n";
    book(action, on_fail)
        .replace(limits, &stops)
        .replace("  - id: end\n", gauge)
}

/// Plans it.
pub(crate) async fn plan(engine: &Engine, text: &str, by: &str) -> Planned {
    plan_reaching(engine, text, by, false).await
}

/// As [`plan`], perhaps made to reach farther than its limits.
pub(crate) async fn plan_reaching(engine: &Engine, text: &str, by: &str, over_limits: bool) -> Planned {
    let runbook = shelve(engine, text);
    let request = Request {
        over_limits,
        ..request(by)
    };
    engine.plan(&runbook, request).await.expect("plans")
}

/// What is asked for.
pub(crate) fn request(by: &str) -> Request<'static> {
    static NONE: std::sync::LazyLock<Library> = std::sync::LazyLock::new(Library::default);
    Request {
        cluster: "shop".into(),
        target: "shop/a".into(),
        params: Record::new(),
        requested_by: by.into(),
        incident: None,
        valid: VALID,
        over_limits: false,
        library: &NONE,
        known: None,
    }
}

/// A world, an engine over it, and a run of it that may begin.
pub(crate) struct Scene {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) things: Shared,
    pub(crate) engine: Engine,
    pub(crate) id: String,
}

/// With so many things, and this runbook; approved where that is needed.
pub(crate) async fn scene(things: &Shared, text: &str) -> Scene {
    let dir = tempfile::tempdir().expect("dir");
    let engine = engine(dir.path(), things);
    let planned = plan(&engine, text, "daemon").await;
    engine
        .approve(&planned.plan.id, "bo", None, None)
        .expect("approves");
    Scene {
        dir,
        things: things.clone(),
        engine,
        id: planned.plan.id,
    }
}

/// A run that ends all things, approved.
pub(crate) async fn approved(engine: &Engine) -> String {
    let planned = plan(engine, &book("thing.end@1", "escalate"), "daemon").await;
    engine
        .approve(&planned.plan.id, "bo", None, None)
        .expect("approves");
    planned.plan.id
}

/// A run that hides all things and can bring them back; it needs nobody's word.
pub(crate) async fn hiding(engine: &Engine) -> String {
    plan(engine, &book("thing.hide@1", "undo"), "daemon")
        .await
        .plan
        .id
}

/// A person starts it, or goes on with it.
pub(crate) async fn drive(engine: &Engine, id: &str) -> Driven {
    engine
        .drive(id, Starter::Person("ana".into()), &Stop::default())
        .await
        .expect("drives")
}

/// As [`drive`]; the process is asked to stop in the effect on this thing.
pub(crate) async fn parked_at(engine: &Engine, things: &Shared, id: &str, thing: u32) {
    let stop = Stop::default();
    let s = stop.clone();
    things.lock().expect("lock").before_effect = Some(Box::new(move |n| {
        if n == thing {
            s.set();
        }
    }));
    let driven = engine
        .drive(id, Starter::Person("ana".into()), &stop)
        .await
        .expect("parks");
    assert!(matches!(driven, Driven::Parked(_)), "{driven:?}");
}

/// The cluster may be changed on Mondays from one to two only; the clock of the tests begins on a Thursday.
pub(crate) fn on_mondays(mut rules: ClusterRules) -> ClusterRules {
    rules.windows = vec![Window {
        name: "nights".into(),
        days: vec![1],
        from: 60,
        to: 120,
        zone: "UTC".into(),
        risk: Risk::Disruptive,
        incidents: true,
    }];
    rules
}
