//! The story of one incident on a real fleet: seen, explained, planned, approved on the page, proven, written down.

use muster_lab::fleet::connect;
use serde_json::Value;

use crate::shapes::{fits, skeleton};
use crate::stage::{Stage, pooled, run_in, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leak_is_seen_explained_approved_on_the_page_proven_and_written_down() {
    let Some(mut stage) = Stage::new(pooled(4)).await else {
        return;
    };
    let mut daemon = stage.daemon(&[]).await;
    let quiet = stage.muster(&["check", "--json"]).await;
    assert_eq!(quiet.code, 0, "{quiet:?}");
    fits("check", &quiet.json());
    assert_eq!(
        stage.muster(&["incident", "list", "--json"]).await.out.trim(),
        "[]"
    );

    stage.test.inject("idle-in-transaction-leak", &[]).await;
    let run = run_in(&stage, "waiting_approval").await;
    let id = run["id"].as_str().expect("an id").to_owned();
    let page = daemon.page().await;
    for there in ["connections.leak", "<svg", "notes-worker", &id, "Approve"] {
        assert!(page.contains(there), "`{there}` is not on the page");
    }
    let check = stage.muster(&["check", "--json"]).await;
    assert_eq!(check.code, 2, "{check:?}");
    fits("check", &check.json());
    let kinds: Vec<Value> = check.json()["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|f| f["kind"].clone())
        .collect();
    assert!(kinds.contains(&"connections.leak".into()) && kinds.contains(&"pool.exhausted".into()));
    let why = stage.muster(&["explain", "connections.leak"]).await;
    assert!(why.code == 0 && why.out.contains("lab/bouncer"), "{why:?}");

    // As the page's button does it.
    let token = std::fs::read_to_string(stage.state().join("approval.token")).expect("token");
    let head = format!(
        "POST /api/v1/runs/{id}/approve HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nX-Muster-Token: {}",
        daemon.address,
        token.trim()
    );
    let (status, answer) = daemon.http(&head, "{}").await;
    assert_eq!(status, 200, "{answer}");
    let run = until("the run is over", async || {
        let shown = stage.muster(&["runs", "show", &id, "--json"]).await.json();
        (shown["run"]["state"]["state"] == "ended").then(|| shown["run"].clone())
    })
    .await;
    assert_eq!(run["outcome"], "proven", "{run:#}");
    let page = daemon.page().await;
    assert!(page.contains("proven"), "the page shows it");

    let list = until("the incident is watched for a relapse", async || {
        let show = stage.muster(&["incident", "show"]).await;
        assert_eq!(show.code, 0, "{show:?}");
        show.out
            .contains("watched for a relapse")
            .then_some(stage.muster(&["incident", "list", "--json"]).await.json())
    })
    .await;
    fits("incident-list", &list);
    assert_eq!(list.as_array().map(Vec::len), Some(1), "one incident: {list:#}");
    let target = skeleton(
        &list[0]["runs"]
            .as_array()
            .and_then(|r| r.last())
            .cloned()
            .unwrap_or_default(),
    );
    assert_eq!(
        target,
        "{id: text, outcome: text, runbook: text, steps: [{id: text, outcome: text, targets: [], uses: text}]}"
    );
    assert_eq!(list[0]["cause"]["kind"], "connections.leak");

    let told = stage.muster(&["incident", "postmortem"]).await;
    assert_eq!(told.code, 0);
    let sentences: Vec<&str> = told
        .out
        .lines()
        .skip_while(|l| !l.starts_with("## What happened"))
        .take_while(|l| !l.starts_with("## For people"))
        .filter(|l| l.starts_with("- "))
        .collect();
    assert!(sentences.len() > 6, "{}", told.out);
    for s in sentences {
        assert!(s.ends_with(']') && s.contains('['), "it cites nothing: {s}");
    }
    let evidence = stage.muster(&["incident", "show", "--json"]).await.json();
    assert!(!evidence.is_null());
    let verify = stage.muster(&["journal", "verify"]).await;
    assert!(verify.code == 0 && verify.out.contains("unbroken"), "{verify:?}");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_went_back_to_work_between_plan_and_apply_survives() {
    let Some(stage) = Stage::new(pooled(10)).await else {
        return;
    };
    stage.alone();
    let mut config = stage.fleet().app().expect("config");
    config.application_name("forgetful");
    let mut holders = Vec::new();
    for id in 1..=10 {
        let client = connect(&config).await.expect("login");
        let begin = format!("BEGIN; SELECT body FROM notes WHERE id = {id}");
        client.simple_query(&begin).await.expect("begins");
        holders.push(client);
    }
    config.application_name("waiting");
    let waiting = connect(&config).await.expect("login");
    let waiting = tokio::spawn(async move { waiting.simple_query("SELECT 1").await.is_ok() });
    let file = stage.fleet().dir.join("plan.json").display().to_string();
    until("a plan for all ten", async || {
        let said = stage
            .muster(&["plan", "pool-exhausted", "-t", "lab/bouncer", "-o", &file])
            .await;
        (said.code == 2 && said.out.contains("ends 10 of")).then_some(())
    })
    .await;
    // The first goes back to work, and idles in its transaction again: the same pid, another doing.
    holders[0].simple_query("SELECT 2").await.expect("works");
    let config = stage.config.clone();
    let approving =
        tokio::spawn(async move { crate::stage::muster(Some(&config), &["approve", "--yes"]).await });
    for other in &holders[1..] {
        // Only looked at: a question would be work, and who works survives.
        until("the others are ended", async || other.is_closed().then_some(())).await;
    }
    let goes_on = holders[0].simple_query("COMMIT").await;
    assert!(goes_on.is_ok(), "who works survives: {goes_on:?}");
    assert!(waiting.await.expect("joins"), "who waited goes on");
    let said = approving.await.expect("joins");
    assert!(said.out.contains("skipped"), "{said:?}");
    assert_eq!(said.code, 0, "{said:?}");
    let runs = stage.muster(&["runs", "list", "--json"]).await.json();
    let last = runs
        .as_array()
        .and_then(|r| r.last())
        .cloned()
        .unwrap_or_default();
    assert_eq!(last["outcome"], "proven", "{last:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_and_a_small_pool_are_declined_by_their_names() {
    for (fault, params, name) in [
        ("slow-server", vec![], "pool.slow_server"),
        ("pool-too-small", vec![("clients", "40")], "pool.too_small"),
    ] {
        let Some(mut stage) = Stage::new(pooled(10)).await else {
            return;
        };
        stage.test.inject(fault, &params).await;
        let said = until("it is declined", async || {
            let said = stage
                .muster(&["plan", "pool-exhausted", "-t", "lab/bouncer", "--json"])
                .await;
            let plan = &said.json()["plan"]["result"];
            // In the first moments the pool may still cope.
            (plan["result"] == "declined" && plan["named"] == name).then_some(said.code)
        })
        .await;
        assert_eq!(said, 0, "nothing is to be done here");
        let runs = stage.muster(&["runs", "list", "--json"]).await.json();
        let acted = |r: &Value| !r["first_action_at"].is_null();
        assert!(!runs.as_array().expect("runs").iter().any(acted), "{runs:#}");
    }
}
