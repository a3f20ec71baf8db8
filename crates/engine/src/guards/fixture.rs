//! A plan with one change, and facts under which every guard lets it pass; tests spoil one thing each.

use std::collections::BTreeMap;

use muster_model::{
    Approval, Blast, FrozenTarget, Limits, OnFail, Plan, PlanFacts, PlanResult, PlannedStep, Policy, Record,
    Risk, RunOutcome, RunbookRef, Scope, Span, StepPlan, TargetFacts, Time, UndoPlan, Window,
};

use super::{Facts, Phase, Starter};
use crate::proof::Proof;
use crate::run::Past;

pub(crate) fn target(n: u32) -> FrozenTarget {
    FrozenTarget {
        kind: "thing".into(),
        label: format!("thing {n}"),
        fingerprint: format!("f{n}"),
        json: serde_json::json!({"n": n}),
    }
}

pub(crate) fn plan(targets: u32) -> Plan {
    let frozen: Vec<FrozenTarget> = (1..=targets).map(target).collect();
    let facts = frozen
        .iter()
        .map(|t| TargetFacts {
            step: "end".into(),
            fingerprint: t.fingerprint.clone(),
            class: "thing".into(),
            owner: Some("app".into()),
            age: Some(Span::from_secs(20)),
            excluded: None,
        })
        .collect();
    Plan {
        format: 1,
        id: "r1".into(),
        runbook: RunbookRef {
            id: "book".into(),
            title: "Book".into(),
            digest: "d".into(),
            editor: None,
        },
        scope: Scope {
            cluster: "shop".into(),
            target: "shop/a".into(),
            identity: "77".into(),
        },
        requested_by: "daemon".into(),
        incident: None,
        created_at: at(0),
        expires_at: at(900),
        params: Record::new(),
        policy: None,
        risk: Risk::Disruptive,
        over_limits: false,
        result: PlanResult::Changes,
        steps: vec![PlannedStep {
            id: "end".into(),
            plan: StepPlan::Action {
                uses: "thing.end@1".into(),
                with: Record::new(),
                targets: frozen,
                limits: Limits {
                    max_targets: 5,
                    max_percent: 50.0,
                    canary: 1,
                    max_errors: 0,
                },
                risk: Risk::Disruptive,
                blast: Blast {
                    targets: u64::from(targets),
                    population: 100,
                    also: Vec::new(),
                    summary: String::new(),
                },
                undo: UndoPlan::None {
                    why: "gone is gone".into(),
                },
                abort_if: Vec::new(),
            },
            on_fail: OnFail::Escalate,
        }],
        outputs: BTreeMap::new(),
        facts: PlanFacts {
            enrolled: true,
            can_act: true,
            missing_privileges: Vec::new(),
            targets: facts,
            major: Some(15),
            practice: false,
            primaries: None,
            timeline: None,
        },
        point_of_no_return: Some("end".into()),
        digest: String::new(),
    }
    .sealed()
}

pub(crate) fn at(seconds: i64) -> Time {
    Time::from_millis(seconds * 1000)
}

pub(super) fn policy() -> Policy {
    Policy {
        approvers: vec!["ana".into(), "bo".into()],
        ..Policy::default()
    }
}

pub(super) fn signed(plan: &Plan, by: &[&str]) -> Vec<Approval> {
    by.iter()
        .map(|b| Approval {
            digest: plan.digest.clone(),
            by: (*b).to_owned(),
            at: at(10),
        })
        .collect()
}

pub(super) fn facts<'a>(plan: &'a Plan, policy: &'a Policy, approvals: &'a [Approval]) -> Facts<'a> {
    Facts {
        plan,
        policy,
        phase: Phase::Change,
        starter: Starter::Person("bo".into()),
        now: at(20),
        approvals,
        glass: None,
        glass_second: None,
        issued: Some(&plan.digest),
        frozen: None,
        past: &[],
        identity_now: Some("77"),
        proofs: &[],
        settings_digest: "s",
        runbook_now: Some("d"),
        primaries_now: None,
        timeline_now: None,
        windows: &[],
        safety: None,
    }
}

pub(super) fn past(id: &str, ended: Option<i64>, outcome: Option<RunOutcome>) -> Past {
    Past {
        id: id.into(),
        runbook: "book".into(),
        identity: "77".into(),
        target: "shop/a".into(),
        mutating: true,
        requested_by: "daemon".into(),
        started_at: ended.map_or(Some(at(1)), |e| Some(at(e - 1))),
        ended_at: ended.map(at),
        outcome,
        effects: 1,
    }
}

pub(super) fn nights() -> Window {
    Window {
        name: "nights".into(),
        days: vec![1, 2, 3, 4, 5],
        from: 22 * 60,
        to: 5 * 60,
        zone: "Europe/Berlin".into(),
        risk: Risk::Disruptive,
        incidents: true,
    }
}

pub(super) fn proof() -> Proof {
    Proof {
        drill: "book".into(),
        runbook: "book".into(),
        runbook_digest: "d".into(),
        settings_digest: "s".into(),
        major: 15,
        at: at(0),
        repeats: 1,
    }
}

#[test]
fn the_fixture_passes_every_guard() {
    let (plan, policy) = (plan(2), policy());
    let approvals = signed(&plan, &["ana"]);
    assert_eq!(super::check(&facts(&plan, &policy, &approvals)), Ok(()));
}
