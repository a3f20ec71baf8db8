//! People, their roles and tokens, through the door of the page and on the command line.

use muster_lab::fleet::{User, connect};
use muster_lab::testing;
use rustix::process::Signal;

use crate::bad_input::{alive, with_an_idle_transaction};
use crate::stage::{Stage, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_may_do_what_their_role_says_under_their_own_name() {
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    let mut daemon = stage.daemon(&[]).await;
    let mut tokens = Vec::new();
    for (name, role) in [
        ("vera", "viewer"),
        ("otto", "operator"),
        ("ana", "approver"),
        ("adam", "admin"),
    ] {
        let said = stage
            .muster(&["auth", "add", name, "--role", role, "--json"])
            .await;
        assert_eq!(said.code, 0, "{said:?}");
        let token = said.json()["token"].as_str().expect("a token").to_owned();
        assert!(token.starts_with(&format!("{name}.")) && token.len() == name.len() + 65);
        tokens.push((role, token));
    }
    let host = daemon.address.clone();
    let call = async |line: &str, token: &str| {
        let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\nX-Muster-Token: {token}");
        daemon.http(&head, "{\"why\": \"a test\"}").await
    };
    // What it takes, and what everybody with less is told.
    for (line, least, good) in [
        ("GET /api/v1/journal/verify", "viewer", 200),
        ("GET /api/v1/incidents", "viewer", 200),
        ("GET /api/v1/runs", "viewer", 200),
        ("POST /api/v1/freeze", "operator", 200),
        ("POST /api/v1/runs/r-none/approve", "approver", 404),
        ("POST /api/v1/runs/r-none/abandon", "admin", 404),
        ("GET /api/v1/auth", "admin", 200),
        ("POST /api/v1/auth", "admin", 409),
    ] {
        let mut may = false;
        for (role, token) in &tokens {
            may |= *role == least;
            let (status, answer) = call(line, token).await;
            assert_eq!(status, if may { good } else { 403 }, "{line} as {role}: {answer}");
            assert!(
                may || answer.contains(&format!("takes the role {least}")),
                "{answer}"
            );
        }
    }
    for wrong in [
        "ana",
        "ana.",
        "eve.0000",
        &tokens[3].1.replace("adam", "ana"),
        &format!("{}0", tokens[2].1),
    ] {
        let (status, answer) = call("POST /api/v1/freeze", wrong).await;
        assert_eq!(status, 401, "{wrong}: {answer}");
    }
    // Who shows none sees the page, and nothing behind it.
    for (line, expected) in [
        ("GET /api/v1/incidents", 401),
        ("GET /api/v1/runs/latest", 401),
        ("GET /api/v1/proofs", 401),
        ("GET /api/v1/view", 401),
        ("GET /api/v1/ping", 200),
        ("GET /", 200),
    ] {
        let head = format!("{line} HTTP/1.1\r\nHost: {host}");
        let (status, answer) = daemon.http(&head, "").await;
        assert_eq!(status, expected, "{line}: {answer}");
    }
    // Many wrong tokens at once cost two looks at a time, and who was let in before gets in.
    let head =
        |token: &str| format!("POST /api/v1/nothing HTTP/1.1\r\nHost: {host}\r\nX-Muster-Token: {token}");
    let wrong: Vec<String> = (0..400).map(|n| head(&format!("adam.{n:064}"))).collect();
    let flood = futures::future::join_all(wrong.iter().map(|head| daemon.http(head, "")));
    let good = async { daemon.http(&head(&tokens[3].1), "").await };
    let (flood, good) = tokio::join!(flood, good);
    assert_eq!(good.0, 404, "{good:?}");
    assert!(flood.iter().all(|(status, _)| matches!(status, 401 | 429)));
    assert!(
        flood.iter().any(|(status, _)| *status == 429),
        "every one was looked at"
    );
    // A body is taken up to the limit that is said, not to the lower one of a library.
    let body = format!("{{\"why\": \"{}\"}}", "x".repeat(3 << 20));
    assert_eq!(daemon.http(&head(&tokens[3].1), &body).await.0, 404);
    // Under whose name it was: of the token, whatever the body says.
    let head = format!(
        "POST /api/v1/freeze HTTP/1.1\r\nHost: {host}\r\nX-Muster-Token: {}",
        tokens[1].1
    );
    let (status, _) = daemon.http(&head, "{\"why\": \"mine\", \"by\": \"ana\"}").await;
    assert_eq!(status, 200);
    let journal = stage.muster(&["journal", "export"]).await.out;
    let mine = journal
        .lines()
        .find(|l| l.contains("\"mine\""))
        .expect("journaled");
    assert!(mine.contains("\"who\":\"otto\""), "{mine}");
    assert!(!journal.contains("argon2"), "no hash leaves the state");
    // Removed: at once, also from a door that knew the token.
    let said = stage.muster(&["auth", "revoke", "otto"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let (status, _) = call("POST /api/v1/freeze", &tokens[1].1).await;
    assert_eq!(status, 401);
    stage
        .muster(&["auth", "revoke", "nobody"])
        .await
        .refused(3, &["nobody here is called"]);
    stage
        .muster(&["auth", "add", "x y"])
        .await
        .refused(3, &["cannot be a name"]);
    stage
        .muster(&["auth", "add", "x", "--role", "king"])
        .await
        .refused(64, &["viewer, operator, approver, admin"]);
    let list = stage.muster(&["auth", "list"]).await;
    assert!(
        list.out.contains("vera") && !list.out.contains("otto"),
        "{list:?}"
    );
    daemon.signal(Signal::TERM);
    daemon.ended().await;
    // The user who runs Muster was the first, and is not made again by the next start.
    let file = stage.state().join("approval.token");
    let before = std::fs::read_to_string(&file).expect("token");
    let mut daemon = stage.daemon(&[]).await;
    assert_eq!(std::fs::read_to_string(&file).expect("token"), before);
    let me = muster::daemon::serve::os_user();
    assert!(
        before.starts_with(&format!("{me}.")),
        "a token of a person, not of the state"
    );
    daemon.signal(Signal::TERM);
    daemon.ended().await;
}

/// Nobody else can be reached: one approver acts alone, a second person is called and has to close the books.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_breaks_the_glass_acts_alone_and_a_second_person_closes_the_books() {
    let Some((stage, client)) = with_an_idle_transaction().await else {
        return;
    };
    // Every day of the week but for a minute: outside of it signatures alone would not do.
    stage.edit(|t| format!("windows: {{never: {{from: \"03:00\", to: \"03:01\"}}}}\n{t}"));
    let mut daemon = stage.daemon(&[]).await;
    let plan = stage.muster(&["plan", "end-idle", "--json"]).await.json();
    let run = plan["plan"]["id"].as_str().expect("a run").to_owned();
    let target = plan["plan"]["scope"]["target"]
        .as_str()
        .expect("a target")
        .to_owned();
    stage
        .muster(&["approve", "--yes", &run])
        .await
        .refused(3, &["may not approve"]);
    let why = "the shop is down and nobody answers the phone";
    let glass = async |target: &str, why: &str| {
        stage
            .muster(&["break-glass", &run, "--target", target, "--why", why])
            .await
    };
    glass("elsewhere", why).await.refused(3, &["elsewhere", &target]);
    glass(&target, "asap").await.refused(3, &["no reason"]);
    stage.muster(&["freeze", "--reason", "an audit"]).await;
    glass(&target, why).await.refused(3, &["an audit"]);
    stage.muster(&["unfreeze"]).await;
    let broken = glass(&target, why).await;
    assert_eq!(broken.code, 0, "{broken:?}");
    assert!(!alive(&client).await, "it was done");
    let shown = stage.muster(&["runs", "show", &run]).await;
    assert!(
        shown.out.contains("broke the glass") && shown.out.contains("nobody"),
        "{shown:?}"
    );

    let all = stage.muster(&["incident", "list", "--json"]).await.json();
    let mine =
        |i: &&serde_json::Value| i["cause"]["kind"] == "muster.glass_broken" && i["runs"][0]["id"] == *run;
    let opened: Vec<_> = all.as_array().into_iter().flatten().filter(mine).collect();
    assert_eq!(opened.len(), 1, "one, and none for what was refused: {all:#}");
    let incident = opened.last().expect("an incident")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(opened[0]["state"], "open", "{all:#}");
    let closing = ["incident", "resolve", &incident, "--why", "all is well"];
    stage.muster(&closing).await.refused(3, &["second person"]);
    let token = stage
        .muster(&["auth", "add", "bo", "--role", "approver", "--json"])
        .await;
    let token = token.json()["token"].as_str().expect("a token").to_owned();
    let post = async |what: &str, body: &str| {
        let head = format!(
            "POST /api/v1/incidents/{incident}/{what} HTTP/1.1\r\nHost: {}\r\nX-Muster-Token: {token}",
            daemon.address
        );
        daemon.http(&head, body).await
    };
    let (status, answer) = post("resolve", "{\"why\": \"read\"}").await;
    assert!(status == 409 && answer.contains("postmortem is owed"), "{answer}");
    assert_eq!(
        post("note", "{\"text\": \"a second approver is on call from now on\"}")
            .await
            .0,
        200
    );
    let told = stage.muster(&["incident", "postmortem", &incident]).await;
    for words in ["broke the glass", "a second approver", "`end` done"] {
        assert!(told.out.contains(words), "{words}: {told:?}");
    }
    assert_eq!(post("resolve", "{\"why\": \"read\"}").await.0, 200);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().await, Some(0));
}

/// Farther than the limits: one person who breaks the glass is told to find a second one, and nothing is touched before that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_break_the_glass_reach_farther_than_the_limits() {
    let Some((stage, first)) = with_an_idle_transaction().await else {
        return;
    };
    let app = stage.fleet().config("a", User::App, "app").expect("config");
    let second = connect(&app).await.expect("login");
    second.batch_execute("BEGIN; SELECT 1").await.expect("begins");
    let book = stage.fleet().dir.join("books/end-idle.yaml");
    let text = std::fs::read_to_string(&book).expect("reads");
    std::fs::write(&book, text.replace("max_targets: 50", "max_targets: 1")).expect("writes");
    stage.edit(|t| t.replace("approvers: [", "approvers: [bo, "));
    let mut daemon = stage.daemon(&[]).await;
    let plan = stage.muster(&["plan", "end-idle"]).await;
    plan.refused(3, &["2 targets; its limit is 1", "--over-limits"]);
    let plan = stage
        .muster(&["plan", "end-idle", "--over-limits", "--json"])
        .await;
    assert_eq!(plan.code, 2, "{plan:?}");
    let plan = plan.json();
    let (run, target) = (&plan["plan"]["id"], &plan["plan"]["scope"]["target"]);
    let (run, target) = (run.as_str().expect("a run"), target.as_str().expect("a target"));
    let why = "everything hangs and both must go";
    let broken = stage
        .muster(&["break-glass", run, "--target", target, "--why", why])
        .await;
    assert_eq!(broken.code, 4, "{broken:?}");
    assert!(
        broken.err.contains("a second approver") || broken.out.contains("a second approver"),
        "{broken:?}"
    );
    let shown = stage.muster(&["runs", "show", run, "--json"]).await.json();
    assert!(
        shown["run"]["first_action_at"].is_null(),
        "nothing was done yet: {shown:#}"
    );
    let token = stage
        .muster(&["auth", "add", "bo", "--role", "approver", "--json"])
        .await;
    let token = token.json()["token"].as_str().expect("a token").to_owned();
    let head = format!(
        "POST /api/v1/runs/{run}/break-glass HTTP/1.1\r\nHost: {}\r\nX-Muster-Token: {token}",
        daemon.address
    );
    let body = serde_json::json!({"target": target, "why": "I was called and agree"}).to_string();
    let (status, answer) = daemon.http(&head, &body).await;
    assert_eq!(status, 200, "{answer}");
    until("it is proven", async || {
        let shown = stage.muster(&["runs", "show", run, "--json"]).await.json();
        (shown["run"]["outcome"] == "proven").then_some(())
    })
    .await;
    assert!(!alive(&first).await && !alive(&second).await);
    let all = stage.muster(&["incident", "list", "--json"]).await.json();
    let glass = |i: &&serde_json::Value| i["cause"]["kind"] == "muster.glass_broken";
    assert_eq!(
        all.as_array().into_iter().flatten().filter(glass).count(),
        1,
        "{all:#}"
    );
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().await, Some(0));
}
