//! The four proofs that every action owes, each one line in a test: it succeeds, twice is harmless, a failure stops in a
//! named state, undo does what the plan said.

use muster_engine::ActionPlan;
use muster_lab::Fleet;
use muster_lab::server::{How, stop};
use muster_model::{FrozenTarget, Observation, Outcome, Protect, Record, Risk, UndoPlan};

use crate::estate::{Desk, nothing, record};
use crate::victim;

fn defaults() -> Record {
    record(nothing())
}

pub(crate) async fn plan(desk: &Desk, action: &str, targets: &[FrozenTarget]) -> ActionPlan {
    let planned = desk
        .action(action)
        .plan(&desk.scope(), "step", &defaults(), targets)
        .await;
    planned.expect("a plan")
}

pub(crate) async fn apply(desk: &Desk, action: &str, target: &FrozenTarget) -> Outcome {
    desk.action(action)
        .apply(&desk.scope(), &defaults(), target, &desk.permit().await)
        .await
}

pub(crate) async fn observe(desk: &Desk, action: &str, target: &FrozenTarget) -> Observation {
    desk.action(action)
        .observe(&desk.scope(), &defaults(), target)
        .await
}

/// Proof 1: planned, applied, done; and a look at the world says so.
pub(crate) async fn succeeds(fleet: &Fleet, action: &str) {
    let desk = Desk::plain(fleet);
    let victim = victim::of(action, fleet, &desk).await;
    let plan = plan(&desk, action, std::slice::from_ref(&victim.target)).await;
    assert_eq!(desk.action(action).signature().risk, Risk::Disruptive);
    assert_eq!((plan.targets.len(), plan.blast.targets), (1, 1));
    assert_eq!(plan.blast.population, u64::from(fleet.max_connections));
    assert!(plan.blast.summary.contains("shop/a") && plan.blast.summary.contains("app"));
    assert_eq!(plan.missing_privileges, Vec::<String>::new());
    let facts = &plan.facts[0];
    assert_eq!(
        (facts.step.as_str(), facts.owner.as_deref(), &facts.excluded),
        ("step", Some("app/victim"), &None)
    );
    assert_eq!(facts.fingerprint, victim.target.fingerprint);
    assert!(
        plan.targets[0].json["by_hand"]
            .as_str()
            .is_some_and(|s| s.contains("backend_start"))
    );
    let before = observe(&desk, action, &plan.targets[0]).await;
    assert!(
        matches!(before, Observation::NotDone { .. }),
        "a plan changes nothing: {before:?}"
    );
    let done = apply(&desk, action, &plan.targets[0]).await;
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    let after = observe(&desk, action, &plan.targets[0]).await;
    assert!(matches!(after, Observation::Done { .. }), "{after:?}");
}

/// Proof 2: the second time is `NotDone`, and the effect is still seen.
pub(crate) async fn twice_is_harmless(fleet: &Fleet, action: &str) {
    let desk = Desk::plain(fleet);
    let victim = victim::of(action, fleet, &desk).await;
    let first = apply(&desk, action, &victim.target).await;
    assert!(matches!(first, Outcome::Done { .. }), "{first:?}");
    let second = apply(&desk, action, &victim.target).await;
    let Outcome::NotDone { why } = &second else {
        panic!("{second:?}")
    };
    assert!(why.starts_with("changed since the plan"), "{why}");
    let seen = observe(&desk, action, &victim.target).await;
    assert!(matches!(seen, Observation::Done { .. }), "{seen:?}");
}

/// Proof 3: without a login, and with the server gone between plan and apply, it ends in a named state and the look
/// afterwards does not pretend to know. Stops the fleet's server.
pub(crate) async fn failure_stops_in_a_named_state(fleet: &Fleet, action: &str) {
    let desk = Desk::plain(fleet);
    let victim = victim::of(action, fleet, &desk).await;
    let silent = Desk::new(fleet, false, Protect::default());
    let refused = apply(&silent, action, &victim.target).await;
    let Outcome::Failed { error } = &refused else {
        panic!("{refused:?}")
    };
    assert!(
        error.contains("no login to act with") && error.contains("nothing was sent"),
        "{error}"
    );
    let seen = observe(&desk, action, &victim.target).await;
    assert!(
        matches!(seen, Observation::NotDone { .. }),
        "it was left alone: {seen:?}"
    );

    // Both sessions are open when the server goes: that is the harder case.
    let planned = plan(&desk, action, std::slice::from_ref(&victim.target)).await;
    stop(fleet, "a", How::Immediate).await.expect("stops");
    for _ in 0..2 {
        let outcome = apply(&desk, action, &planned.targets[0]).await;
        let named = matches!(outcome, Outcome::Failed { .. } | Outcome::Indeterminate { .. });
        assert!(named && !outcome.detail().is_empty(), "{outcome:?}");
        let seen = observe(&desk, action, &planned.targets[0]).await;
        let Observation::Unknown { why } = &seen else {
            panic!("unknown is never success: {seen:?}")
        };
        assert!(why.contains("shop/a"), "{why}");
    }
}

/// Proof 4: the plan says that there is no undo and why, and undo says the same, twice.
pub(crate) async fn undo_says_why_not(fleet: &Fleet, action: &str) {
    let desk = Desk::plain(fleet);
    let victim = victim::of(action, fleet, &desk).await;
    let plan = plan(&desk, action, std::slice::from_ref(&victim.target)).await;
    let UndoPlan::None { why: planned } = &plan.undo else {
        panic!("{:?}", plan.undo)
    };
    let done = apply(&desk, action, &plan.targets[0]).await;
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    for _ in 0..2 {
        let undone = desk
            .action(action)
            .undo(&desk.scope(), &defaults(), &plan.targets[0], &desk.permit().await)
            .await;
        let Outcome::NotDone { why } = &undone else {
            panic!("{undone:?}")
        };
        assert_eq!(why, planned);
        assert!(why.starts_with("no undo: ") && why.len() > 30, "{why}");
    }
}
