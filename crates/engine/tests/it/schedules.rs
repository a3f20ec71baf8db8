//! Ten thousand random schedules of the pure machine: random plans, outcomes, crashes, cancellations and waits, played
//! without a disk and without a clock. Whatever happens, the same few things hold.

use std::collections::{BTreeMap, BTreeSet};

use muster_engine::journal::{Entry, Event, Place};
use muster_engine::progress::{Next, Nodes, attempt_key, next};
use muster_model::{
    AbortIf, Blast, Check, FrozenTarget, Limits, Observation, OnFail, Outcome, Plan, PlanFacts, PlanResult,
    PlannedStep, Record, Risk, RunOutcome, RunbookRef, Scope, Span, StepPlan, Time, UndoPlan, Verdict,
    WaitFor,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const SCHEDULES: u64 = 10_000;
/// More decisions than any schedule needs; a run that needs more does not end.
const BOUND: usize = 600;

type Key = (String, String);

struct Play {
    dice: StdRng,
    plan: Plan,
    entries: Vec<Entry>,
    now: Time,
    /// Where the effect is there.
    live: BTreeSet<Key>,
    applied: BTreeMap<Key, u32>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let plan = plan(&mut dice);
        Self {
            dice,
            plan,
            entries: Vec::new(),
            now: Time::from_millis(0),
            live: BTreeSet::new(),
            applied: BTreeMap::new(),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    fn write(&mut self, place: Place, event: Event) {
        self.now = self.now.plus(Span::from_millis(10));
        self.entries.push(Entry {
            seq: self.entries.len() as u64 + 1,
            at: self.now,
            who: "daemon".into(),
            place,
            epoch: 1,
            event,
            prev: String::new(),
            hash: String::new(),
        });
    }

    fn undoable(&self, key: &Key) -> bool {
        matches!(
            self.plan.step(&key.0).map(|s| &s.plan),
            Some(StepPlan::Action {
                undo: UndoPlan::Inverse { .. },
                ..
            })
        )
    }

    /// Position of a target in the plan, for the order of undoing.
    fn position(&self, key: &Key) -> (usize, usize) {
        let step = self
            .plan
            .steps
            .iter()
            .position(|s| s.id == key.0)
            .expect("a step");
        let StepPlan::Action { targets, .. } = &self.plan.steps[step].plan else {
            panic!("not an action")
        };
        let target = targets
            .iter()
            .position(|t| t.fingerprint == key.1)
            .expect("a target");
        (step, target)
    }

    /// Carries out one decision, perhaps only half of it; the outcome, when the run is over.
    fn obey(&mut self, decided: Next) -> Option<RunOutcome> {
        let place = Place::run("r", None);
        // Killed before anything was written.
        if self.chance(8) {
            return None;
        }
        match decided {
            Next::Over => panic!("asked after the end"),
            Next::Start => self.write(
                place,
                Event::Started {
                    on: "policy".into(),
                    by: None,
                },
            ),
            Next::Read { step } => {
                let go_on = self.chance(97);
                let event = Event::ProbeRead {
                    outputs: Record::new(),
                    go_on,
                    expected: true,
                    why: "gone".into(),
                };
                self.write(place.step(&step), event);
            }
            Next::Apply {
                step,
                target,
                attempt,
                ..
            } => self.apply(&place.step(&step), &target, attempt),
            Next::Undo {
                step,
                target,
                attempt,
            } => self.undo(&place.step(&step), &target, attempt),
            Next::Observe {
                step,
                target,
                attempt,
                undo,
            } => {
                let there = self.live.contains(&(step.clone(), target.fingerprint.clone()));
                let observation = match (self.chance(3), there) {
                    (true, _) => Observation::Unknown { why: "dark".into() },
                    (false, true) => Observation::Done {
                        detail: "there".into(),
                    },
                    (false, false) => Observation::NotDone {
                        detail: "not there".into(),
                    },
                };
                let at = place.step(&step).attempt(&attempt_key(&target, undo), attempt);
                self.write(at, Event::Observed { observation, undo });
            }
            Next::Check {
                step, batch, done, ..
            } => {
                for t in &done {
                    let key = (step.clone(), t.fingerprint.clone());
                    assert!(self.live.contains(&key), "{key:?} is called done and is not");
                }
                let go_on = self.chance(95);
                let why = if go_on { "seen" } else { "stop" }.to_owned();
                let event = Event::Checked {
                    batch,
                    go_on,
                    missing: 0,
                    why,
                };
                self.write(place.step(&step).attempt("", batch), event);
            }
            Next::Verify { step } => {
                let verdict = match self.dice.random_range(0..10) {
                    0 => Verdict::Refuted { why: "there".into() },
                    1 => Verdict::Unknown { why: "dark".into() },
                    _ => Verdict::Proven {
                        detail: "gone".into(),
                    },
                };
                self.write(
                    place.step(&step),
                    Event::Verified {
                        verdict,
                        held_ms: 10_000,
                    },
                );
            }
            Next::WaitUntil { step, at } => {
                if self.now < at {
                    self.now = at;
                    self.write(place.step(&step), waits(WaitFor::Timer));
                } else {
                    self.write(place.step(&step), Event::Waited);
                }
            }
            Next::Pause { at } => {
                assert!(self.now < at, "a pause that is over");
                self.now = at;
            }
            Next::Ask { step, .. } => {
                let event = if self.chance(50) {
                    let approval = muster_model::Approval {
                        digest: String::new(),
                        by: "ana".into(),
                        at: self.now,
                    };
                    Event::Approved { approval }
                } else {
                    waits(WaitFor::Approval)
                };
                self.write(place.step(&step), event);
            }
            Next::Record { step } => self.write(
                place.step(&step),
                Event::Recorded {
                    values: Record::new(),
                },
            ),
            Next::Unwind { outcome, why } => self.write(place, Event::Unwinds { outcome, why }),
            Next::End { outcome, detail } => {
                self.write(place, Event::Ended { outcome, detail });
                return Some(outcome);
            }
        }
        None
    }

    fn apply(&mut self, place: &Place, target: &FrozenTarget, attempt: u32) {
        let key = (place.step.clone(), target.fingerprint.clone());
        assert!(!self.live.contains(&key), "{key:?} is tried although it is done");
        assert!(
            self.entries
                .iter()
                .any(|e| matches!(e.event, Event::Started { .. })),
            "an effect before the start"
        );
        let stopped = |e: &Entry| matches!(e.event, Event::Unwinds { .. } | Event::CancelAsked { .. });
        assert!(!self.entries.iter().any(stopped), "an effect after the stop");
        let no = |e: &Entry| matches!(e.event, Event::Checked { go_on: false, .. });
        assert!(
            !self.entries.iter().any(|e| no(e) && e.place.step == place.step),
            "an effect after a look that said stop"
        );
        let at = place.attempt(&attempt_key(target, false), attempt);
        // A guard makes it wait first, sometimes.
        if self.chance(5) {
            return self.write(at.clone().attempt(&at.target, 0), waits(WaitFor::Window));
        }
        self.write(
            at.clone(),
            Event::Intent {
                target: target.clone(),
                undo: false,
            },
        );
        if self.chance(8) {
            return;
        }
        let (outcome, happened) = match self.dice.random_range(0..20) {
            0 => (
                Outcome::Failed {
                    error: "clean".into(),
                },
                false,
            ),
            1 => (Outcome::Failed { error: "half".into() }, true),
            2 => (
                Outcome::NotDone {
                    why: "changed".into(),
                },
                false,
            ),
            3 => (Outcome::Indeterminate { why: "lost".into() }, true),
            _ => (
                Outcome::Done {
                    detail: "gone".into(),
                },
                true,
            ),
        };
        if happened {
            self.live.insert(key.clone());
            *self.applied.entry(key).or_default() += 1;
        }
        if self.chance(8) {
            return;
        }
        self.write(at, Event::Tried { outcome, undo: false });
    }

    fn undo(&mut self, place: &Place, target: &FrozenTarget, attempt: u32) {
        let key = (place.step.clone(), target.fingerprint.clone());
        assert!(self.undoable(&key), "{key:?} has no undo");
        let mine = self.position(&key);
        let later = self
            .live
            .iter()
            .filter(|k| self.undoable(k))
            .find(|k| self.position(k) > mine);
        assert!(later.is_none(), "{key:?} is undone before {later:?}");
        let at = place.attempt(&attempt_key(target, true), attempt);
        self.write(
            at.clone(),
            Event::Intent {
                target: target.clone(),
                undo: true,
            },
        );
        if self.chance(8) {
            return;
        }
        let (outcome, happened) = match self.dice.random_range(0..12) {
            0 => (Outcome::Failed { error: "no".into() }, false),
            1 => (Outcome::Indeterminate { why: "lost".into() }, true),
            _ => (
                Outcome::Done {
                    detail: "back".into(),
                },
                true,
            ),
        };
        if happened {
            self.live.remove(&key);
        }
        if self.chance(8) {
            return;
        }
        self.write(at, Event::Tried { outcome, undo: true });
    }

    fn run(mut self) -> RunOutcome {
        for _ in 0..BOUND {
            Nodes::fold(&self.entries).expect("every history can have happened");
            // People and the outside world.
            if self.chance(1)
                && !self
                    .entries
                    .iter()
                    .any(|e| matches!(e.event, Event::CancelAsked { .. }))
            {
                self.write(Place::run("r", None), Event::CancelAsked { why: "no".into() });
            }
            let decided = next(&self.plan, &self.entries, self.now);
            assert_eq!(
                decided,
                next(&self.plan, &self.entries, self.now),
                "the same journal, the same decision"
            );
            if let Some(outcome) = self.obey(decided) {
                assert_eq!(next(&self.plan, &self.entries, self.now), Next::Over);
                self.judge(outcome);
                return outcome;
            }
        }
        panic!("it does not end: {:#?}", self.entries);
    }

    /// What must hold at the end.
    fn judge(&self, outcome: RunOutcome) {
        let left: Vec<&Key> = self.live.iter().filter(|k| self.undoable(k)).collect();
        if matches!(outcome, RunOutcome::Undone | RunOutcome::Cancelled) {
            assert!(left.is_empty(), "{outcome:?}, but {left:?} is still there");
        }
        for (key, times) in &self.applied {
            assert_eq!(*times, 1, "{key:?} was done {times} times");
        }
        let open = Nodes::fold(&self.entries).expect("folds");
        for step in &self.plan.steps {
            let StepPlan::Action { targets, .. } = &step.plan else {
                continue;
            };
            for t in targets {
                let (node, _) = open.at(&step.id, t);
                assert!(!node.state().open(), "{outcome:?}, but {} is {node}", t.label);
                let key = (step.id.clone(), t.fingerprint.clone());
                let proven = matches!(outcome, RunOutcome::Proven | RunOutcome::Done);
                if proven && node.state().word() == "succeeded" {
                    assert!(self.live.contains(&key), "{outcome:?}, but {key:?} is not there");
                }
            }
        }
    }
}

fn waits(what: WaitFor) -> Event {
    Event::Waits {
        what,
        why: "not yet".into(),
        until: None,
    }
}

fn plan(dice: &mut StdRng) -> Plan {
    let mut steps = vec![step("look", probe(), OnFail::Escalate)];
    for s in 0..dice.random_range(1..4_u32) {
        let id = format!("act{s}");
        match dice.random_range(0..6) {
            0 => steps.push(step(
                &format!("ask{s}"),
                StepPlan::Approve {
                    question: "really?".into(),
                },
                OnFail::Escalate,
            )),
            1 => steps.push(step(
                &format!("wait{s}"),
                StepPlan::Wait {
                    span: Span::from_secs(3),
                },
                OnFail::Escalate,
            )),
            2 => steps.push(step(
                &format!("note{s}"),
                StepPlan::Record {
                    values: Record::new(),
                },
                OnFail::Escalate,
            )),
            _ => {}
        }
        let on_fail = match dice.random_range(0..5) {
            0 => OnFail::Escalate,
            1 => OnFail::Goto("proven".into()),
            _ => OnFail::Undo,
        };
        let action = action(dice, s);
        steps.push(step(&id, action, on_fail));
    }
    let on_fail = if dice.random_bool(0.6) {
        OnFail::Undo
    } else {
        OnFail::Escalate
    };
    steps.push(step("proven", proof(), on_fail));
    Plan {
        format: 1,
        id: "r".into(),
        runbook: RunbookRef {
            id: "book".into(),
            title: "Book".into(),
            digest: "d".into(),
            editor: None,
        },
        scope: Scope {
            cluster: "shop".into(),
            target: "shop".into(),
            identity: "77".into(),
        },
        requested_by: "daemon".into(),
        incident: None,
        created_at: Time::from_millis(0),
        expires_at: Time::from_millis(900_000),
        params: Record::new(),
        policy: None,
        risk: Risk::Disruptive,
        over_limits: false,
        result: PlanResult::Changes,
        steps,
        outputs: BTreeMap::new(),
        facts: PlanFacts::default(),
        point_of_no_return: None,
        digest: String::new(),
    }
}

fn step(id: &str, plan: StepPlan, on_fail: OnFail) -> PlannedStep {
    PlannedStep {
        id: id.into(),
        plan,
        on_fail,
    }
}

fn probe() -> StepPlan {
    StepPlan::Probe {
        uses: "things.read@1".into(),
        with: Record::new(),
        continue_if: Some("count > 0".into()),
        expect: None,
    }
}

fn proof() -> StepPlan {
    StepPlan::Verify {
        checks: vec![Check {
            step: "look".into(),
            uses: "things.read@1".into(),
            with: Record::new(),
            until: "count == 0".into(),
        }],
        hold: Span::from_secs(10),
        within: Span::from_secs(60),
    }
}

fn stops() -> AbortIf {
    AbortIf {
        step: "look".into(),
        uses: "things.read@1".into(),
        with: Record::new(),
        when: "count > 9".into(),
    }
}

fn action(dice: &mut StdRng, s: u32) -> StepPlan {
    let target = |n: u32| FrozenTarget {
        kind: "thing".into(),
        label: format!("thing {s}.{n}"),
        fingerprint: format!("f{s}.{n}"),
        json: serde_json::json!({}),
    };
    let undo = if dice.random_bool(0.7) {
        UndoPlan::Inverse {
            how: "brings it back".into(),
        }
    } else {
        UndoPlan::None {
            why: "gone is gone".into(),
        }
    };
    StepPlan::Action {
        uses: "thing.hide@1".into(),
        with: Record::new(),
        targets: (0..dice.random_range(0..6)).map(target).collect(),
        limits: Limits {
            max_targets: 20,
            max_percent: 50.0,
            canary: dice.random_range(0..3),
            max_errors: dice.random_range(0..2),
        },
        risk: Risk::Disruptive,
        blast: Blast::default(),
        undo,
        abort_if: if dice.random_bool(0.5) {
            vec![stops()]
        } else {
            Vec::new()
        },
    }
}

#[test]
fn ten_thousand_random_schedules_break_no_invariant() {
    let mut ends: BTreeMap<&'static str, u32> = BTreeMap::new();
    for seed in 0..SCHEDULES {
        let played = std::panic::catch_unwind(|| Play::new(seed).run());
        let Ok(outcome) = played else {
            panic!("schedule {seed} broke an invariant; its message is above");
        };
        *ends.entry(outcome.word()).or_default() += 1;
    }
    for end in [
        "proven",
        "undone",
        "cancelled",
        "indeterminate",
        "undo_failed",
        "escalated",
        "nothing",
    ] {
        let times = ends.get(end).copied().unwrap_or_default();
        assert!(times >= 5, "`{end}` was reached {times} times only: {ends:?}");
    }
}
