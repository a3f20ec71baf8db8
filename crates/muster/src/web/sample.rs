//! Views for the tests of the page: a leak with a waiting plan, a lock queue, a calm fleet, a fleet that is half blind.

use muster_model::snapshot::Reach;
use muster_model::{
    Blast, Cause, Check, Finding, FrozenTarget, Gap, Health, Incident, IncidentSeverity, IncidentState,
    Limits, OnFail, Plan, PlanFacts, PlanResult, PlannedStep, Record, Remedy, Risk, Run, RunOutcome,
    RunState, RunbookRef, Scope, Severity, Span, StepPlan, StepRecord, Subject, Time, TimelineEntry,
    UndoPlan,
};
use serde_json::{Value, json};

use crate::view::{Story, View};

mod fleet;

pub(crate) use fleet::calm;
pub(super) use fleet::{blind, gap};

fn now() -> Time {
    "2026-11-20T14:03:42Z".parse().expect("a time")
}

fn before(secs: u64) -> Time {
    now().minus(Span::from_secs(secs))
}

fn record_of(v: &Value) -> Record {
    v.as_object().expect("an object").clone()
}

fn finding(kind: &str, target: &str, subject: &str, summary: &str, evidence: &Value) -> Finding {
    Finding {
        kind: kind.into(),
        severity: Severity::Critical,
        target: target.into(),
        subject: Subject(subject.into()),
        summary: summary.into(),
        since: before(42),
        evidence: record_of(evidence),
        remedy: Some(Remedy {
            runbook: "pool-exhausted".into(),
        }),
        cause: false,
        pending: false,
        incident: true,
        ruled_out: Vec::new(),
    }
}

fn incident(id: &str, finding: &Finding, findings: Vec<Finding>) -> Incident {
    Incident {
        format: 1,
        id: id.into(),
        state: IncidentState::Open,
        severity: IncidentSeverity::P1,
        cluster: "shop".into(),
        identity: "7301".into(),
        target: finding.target.clone(),
        cause: Cause {
            kind: finding.kind.clone(),
            subject: finding.subject.clone(),
        },
        symptoms: findings.iter().skip(1).map(|f| f.kind.clone()).collect(),
        finding: finding.clone(),
        findings,
        opened_at: before(42),
        detected_at: before(36),
        last_seen_at: before(1),
        first_action_at: None,
        resolved_at: None,
        resolution: None,
        runs: vec!["run-01J9".into()],
    }
}

fn line(entry: u64, ago: u64, who: &str, tone: &str, text: &str) -> TimelineEntry {
    TimelineEntry {
        entry,
        through: entry,
        at: before(ago),
        who: who.into(),
        text: text.into(),
        tone: tone.into(),
    }
}

/// A step as the journal tells it.
pub(super) fn record(id: &str, outcome: &str) -> StepRecord {
    StepRecord {
        id: id.into(),
        uses: "pg.terminate_backend@1".into(),
        targets: Vec::new(),
        outcome: outcome.into(),
        attempts: Vec::new(),
    }
}

fn target(pid: i32) -> FrozenTarget {
    FrozenTarget {
        kind: "session".into(),
        label: format!(
            "session {pid} of app (notes) on shop/a, idle in transaction 4{}s",
            pid % 10
        ),
        fingerprint: format!("shop/a|{pid}|1795312000000000"),
        json: json!({"by_hand": format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = {pid} AND (extract(epoch FROM \
             backend_start) * 1000000)::int8 = 1795312000000000 AND state = 'idle in transaction' AND usename = 'app';"
        )}),
    }
}

fn plan() -> Plan {
    let step = |id: &str, plan: StepPlan| PlannedStep {
        id: id.into(),
        plan,
        on_fail: OnFail::Escalate,
    };
    Plan {
        format: 1,
        id: "run-01J9".into(),
        policy: None,
        runbook: RunbookRef {
            editor: None,
            id: "pool-exhausted".into(),
            title: "Connection pool exhausted".into(),
            digest: "d".into(),
        },
        scope: Scope {
            cluster: "shop".into(),
            target: "shop/bouncer".into(),
            identity: "7301".into(),
        },
        requested_by: "daemon".into(),
        incident: Some("inc-01J9".into()),
        created_at: before(30),
        expires_at: now().plus(Span::from_mins(14)),
        params: Record::new(),
        risk: Risk::Disruptive,
        over_limits: false,
        result: PlanResult::Changes,
        steps: vec![
            step(
                "pool",
                StepPlan::Probe {
                    uses: "pgbouncer.pool@1".into(),
                    with: Record::new(),
                    continue_if: Some("waiting > 0".into()),
                    expect: None,
                },
            ),
            step(
                "terminate",
                StepPlan::Action {
                    uses: "pg.terminate_backend@1".into(),
                    with: Record::new(),
                    targets: (4711..4721).map(target).collect(),
                    limits: Limits {
                        max_targets: 40,
                        max_percent: 50.0,
                        canary: 1,
                        max_errors: 0,
                    },
                    risk: Risk::Disruptive,
                    blast: Blast {
                        targets: 10,
                        population: 31,
                        also: vec!["10 clients of notes see an error and reconnect".into()],
                        summary: "terminates 10 of 31 sessions; frees 8 waiting clients".into(),
                    },
                    undo: UndoPlan::None {
                        why: "no undo: a session cannot be brought back; its client reconnects".into(),
                    },
                    abort_if: Vec::new(),
                },
            ),
            step(
                "proven",
                StepPlan::Verify {
                    checks: vec![
                        Check {
                            step: "pool".into(),
                            uses: "pgbouncer.pool@1".into(),
                            with: Record::new(),
                            until: "waiting == 0".into(),
                        },
                        Check {
                            step: "leak".into(),
                            uses: "pg.idle_in_transaction@1".into(),
                            with: Record::new(),
                            until: "size(sessions) == 0".into(),
                        },
                    ],
                    hold: Span::from_secs(10),
                    within: Span::from_mins(2),
                },
            ),
        ],
        outputs: std::collections::BTreeMap::new(),
        facts: PlanFacts {
            primaries: None,
            timeline: None,
            enrolled: true,
            can_act: true,
            major: Some(15),
            ..PlanFacts::default()
        },
        point_of_no_return: Some("terminate".into()),
        digest: String::new(),
    }
    .sealed()
}

