//! Bad input: one line that says what to do, the exit code, and nothing changed.

use std::path::Path;

use muster_lab::fleet::{User, connect};
use muster_lab::testing;
use serde_json::Value;

use crate::stage::{Said, Stage, muster, until};

/// A runbook that ends idle transactions at once; a user's own file.
pub(crate) const END_IDLE: &str = "schema: muster.runbook/1
id: end-idle
title: End idle transactions
about: Ends every session that idles in a transaction, at once and whoever it is. Never on a server that people use.
owner: on-call
risk: disruptive
steps:
  - id: leak
    probe: pg.idle_in_transaction@1
    with: {over: 0s}
    expect: size(sessions) >= 1
  - id: end
    action: pg.terminate_backend@1
    for_each: {step: leak, out: sessions}
    limits: {max_targets: 50, max_percent: 100, canary: 1, max_errors: 0}
  - id: proven
    verify:
      all:
        - {probe: leak, until: size(sessions) == 0}
      hold: 1s
      within: 10s
    on_fail: escalate
";

/// A config of one server that nobody listens at.
pub(crate) fn lonely(dir: &Path, more: &str) -> std::path::PathBuf {
    let file = dir.join("muster.yaml");
    let text = format!(
        "state_dir: ./state\nclusters:\n  shop:\n    servers:\n      - {{name: a, url: \"postgres://muster@127.0.0.1:1/postgres\"}}\n{more}"
    );
    std::fs::write(&file, text).expect("writes");
    file
}

#[tokio::test]
async fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    let dir = tempfile::tempdir().expect("dir");
    let file = lonely(dir.path(), "thresholdz: {}\n");
    for args in [
        &["check"][..],
        &["watch"],
        &["plan", "pool-status"],
        &["config", "show"],
    ] {
        let said = muster(Some(&file), args).await;
        said.refused(78, &["muster.yaml:6:1", "thresholdz", "thresholds"]);
        assert!(!dir.path().join("state").exists(), "nothing is made");
    }
    let file = lonely(dir.path(), "listen: 0.0.0.0:7432\n");
    let said = muster(Some(&file), &["watch"]).await;
    said.refused(78, &["listen", "127.0.0.1"]);
    let file = lonely(dir.path(), "collect: {activity: 30s}\n");
    let said = muster(Some(&file), &["config", "show"]).await;
    said.refused(78, &["muster.yaml:6:21", "collect.activity", "10s or less"]);
    let said = muster(Some(&dir.path().join("none.yaml")), &["check"]).await;
    said.refused(78, &["none.yaml", "--config"]);
    let said = muster(Some(&file), &["drill", "no-such"]).await;
    said.refused(64, &["no-such", "pool-exhausted"]);
}

/// A guard that nobody reads is off: what has the wrong shape, or names what there is not, is refused with its place.
#[tokio::test]
async fn a_guard_of_the_wrong_shape_or_for_no_runbook_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    for (more, words) in [
        ("windows: [nights]", "`windows` must be a mapping, not a list"),
        (
            "windows: {n: {from: \"1:00\", to: \"2:00\", zone: [UTC]}}",
            "`windows.n.zone` must be text",
        ),
        (
            "policy: {runbooks: [pool-exhausted]}",
            "`policy.runbooks` must be a mapping, not a list",
        ),
        (
            "policy: {runbooks: {pool-exhaustd: never}}",
            "`policy.runbooks` names the runbook `pool-exhaustd`, which there is not · did you mean `pool-exhausted`?",
        ),
        (
            "schedules: {x: {cron: \"* * * * *\", runbook: no-such}}",
            "`schedules.x` names the runbook `no-such`",
        ),
        (
            "triggers: {PoolFull: {runbook: pool-exausted}}",
            "did you mean `pool-exhausted`?",
        ),
    ] {
        let file = lonely(dir.path(), &format!("{more}\n"));
        for args in [&["config", "check"][..], &["check"]] {
            let said = muster(Some(&file), args).await;
            said.refused(78, &["muster.yaml:6:", words]);
        }
    }
    assert!(!dir.path().join("state/journal.db").exists(), "nothing is made");
}

