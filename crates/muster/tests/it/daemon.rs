//! The daemon as a process: signals, reload, and the door of its page.

use muster_lab::testing;
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{Stage, pooled, run_in, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn term_parks_a_run_and_the_next_daemon_ends_it() {
    let Some(mut stage) = Stage::new(pooled(2)).await else {
        return;
    };
    let mut daemon = stage.daemon(&[]).await;
    stage.test.inject("idle-in-transaction-leak", &[]).await;
    let run = run_in(&stage, "waiting_approval").await;
    let id = run["id"].as_str().expect("an id").to_owned();
    let approving = {
        let config = stage.config.clone();
        tokio::spawn(async move { crate::stage::muster(Some(&config), &["approve", "--yes"]).await })
    };
    let events = async |stage: &Stage| -> Vec<Value> {
        let shown = stage.muster(&["runs", "show", &id, "--json"]).await;
        let shown: Value = serde_json::from_str(&shown.out).unwrap_or_default();
        shown["timeline"].as_array().cloned().unwrap_or_default()
    };
    until("both are ended and the hold begins", async || {
        let told = events(&stage).await;
        let done = told
            .iter()
            .filter(|e| e["text"].as_str().is_some_and(|t| t.contains("is gone")));
        (done.count() == 2).then_some(())
    })
    .await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().await, Some(0), "{}", daemon.said());
    let _ = approving.await;
    let told = events(&stage).await;
    let last = told.last().map(|e| e["text"].to_string()).unwrap_or_default();
    assert!(last.contains("stopped at this point"), "{last}");
    let mut daemon = stage.daemon(&[]).await;
    let run = until("it is ended by the next daemon", async || {
        let shown = stage.muster(&["runs", "show", &id, "--json"]).await.json();
        (shown["run"]["state"]["state"] == "ended").then(|| shown["run"].clone())
    })
    .await;
    assert_eq!(run["outcome"], "proven", "{run:#}");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_on_reload_keeps_the_old_config_and_says_so() {
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    let daemon = stage.daemon(&[]).await;
    let good = std::fs::read_to_string(&stage.config).expect("reads");
    stage.edit(|t| format!("{t}thresholdz: {{}}\n"));
    daemon.signal(Signal::HUP);
    until("it says so in its log and on its page", async || {
        let said = daemon.said();
        let page = daemon.page().await;
        (said.contains("old one is kept") && said.contains("thresholdz") && page.contains("old one is kept"))
            .then_some(())
    })
    .await;
    std::fs::write(
        &stage.config,
        good.replace("autopilot: propose", "autopilot: observe"),
    )
    .expect("writes");
    daemon.signal(Signal::HUP);
    until("it takes the good one", async || {
        let page = daemon.page().await;
        (daemon.said().contains("config reloaded") && !page.contains("old one is kept")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_lets_nobody_change_anything_without_the_token_or_by_another_name() {
    use std::os::unix::fs::PermissionsExt;
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    let daemon = stage.daemon(&[]).await;
    let file = stage.state().join("approval.token");
    let mode = std::fs::metadata(&file).expect("token").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = std::fs::read_to_string(&file).expect("token").trim().to_owned();
    let host = &daemon.address;
    let frozen = async || daemon.page().await.contains("Changes are frozen");
    let post = |more: &str| format!("POST /api/v1/freeze HTTP/1.1\r\nHost: {host}{more}");
    for (head, wanted) in [
        (post(""), 401),
        (post("\r\nX-Muster-Token: wrong"), 401),
        (
            post(&format!("\r\nX-Muster-Token: {}", "0".repeat(token.len()))),
            401,
        ),
        (post(&format!("\r\nCookie: token={token}")), 401),
        (
            format!("POST /api/v1/freeze HTTP/1.1\r\nHost: evil.example\r\nX-Muster-Token: {token}"),
            421,
        ),
        ("GET / HTTP/1.1\r\nHost: evil.example:7432".to_owned(), 421),
        (
            format!("GET /api/v1/view HTTP/1.1\r\nHost: evil.example\r\nX-Muster-Token: {token}"),
            421,
        ),
        (format!("GET /nothing HTTP/1.1\r\nHost: {host}"), 404),
    ] {
        let (status, answer) = daemon.http(&head, "{}").await;
        assert_eq!(status, wanted, "{head}: {answer}");
        assert!(!frozen().await, "{head}");
        assert!(!answer.contains(&token));
    }
    let page = daemon.page().await;
    assert!(!page.contains(&token), "the token is not on the page");
    assert!(
        page.to_lowercase()
            .contains("content-security-policy: default-src 'none'"),
        "{page}"
    );
    let (status, _) = daemon
        .http(
            &post(&format!("\r\nX-Muster-Token: {token}")),
            "{\"why\": \"a test\"}",
        )
        .await;
    assert_eq!(status, 200);
    assert!(frozen().await);
    let said = stage.muster(&["unfreeze"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!frozen().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_live() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    let daemon = stage.daemon(&[]).await;
    let mut stream = tokio::net::TcpStream::connect(&daemon.address)
        .await
        .expect("connects");
    let head = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address);
    stream.write_all(head.as_bytes()).await.expect("writes");
    let mut heard = String::new();
    let mut frozen = false;
    let mut buffer = vec![0; 1 << 16];
    let listen = async {
        while !heard.contains("Changes are frozen: look here") {
            let n = stream.read(&mut buffer).await.expect("reads");
            assert!(n > 0, "the stream ended: {heard}");
            heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
            if !frozen && heard.contains("sections") {
                frozen = true;
                let said = stage.muster(&["freeze", "--reason", "look here"]).await;
                assert_eq!(said.code, 0, "{said:?}");
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), listen)
        .await
        .expect("hears of it");
}

/// The head goes outside at the end of a run, and finds a journal that was made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_kept_outside_find_a_journal_that_was_replaced() {
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    stage.edit(|t| format!("journal: {{export_head: [./heads.jsonl]}}\n{t}"));
    let mut daemon = stage.daemon(&[]).await;
    let heads = stage.fleet().dir.join("heads.jsonl");
    let path = heads.display().to_string();
    let planned = stage.muster(&["plan", "replica-health"]).await;
    assert_eq!(planned.code, 0, "{planned:?}");
    until("the head is outside", async || {
        std::fs::read_to_string(&heads)
            .ok()
            .filter(|t| t.ends_with('\n'))
            .map(|_| ())
    })
    .await;
    let said = stage.muster(&["journal", "verify", "--heads", &path]).await;
    assert!(
        said.code == 0 && said.out.contains("1 heads from outside fit"),
        "{said:?}"
    );
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().await, Some(0));
    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(stage.state().join(name));
    }
    let said = stage.muster(&["journal", "verify"]).await;
    assert_eq!(said.code, 0, "by itself the new one is whole: {said:?}");
    let said = stage.muster(&["journal", "verify", "--heads", &path]).await;
    said.refused(1, &["its head was written down outside"]);
    std::fs::write(&heads, "no json\n").expect("writes");
    let said = stage.muster(&["journal", "verify", "--heads", &path]).await;
    said.refused(64, &["heads.jsonl"]);
}