fn run(plan: &Plan) -> Run {
    Run {
        id: plan.id.clone(),
        runbook: plan.runbook.clone(),
        scope: plan.scope.clone(),
        digest: plan.digest.clone(),
        requested_by: plan.requested_by.clone(),
        incident: plan.incident.clone(),
        state: RunState::WaitingApproval,
        outcome: None,
        detail: String::new(),
        approvals: Vec::new(),
        glass: None,
        glass_second: None,
        created_at: plan.created_at,
        expires_at: plan.expires_at,
        first_action_at: None,
        ended_at: None,
        steps: Vec::new(),
    }
}

/// A leak that exhausts the pool, a plan that waits, one incident that is over.
pub(super) fn leak() -> View {
    let mut v = calm();
    let sessions: Vec<Value> = (0..10)
        .map(|i| json!({"pid": 4711 + i, "state": "idle in transaction", "age_ms": 41_000 + i * 400, "owner": "app / notes", "client": format!("10.0.0.7:5{i}112")}))
        .collect();
    let evidence =
        json!({"waiting": 8, "size": 10, "active": 10, "maxwait_ms": 36_200, "sessions": sessions});
    let mut cause = finding(
        "connections.leak",
        "shop/bouncer",
        "pool:app/shop",
        "8 clients wait, the longest for 36s: 10 of 10 connections sit idle in a transaction",
        &evidence,
    );
    cause.cause = true;
    cause.ruled_out = vec![
        "pool.slow_server: only 0 of 10 run a statement for more than 1s".into(),
        "pool.too_small: the connections do nothing".into(),
    ];
    let symptom = finding(
        "pool.exhausted",
        "shop/bouncer",
        "pool:app/shop",
        "all 10 connections of app/shop are in use",
        &json!({}),
    );
    let mut long = finding(
        "transactions.long",
        "shop/a",
        "session:3990",
        "a transaction of reports is open for 12m 4s",
        &json!({}),
    );
    long.severity = Severity::Warning;
    let c = &mut v.clusters[0];
    c.snapshot.poolers[0] = fleet::pooler(10, 8);
    c.health[2].1 = Health::Critical;
    c.findings = vec![cause.clone(), symptom.clone(), long];
    v.notices = vec!["policy.solo is on: who asks for a disruptive plan may approve it alone.".into()];
    let plan = plan();
    let run = run(&plan);
    let mut past = incident("inc-01J8", &cause, vec![cause.clone(), symptom.clone()]);
    past.state = IncidentState::Resolved;
    past.opened_at = before(86_000);
    past.detected_at = before(85_995);
    past.resolved_at = Some(past.opened_at.plus(Span::from_secs(41)));
    past.resolution = Some("repaired by run-01J8: symptom and cause are gone".into());
    let mut past_run = run.clone();
    past_run.state = RunState::Ended;
    past_run.outcome = Some(RunOutcome::Proven);
    past_run.detail = "waiting == 0 and no new leak for 10s".into();
    let mut past_plan = plan.clone();
    past_plan.id = "run-01J8".into();
    v.stories = vec![
        Story {
            incident: incident("inc-01J9", &cause, vec![cause.clone(), symptom]),
            runs: vec![(plan, run)],
            timeline: vec![
                line(
                    118,
                    36,
                    "daemon",
                    "seen",
                    "Incident opened (P1): connections.leak. 8 clients wait: 10 of 10 connections sit idle in a transaction",
                ),
                line(
                    119,
                    36,
                    "daemon",
                    "seen",
                    "Evidence frozen: 18422 bytes, sha256 9f2c41aa07be….",
                ),
                line(
                    120,
                    30,
                    "daemon",
                    "plan",
                    "daemon planned `pool-exhausted` for shop/bouncer: terminates 10 of 31 sessions; frees 8 waiting clients.",
                ),
                line(
                    121,
                    12,
                    "ana",
                    "person",
                    "Note: looking at it, the notes deploy of 13:58 is the suspect.",
                ),
            ],
            onset: Vec::new(),
            taken: None,
        },
        Story {
            incident: past,
            runs: vec![(past_plan, past_run)],
            timeline: vec![
                line(
                    80,
                    85_995,
                    "daemon",
                    "seen",
                    "Incident opened (P1): connections.leak.",
                ),
                line(
                    92,
                    85_970,
                    "daemon",
                    "act",
                    "`terminate` done: session 4711 is gone.",
                ),
                line(
                    96,
                    85_959,
                    "daemon",
                    "proof",
                    "Proven: symptom and cause are gone; held for 10s.",
                ),
            ],
            onset: vec![cause],
            taken: None,
        },
    ];
    v
}