#[tokio::test]
async fn a_drill_that_is_never_played_proves_nothing() {
    let said = muster(None, &["drill", "ddl-queue", "--repeat", "0"]).await;
    assert_eq!(said.code, 64, "{said:?}");
    assert!(
        said.err.contains("--repeat") && said.err.contains('0'),
        "{said:?}"
    );
}

#[tokio::test]
async fn an_unreachable_host_is_unknown_and_never_healthy() {
    let dir = tempfile::tempdir().expect("dir");
    let file = lonely(dir.path(), "");
    let said = muster(Some(&file), &["check"]).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.out.contains("server.down") && !said.out.contains("pending"),
        "{said:?}"
    );
    assert!(
        said.out.contains("127.0.0.1:1") && said.out.contains("refused"),
        "{said:?}"
    );
    let said = muster(Some(&file), &["plan", "blocking-chain"]).await;
    said.refused(1, &["shop/a", "refused"]);
    let said = muster(Some(&file), &["config", "check"]).await;
    assert_eq!(said.code, 78, "{said:?}");
    assert!(
        said.out.contains("failed") && said.out.contains("refused"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_wrong_runbook_is_shown_with_line_and_column_and_nothing_starts() {
    let dir = tempfile::tempdir().expect("dir");
    std::fs::create_dir(dir.path().join("books")).expect("dir");
    let book = dir.path().join("books/end-idle.yaml");
    let file = lonely(dir.path(), "runbooks: [./books]\n");
    let cases = [
        ("{over: 0s}", "{over: soon}", "10:", "over"),
        ("size(sessions) >= 1", "size(sesions) >= 1", "11:", "sesions"),
        ("size(sessions) >= 1", "sessions >= 1", "11:", "list<session>"),
        ("max_errors: 0", "max_errors: few", "15:", "max_errors"),
    ];
    for (from, to, place, word) in cases {
        std::fs::write(&book, END_IDLE.replacen(from, to, 1)).expect("writes");
        let lint = muster(None, &["runbook", "lint", &book.display().to_string()]).await;
        assert_eq!(lint.code, 78, "{to}: {lint:?}");
        assert!(
            lint.out.contains(&format!("end-idle.yaml:{place}")),
            "{to}: {lint:?}"
        );
        assert!(lint.out.contains(word), "{to}: {lint:?}");
        let said = muster(Some(&file), &["check"]).await;
        said.refused(78, &["end-idle.yaml:", word]);
        assert!(!dir.path().join("state/journal.db").exists());
    }
    std::fs::write(&book, END_IDLE).expect("writes");
    let lint = muster(None, &["runbook", "lint", &book.display().to_string()]).await;
    assert_eq!(lint.code, 0, "{lint:?}");
    let list = muster(Some(&file), &["runbook", "list", "--json"]).await.json();
    let own = list
        .as_array()
        .expect("list")
        .iter()
        .find(|r| r["id"] == "end-idle");
    assert!(own.is_some_and(|r| r["file"].as_str().is_some_and(|f| f.ends_with("end-idle.yaml"))));
}

#[tokio::test]
async fn a_file_of_ones_own_takes_the_place_of_the_built_in_one() {
    let dir = tempfile::tempdir().expect("dir");
    std::fs::create_dir(dir.path().join("books")).expect("dir");
    let file = lonely(dir.path(), "runbooks: [./books]\n");
    let own = END_IDLE
        .replace("id: end-idle", "id: pool-exhausted")
        .replace("End idle", "My own");
    std::fs::write(dir.path().join("books/pool-exhausted.yaml"), own).expect("writes");
    let list = muster(Some(&file), &["runbook", "list", "--json"]).await.json();
    let all = list.as_array().expect("list");
    let found: Vec<&Value> = all.iter().filter(|r| r["id"] == "pool-exhausted").collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["title"], "My own transactions");
    assert!(!found[0]["overrides"].is_null(), "{found:?}");
}

pub(crate) async fn with_an_idle_transaction() -> Option<(Stage, tokio_postgres::Client)> {
    let stage = Stage::new(testing::small(15)).await?;
    std::fs::create_dir(stage.fleet().dir.join("books")).expect("dir");
    std::fs::write(stage.fleet().dir.join("books/end-idle.yaml"), END_IDLE).expect("writes");
    stage.edit(|t| format!("runbooks: [./books]\n{t}"));
    let mut config = stage.fleet().config("a", User::App, "app").expect("config");
    config.application_name("forgetful");
    let client = connect(&config).await.expect("login");
    client.batch_execute("BEGIN; SELECT 1").await.expect("begins");
    Some((stage, client))
}

pub(crate) async fn alive(client: &tokio_postgres::Client) -> bool {
    client.simple_query("SELECT 1").await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_was_edited_or_is_over_or_that_one_asked_for_oneself_does_nothing() {
    let Some((stage, client)) = with_an_idle_transaction().await else {
        return;
    };
    let file = stage.fleet().dir.join("plan.json");
    let path = file.display().to_string();
    let plan = stage.muster(&["plan", "end-idle", "-o", &path]).await;
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(plan.out.contains("forgetful"), "{plan:?}");

    // Edited.
    let text = std::fs::read_to_string(&file).expect("reads");
    let mut edited: Value = serde_json::from_str(&text).expect("json");
    edited["requested_by"] = "somebody".into();
    std::fs::write(&file, edited.to_string()).expect("writes");
    for args in [
        &["apply", path.as_str()][..],
        &["apply", "--dry-run", path.as_str()],
    ] {
        stage.muster(args).await.refused(3, &["edited", "muster plan"]);
    }
    std::fs::write(&file, "{}").expect("writes");
    stage
        .muster(&["apply", &path])
        .await
        .refused(64, &["not a plan", "muster plan"]);

    // Of another state.
    std::fs::write(&file, &text).expect("writes");
    stage.edit(|t| t.replace("state_dir: ./state", "state_dir: ./other"));
    stage
        .muster(&["apply", &path])
        .await
        .refused(3, &["not issued", "muster plan"]);
    stage.edit(|t| t.replace("state_dir: ./other", "state_dir: ./state"));

    // Dry runs say what would happen, and nothing happens.
    let would = stage.muster(&["apply", "--dry-run", &path]).await;
    assert_eq!(would.code, 4, "it would wait: {would:?}");
    assert!(
        would.out.contains("forgetful") && would.out.contains("nothing was done"),
        "{would:?}"
    );
    let would = stage.muster(&["approve", "--dry-run"]).await;
    assert!(would.code == 3 && would.err.contains("would refuse"), "{would:?}");
    let id = serde_json::from_str::<Value>(&text).expect("json")["id"].clone();
    let id = id.as_str().expect("an id");
    let would = stage
        .muster(&["runs", "cancel", id, "--why", "x", "--dry-run"])
        .await;
    assert!(
        would.code == 0 && would.out.contains("was not begun"),
        "{would:?}"
    );
    let run = stage.muster(&["runs", "show", id, "--json"]).await.json();
    assert_eq!(run["run"]["state"]["state"], "waiting_approval", "{run:#}");

    // Approved by who asked for it.
    let said = stage.muster(&["approve", "--yes"]).await;
    said.refused(3, &["approv"]);
    assert_eq!(stage.muster(&["apply", &path]).await.code, 4, "it waits");
    assert!(alive(&client).await, "nothing was done");

    // Expired.
    stage.edit(|t| format!("plan_valid: 2s\n{t}"));
    client
        .batch_execute("COMMIT; BEGIN; SELECT 1")
        .await
        .expect("begins");
    assert_eq!(stage.muster(&["plan", "end-idle", "-o", &path]).await.code, 2);
    let said: Said = until("the plan is over", async || {
        let said = stage.muster(&["apply", &path]).await;
        (said.code != 4).then_some(said)
    })
    .await;
    said.refused(3, &["expired", "plan"]);
    assert!(alive(&client).await, "nothing was done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_names_the_login_and_the_lines_that_make_one() {
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    let file = stage.fleet().dir.join("secrets/wrong");
    std::fs::write(&file, "wrong").expect("writes");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("sets");
    stage.edit(|t| t.replace("password_file: secrets/muster,", "password_file: secrets/wrong,"));
    let said = stage.muster(&["config", "check"]).await;
    assert_eq!(said.code, 78, "{said:?}");
    assert!(
        said.out
            .contains("password authentication failed for user \"muster\""),
        "{said:?}"
    );
    for line in ["CREATE ROLE muster LOGIN PASSWORD", "GRANT pg_monitor TO muster;"] {
        assert!(said.out.contains(line), "{said:?}");
    }
    let said = stage.muster(&["check"]).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.out.contains("auth fails: password authentication failed"),
        "{said:?}"
    );
    stage
        .muster(&["plan", "blocking-chain"])
        .await
        .refused(1, &["password", "lab/a"]);
    let journal = stage.muster(&["journal", "export"]).await;
    assert!(!journal.out.contains("intent"), "{journal:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_is_told_who_has_the_state_and_may_stand_by() {
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    let mut first = stage.daemon(&[]).await;
    let pid = first.child.id().expect("runs").to_string();
    stage
        .muster(&["watch"])
        .await
        .refused(78, &["state", &pid, "--standby"]);
    let file = stage.fleet().dir.join("second.log");
    let log = std::fs::File::create(&file).expect("log");
    let mut second = crate::stage::command(Some(&stage.config), &["watch", "--standby"])
        .stderr(log)
        .spawn()
        .expect("starts");
    let said = || std::fs::read_to_string(&file).unwrap_or_default();
    until("it stands by", async || {
        said().contains("standing by").then_some(())
    })
    .await;
    first.signal(rustix::process::Signal::KILL);
    assert_eq!(first.ended().await, None);
    until("it takes over", async || {
        said().contains("the page is at").then_some(())
    })
    .await;
    second.kill().await.expect("ends");
}

#[tokio::test]
async fn a_config_that_would_tell_nobody_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let hook = "channels: {a: {kind: webhook, url: \"https://example.org/x\"}}";
    let mail = "kind: mail, server: \"smtps://mail.example.org\", from: m@example.org";
    for (notify, words) in [
        ("{page: x}".to_owned(), "names no channel"),
        ("{channels: [a]}".to_owned(), "must be a mapping"),
        (
            "{channels: {a: {kind: telegram}}}".to_owned(),
            "cannot be `telegram`",
        ),
        ("{channels: {a: {kind: slack}}}".to_owned(), "has no `url`"),
        (
            "{channels: {a: {kind: slack, url: \"ftp://x/y\"}}}".to_owned(),
            "the address of",
        ),
        (
            "{channels: {a: {kind: pagerduty}}}".to_owned(),
            "has no `key_file`",
        ),
        (format!("{{channels: {{a: {{{mail}, to: []}}}}}}"), "names nobody"),
        (
            format!("{{channels: {{a: {{{mail}, to: [ops]}}}}}}"),
            "no address of a mailbox",
        ),
        (format!("{{{hook}, levels: {{L1: []}}}}"), "reaches anybody"),
        (format!("{{{hook}, levels: {{L1: [b]}}}}"), "the channel `b`"),
        (format!("{{{hook}, levels: {{L1: [a, a]}}}}"), "twice"),
        (
            format!("{{{hook}, levels: {{L2: [a], L3: {{to: [a], after: 1m}}}}}}"),
            "before the level below",
        ),
        (format!("{{{hook}, repeat: 1ms}}"), "too short"),
        (
            format!("{{{hook}, heartbeat: {{url: \"https://example.org\", every: 1s}}}}"),
            "too short",
        ),
    ] {
        let file = lonely(dir.path(), &format!("notify: {notify}\n"));
        let said = muster(Some(&file), &["config", "show"]).await;
        assert!(
            said.code == 78 && said.err.contains(words),
            "{notify}: {words}: {said:?}"
        );
    }
}
