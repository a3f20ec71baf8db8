//! Ending sessions and statements: the four proofs, and everything that must survive.

use muster_engine::CodeError;
use muster_lab::fleet::User;
use muster_lab::testing::{self, TestFleet};
use muster_model::{Observation, Outcome, Protect};
use serde_json::{Value, json};

use crate::estate::{Desk, nothing, record, targets};
use crate::proofs::{self, apply, observe, plan};
use crate::victim;

const TERMINATE: &str = "pg.terminate_backend@1";
const CANCEL: &str = "pg.cancel_backend@1";

async fn small(major: u32) -> Option<TestFleet> {
    let mut options = testing::small(major);
    options.max_connections = 60;
    testing::fleet(options).await
}

async fn four_proofs(action: &str, major: u32) {
    let Some(test) = small(major).await else { return };
    proofs::succeeds(&test.fleet, action).await;
    proofs::twice_is_harmless(&test.fleet, action).await;
    proofs::undo_says_why_not(&test.fleet, action).await;
    proofs::failure_stops_in_a_named_state(&test.fleet, action).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminate_owes_four_proofs_on_15() {
    four_proofs(TERMINATE, 15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminate_owes_four_proofs_on_18() {
    four_proofs(TERMINATE, 18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_owes_four_proofs_on_15() {
    four_proofs(CANCEL, 15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_owes_four_proofs_on_18() {
    four_proofs(CANCEL, 18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_plan_kills_nobody() {
    for major in [15, 18] {
        let Some(test) = small(major).await else { return };
        let desk = Desk::plain(&test.fleet);

        // It went back to work between plan and apply, and idles in the same transaction again.
        let victim = victim::idle(&test.fleet, &desk, User::App, "victim").await;
        let planned = plan(&desk, TERMINATE, std::slice::from_ref(&victim.target)).await;
        assert!(victim::lives(&victim.client).await);
        let outcome = apply(&desk, TERMINATE, &planned.targets[0]).await;
        let Outcome::NotDone { why } = &outcome else {
            panic!("{outcome:?}")
        };
        assert!(
            why.contains("changed since the plan") && why.contains("worked meanwhile"),
            "{why}"
        );
        assert!(victim::lives(&victim.client).await, "a session at work was ended");
        let seen = observe(&desk, TERMINATE, &planned.targets[0]).await;
        assert!(matches!(seen, Observation::NotDone { .. }), "{seen:?}");

        // It ended its transaction, or began another one.
        for (sql, said) in [
            ("COMMIT", "now it is idle"),
            ("BEGIN; SELECT 1", "another transaction"),
        ] {
            victim.client.batch_execute(sql).await.expect(sql);
            let outcome = apply(&desk, TERMINATE, &planned.targets[0]).await;
            let Outcome::NotDone { why } = &outcome else {
                panic!("{outcome:?}")
            };
            assert!(
                why.contains("changed since the plan") && why.contains(said),
                "{why}"
            );
            assert!(victim::lives(&victim.client).await);
        }

        // Another session under the same process id, another transaction, another cluster: not the one of the plan.
        let victim = victim::idle(&test.fleet, &desk, User::App, "second").await;
        for (field, wrong) in [
            ("backend_start", json!(1)),
            ("xact_start", json!(1)),
            ("xact_start", Value::Null),
            ("state_change", json!(1)),
            ("state", json!("idle")),
            ("user", json!("somebody")),
            ("system_identifier", json!("1")),
        ] {
            let mut forged = victim.target.clone();
            forged.json[field] = wrong;
            let outcome = apply(&desk, TERMINATE, &forged).await;
            let Outcome::NotDone { why } = &outcome else {
                panic!("{field}: {outcome:?}")
            };
            assert!(why.contains("changed since the plan"), "{field}: {why}");
            assert!(
                !victim.client.is_closed(),
                "a session was ended whose {field} differs from the plan"
            );
        }
        let outcome = apply(&desk, TERMINATE, &victim.target).await;
        assert!(
            matches!(outcome, Outcome::Done { .. }),
            "only the exact one goes: {outcome:?}"
        );
        assert!(!victim::lives(&victim.client).await);

        // A statement that has ended is not cancelled, nor is the one after it.
        let victim = victim::running(&test.fleet, &desk).await;
        for field in ["backend_start", "xact_start", "query_start"] {
            let mut forged = victim.target.clone();
            forged.json[field] = json!(1);
            let outcome = apply(&desk, CANCEL, &forged).await;
            assert!(matches!(outcome, Outcome::NotDone { .. }), "{field}: {outcome:?}");
        }
        let seen = observe(&desk, CANCEL, &victim.target).await;
        assert!(
            matches!(seen, Observation::NotDone { .. }),
            "it still runs: {seen:?}"
        );
        let outcome = apply(&desk, CANCEL, &victim.target).await;
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
        victim
            .client
            .batch_execute("ROLLBACK")
            .await
            .expect("the session is still there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_protected_is_excluded_in_the_plan_and_spared_by_the_statement() {
    let Some(test) = small(15).await else { return };
    let protect = Protect {
        applications: vec!["payroll*".into()],
        ..Protect::default()
    };
    let desk = Desk::new(&test.fleet, true, protect);
    for (user, application, reason) in [
        (User::Postgres, "psql", "superuser"),
        (User::App, "payroll-7", "protects application payroll*"),
        (User::App, "pg_dump", "backup"),
    ] {
        let victim = victim::idle(&test.fleet, &desk, user, application).await;
        let planned = plan(&desk, TERMINATE, std::slice::from_ref(&victim.target)).await;
        let said = planned.facts[0].excluded.as_deref().unwrap_or_default();
        assert!(said.contains(reason), "{application}: {said:?}");
        if user == User::Postgres {
            // Also when somebody applies it without a plan.
            let outcome = apply(&desk, TERMINATE, &victim.target).await;
            assert!(matches!(outcome, Outcome::NotDone { .. }), "{outcome:?}");
            assert!(victim::lives(&victim.client).await);
        }
    }
    // One that is not on the list is not excluded, and a cancel of an idle session is refused with the reason.
    let victim = victim::idle(&test.fleet, &desk, User::App, "notes").await;
    let planned = plan(&desk, TERMINATE, std::slice::from_ref(&victim.target)).await;
    assert_eq!(planned.facts[0].excluded, None);
    let cancel = desk.action(CANCEL);
    let refused = cancel
        .plan(
            &desk.scope(),
            "step",
            &record(nothing()),
            std::slice::from_ref(&victim.target),
        )
        .await;
    let e = refused.expect_err("nothing to cancel");
    assert!(
        matches!(&e, CodeError::Input { reason, .. } if reason.contains("runs no statement")),
        "{e}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_privilege_is_named_with_the_line_that_grants_it() {
    for major in [15, 18] {
        let Some(test) = small(major).await else { return };
        let boss = victim::client(&test.fleet, User::Postgres, "boss").await;
        boss.batch_execute("REVOKE pg_signal_backend FROM muster_act")
            .await
            .expect("revokes");
        let desk = Desk::plain(&test.fleet);
        let victim = victim::idle(&test.fleet, &desk, User::App, "victim").await;
        let planned = plan(&desk, TERMINATE, std::slice::from_ref(&victim.target)).await;
        assert_eq!(
            planned.missing_privileges,
            ["GRANT pg_signal_backend TO muster_act;"]
        );
        let outcome = apply(&desk, TERMINATE, &victim.target).await;
        assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
        assert!(victim::lives(&victim.client).await);

        // The line is one that closes it.
        boss.batch_execute(&planned.missing_privileges[0])
            .await
            .expect("grants");
        let desk = Desk::plain(&test.fleet);
        let victim = victim::idle(&test.fleet, &desk, User::App, "again").await;
        let planned = plan(&desk, TERMINATE, std::slice::from_ref(&victim.target)).await;
        assert_eq!(planned.missing_privileges, Vec::<String>::new());
        let outcome = apply(&desk, TERMINATE, &victim.target).await;
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_may_not_see_says_so_and_says_nothing_else() {
    let Some(test) = small(15).await else { return };
    let boss = victim::client(&test.fleet, User::Postgres, "boss").await;
    boss.batch_execute("REVOKE pg_monitor FROM muster")
        .await
        .expect("revokes");
    let desk = Desk::plain(&test.fleet);
    for name in [
        "pg.idle_in_transaction@1",
        "pg.blocking@1",
        "pg.connections@1",
        "pg.idle_sessions@1",
    ] {
        let probe = desk.catalogue.find_probe(name).expect("probe");
        let e = probe
            .read(&desk.scope(), &record(nothing()))
            .await
            .expect_err("it must not guess");
        assert!(matches!(e, CodeError::Privilege { .. }), "{name}: {e}");
        assert!(
            e.remedy().is_some_and(|r| r.contains("GRANT pg_monitor")),
            "{name}"
        );
    }
    boss.batch_execute("GRANT pg_monitor TO muster")
        .await
        .expect("grants");
    let desk = Desk::plain(&test.fleet);
    let read = desk.read("pg.idle_in_transaction@1", nothing()).await;
    assert!(targets(&read, "sessions").is_empty());
    let probe = desk.catalogue.find_probe("pg.blocking@1").expect("probe");
    let e = probe
        .read(&desk.scope(), &record(json!({"over": "soon"})))
        .await
        .expect_err("not a duration");
    assert!(matches!(e, CodeError::Input { .. }), "{e}");
}