/// A lock tree with one holder, a migration behind it and the rest behind the migration.
pub(super) fn tree(waiters: i32) -> Record {
    let mut nodes = vec![
        json!({"pid": 500, "label": "app / worker", "state": "idle in transaction", "age_ms": 95_000, "mode": null, "waiting": false}),
    ];
    let mut edges = Vec::new();
    for i in 1..=waiters {
        let first = i == 1;
        nodes.push(json!({
            "pid": 500 + i, "label": if first { "deploy / psql migration 0042_add_column_to_orders" } else { "app / notes" }, "state": "active",
            "age_ms": 30_000 - i * 100, "waiting": true,
            "mode": if first { "AccessExclusiveLock" } else { "AccessShareLock" },
        }));
        edges.push(json!({"from": 500 + i, "to": if first { 500 } else { 501 }}));
    }
    record_of(&json!({"tree": {"nodes": nodes, "edges": edges}}))
}

/// A queue for a lock, a run at work.
pub(super) fn locks(waiters: i32) -> View {
    let mut v = leak();
    let mut cause = finding(
        "locks.ddl_queue",
        "shop/a",
        "session:500",
        "a migration waits for a lock that an idle transaction holds; 149 sessions wait behind it",
        &json!({}),
    );
    cause.evidence = tree(waiters);
    v.clusters[0].findings = vec![cause.clone()];
    v.stories.truncate(1);
    let story = &mut v.stories[0];
    story.incident = incident("inc-01JA", &cause, vec![cause.clone()]);
    story.incident.state = IncidentState::Mitigating;
    let (_, run) = &mut story.runs[0];
    run.state = RunState::Running;
    run.first_action_at = Some(before(5));
    let mut step = record("terminate", "indeterminate");
    step.attempts = vec![
        muster_model::AttemptRecord {
            target: "session 500 of app on shop/a".into(),
            at: before(5),
            outcome: Some(muster_model::Outcome::Done {
                detail: "session 500 is gone".into(),
            }),
            undo: false,
        },
        muster_model::AttemptRecord {
            target: "session 502 of app on shop/a".into(),
            at: before(4),
            outcome: None,
            undo: false,
        },
    ];
    run.steps = vec![record("pool", "done"), step];
    v
}

/// The leak with every free text replaced.
pub(super) fn with_text(text: &str) -> View {
    let mut v = leak();
    let t = || text.to_owned();
    v.version = t();
    v.notices = vec![t()];
    let c = &mut v.clusters[0];
    c.name = t();
    c.snapshot.gaps = vec![Gap {
        collector: t(),
        target: t(),
        reason: t(),
        remedy: Some(t()),
    }];
    c.unknown = vec![(t(), t(), t())];
    c.snapshot.servers[0].name = t();
    c.snapshot.servers[0].reach = Reach::Full { reason: t() };
    if let Some(s) = &mut c.snapshot.poolers[0].state {
        s.value.pools[0].database = t();
    }
    for f in &mut c.findings {
        f.kind = format!("x{text}");
        (f.summary, f.target, f.subject) = (t(), t(), Subject(t()));
    }
    for story in &mut v.stories {
        let i = &mut story.incident;
        i.id = format!("{}{text}", i.id);
        (i.target, i.cause.kind, i.cause.subject) = (t(), t(), Subject(t()));
        i.finding.summary = t();
        i.finding.ruled_out = vec![t()];
        i.symptoms.push(t());
        i.resolution = Some(t());
        if let Some(s) = i.finding.evidence.get_mut("sessions").and_then(|s| s.get_mut(0)) {
            *s = json!({"pid": 1, "state": text, "owner": text, "client": text});
        }
        for l in &mut story.timeline {
            (l.text, l.who, l.tone) = (t(), t(), t());
        }
        for (plan, run) in &mut story.runs {
            plan.id = format!("{}{text}", plan.id);
            plan.runbook.title = t();
            plan.scope.target = t();
            plan.requested_by = t();
            plan.point_of_no_return = Some(t());
            plan.facts.missing_privileges = vec![t()];
            run.detail = t();
            for s in &mut plan.steps {
                if let StepPlan::Action {
                    targets, blast, undo, ..
                } = &mut s.plan
                {
                    targets[0].label = t();
                    targets[0].fingerprint = t();
                    targets[0].json = json!({"by_hand": text});
                    blast.summary = t();
                    *undo = UndoPlan::None { why: t() };
                }
            }
        }
    }
    v
}
