//! What is planned by the clock and by alerts from outside.

use muster_lab::testing;
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{Stage, until};

const STARTS: &str = "
schedules:
  every-minute: {cron: \"* * * * *\", runbook: replica-health}
  never: {cron: \"0 0 1 1 *\", runbook: replica-health}
triggers:
  StandbyBehind: {runbook: replica-health, label: cluster}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_and_the_clock_plan_once_and_say_what_came_of_it() {
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    stage.edit(|t| format!("{t}{STARTS}"));
    let mut daemon = stage.daemon(&[]).await;
    stage
        .muster(&["auth", "add", "alertmanager", "--service", "--role", "approver"])
        .await
        .refused(3, &["only people"]);
    let token = stage
        .muster(&[
            "auth",
            "add",
            "alertmanager",
            "--service",
            "--role",
            "operator",
            "--json",
        ])
        .await;
    let token = token.json()["token"].as_str().expect("a token").to_owned();
    let call = async |body: &str, token: &str| {
        let head = format!(
            "POST /api/v1/hooks/alertmanager HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}",
            daemon.address
        );
        let (status, answer) = daemon.http(&head, body).await;
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
        (status, serde_json::from_str::<Value>(&body).unwrap_or_default())
    };
    let alert = |name: &str, status: &str, labels: &str, began: &str| {
        format!(
            "{{\"status\":\"{status}\",\"labels\":{{\"alertname\":\"{name}\"{labels}}},\"startsAt\":\"{began}\",\"fingerprint\":\"f1\"}}"
        )
    };
    let began = "2026-11-21T12:00:00Z";
    let lab = ",\"cluster\":\"lab\"";
    let all = [
        alert("StandbyBehind", "firing", lab, began),
        alert("StandbyBehind", "resolved", lab, began),
        alert("StandbyBehind", "firing", "", began),
        alert("SomethingElse", "firing", lab, began),
        alert("Odd", "firing", lab, began),
        alert("StandbyBehind", "firing", ",\"cluster\":\"elsewhere\"", began),
    ];
    let body = format!(
        "{{\"version\":\"4\",\"truncatedAlerts\":2,\"alerts\":[{}]}}",
        all.join(",")
    );
    assert_eq!(call(&body, "wrong.token").await.0, 401);
    assert_eq!(call("{\"no\": 1}", &token).await.0, 400);
    assert_eq!(call("{\"alerts\": [{\"labels\": {}}]}", &token).await.0, 400);
    let (status, answer) = call(&body, &token).await;
    assert_eq!(
        (status, &answer["incomplete"]),
        (200, &Value::Bool(true)),
        "{answer:#}"
    );
    let what = |n: usize| {
        answer["alerts"][n]["what"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    for (n, words) in [
        (0, "`replica-health` reports"),
        (1, "resolved"),
        (2, "no label `cluster`"),
        (3, "no trigger"),
        (4, "no trigger"),
        (5, "not in the config"),
    ] {
        assert!(what(n).contains(words), "{n}: {answer:#}");
    }
    let run = answer["alerts"][0]["run"].as_str().expect("a run").to_owned();
    let shown = stage.muster(&["runs", "show", &run]).await;
    assert!(shown.out.contains("The alert StandbyBehind came in"), "{shown:?}");
    let (_, again) = call(&body, &token).await;
    assert!(
        again["alerts"][0]["what"]
            .as_str()
            .is_some_and(|w| w.contains("before")),
        "{again:#}"
    );
    // Two Alertmanagers send the same one at once: one plan.
    let same = body.replace(began, "2026-11-21T12:30:00Z");
    let (one, other) = tokio::join!(call(&same, &token), call(&same, &token));
    let new = [&one.1, &other.1];
    let runs = new.iter().filter(|a| a["alerts"][0]["run"].is_string());
    assert_eq!(runs.count(), 1, "{new:#?}");
    let later = body.replace(began, "2026-11-21T13:00:00Z");
    let (_, later) = call(&later, &token).await;
    assert!(later["alerts"][0]["run"].is_string(), "it began anew: {later:#}");

    let slots = async |stage: &Stage| -> Vec<Value> {
        let journal = stage.muster(&["journal", "export"]).await.out;
        let all = journal
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok());
        all.filter(|e| e["event"]["event"] == "scheduled").collect()
    };
    let first = until("a slot is used", async || slots(&stage).await.pop()).await;
    assert_eq!(first["event"]["name"], "every-minute");
    assert!(
        first["event"]["what"]
            .as_str()
            .is_some_and(|w| w.contains("reports")),
        "{first:#}"
    );
    // A restart does not use it again.
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().await, Some(0));
    let mut daemon = stage.daemon(&[]).await;
    stage.muster(&["check"]).await;
    let used = slots(&stage).await;
    let mut times: Vec<String> = used.iter().map(|e| e["event"]["slot"].to_string()).collect();
    times.dedup();
    assert_eq!(times.len(), used.len(), "each slot once: {used:#?}");
    daemon.signal(Signal::TERM);
    daemon.ended().await;
    for (text, words) in [
        (
            "schedules: {x: {cron: \"99 * * * *\", runbook: replica-health}}",
            "cannot be understood",
        ),
        ("schedules: {x: {cron: \"* * * * *\"}}", "has no `runbook`"),
        (
            "schedules: [replica-health]",
            "`schedules` must be a mapping, not a list",
        ),
        (
            "schedules: {x: {cron: \"* * * * *\", runbook: replica-health, params: [a]}}",
            "`schedules.x.params` must be a mapping",
        ),
        (
            "triggers: replica-health",
            "`triggers` must be a mapping, not a single value",
        ),
        ("triggers: {X: {runbok: y}}", "runbok"),
        (
            "windows: {x: {from: \"25:00\", to: \"5:00\"}}",
            "not a time of day",
        ),
        (
            "windows: {x: {from: \"1:00\", to: \"5:00\", zone: Nowhere/Town}}",
            "no time zone",
        ),
        (
            "windows: {x: {from: \"1:00\", to: \"5:00\", clusters: [shop]}}",
            "which there is not",
        ),
        (
            "windows: {x: {from: \"1:00\", to: \"5:00\", days: [monday]}}",
            "no day",
        ),
        ("lease_ttl: 1s", "too short"),
    ] {
        let good = std::fs::read_to_string(&stage.config).expect("reads");
        let plain = good.replace(STARTS, "\n");
        std::fs::write(&stage.config, format!("{plain}{text}\n")).expect("writes");
        stage.muster(&["config", "show"]).await.refused(78, &[words]);
        std::fs::write(&stage.config, good).expect("writes");
    }
}
