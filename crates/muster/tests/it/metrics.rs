//! What other programs read: health, metrics, generated alert rules; a real Prometheus scrapes the daemon.

use std::process::Stdio;
use std::time::Duration;

use muster_lab::server::{How, stop};
use muster_lab::testing;
use serde_json::Value;

use crate::stage::{Daemon, Stage, pooled, until};

async fn get(daemon: &Daemon, path: &str, more: &str) -> (u16, String) {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}{more}", daemon.address);
    let (status, answer) = daemon.http(&head, "").await;
    let body = answer.split_once("\r\n\r\n").map_or(answer.as_str(), |(_, b)| b);
    (status, body.to_owned())
}

/// The body, its chunks put together.
fn json(body: &str) -> Value {
    let (start, end) = (
        body.find('{').unwrap_or(0),
        body.rfind('}').map_or(body.len(), |i| i + 1),
    );
    serde_json::from_str(&body[start..end]).unwrap_or_else(|e| panic!("{e}: {body}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_what_is_and_null_for_what_is_not_known() {
    let mut options = pooled(5);
    options.cache = true;
    let Some(stage) = Stage::new(options).await else {
        return;
    };
    let daemon = stage.daemon(&[]).await;
    let token = std::fs::read_to_string(stage.state().join("approval.token")).expect("token");
    let signed = format!("\r\nX-Muster-Token: {}", token.trim());

    assert_eq!(get(&daemon, "/health/live", "").await.0, 200);
    until("it is ready", async || {
        (get(&daemon, "/health/ready", "").await.0 == 200).then_some(())
    })
    .await;
    let (status, body) = get(&daemon, "/health", "").await;
    assert_eq!(
        (status, json(&body)["database"].as_str()),
        (200, Some("connected")),
        "{body}"
    );
    assert_eq!(
        get(&daemon, "/health/detailed", "").await.0,
        401,
        "statements and names are not for everybody"
    );
    assert_eq!(get(&daemon, "/metrics/queries", "").await.0, 401);
    let (status, body) = get(&daemon, "/health/detailed?cluster=lab", &signed).await;
    let detail = json(&body);
    assert_eq!(status, 200, "{body}");
    let database = &detail["services"]["database"];
    assert!(
        database["max_connections"].as_u64().is_some_and(|n| n > 0),
        "{body}"
    );
    assert!(
        database["pool"]["size"].as_u64() == Some(5) || database["pool"]["size"].is_number(),
        "{body}"
    );
    assert_eq!(detail["services"]["queries"]["p95_latency"], Value::Null);
    assert!(detail["services"]["queries"]["reason"].is_string(), "{body}");
    assert_eq!(
        get(&daemon, "/health/detailed?cluster=nosuch", &signed).await.0,
        404
    );

    stop(stage.fleet(), "a", How::Fast).await.expect("stops");
    let down = until("the primary is seen to be down", async || {
        let (status, body) = get(&daemon, "/health", "").await;
        (status == 503).then_some(body)
    })
    .await;
    assert_eq!(json(&down)["database"], "disconnected");
    let (status, body) = get(&daemon, "/health/ready", "").await;
    assert_eq!(
        (status, json(&body)["status"].as_str()),
        (200, Some("degraded")),
        "Muster does its work"
    );
    let (_, body) = get(&daemon, "/health/detailed", &signed).await;
    assert_eq!(
        json(&body)["services"]["database"]["connections"],
        Value::Null,
        "{body}"
    );
}

/// The rules and a scrape by a real Prometheus, where its package is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_takes_the_rules_and_scrapes_the_daemon() {
    let place = |name: &str| {
        let known = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];
        known
            .iter()
            .map(|d| std::path::Path::new(d).join(name))
            .find(|p| p.is_file())
    };
    let (Some(promtool), Some(prometheus)) = (place("promtool"), place("prometheus")) else {
        assert!(
            std::env::var_os("MUSTER_TEST_REQUIRE_ALL").is_none(),
            "prometheus is not installed"
        );
        return;
    };
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let rules = stage.muster(&["export", "alerts"]).await;
    assert_eq!(rules.code, 0, "{rules:?}");
    std::fs::write(dir.path().join("rules.yml"), &rules.out).expect("writes");
    let checked = tokio::process::Command::new(&promtool)
        .args(["check", "rules", "rules.yml"])
        .current_dir(dir.path())
        .output()
        .await
        .expect("promtool runs");
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stdout)
    );
    let board = stage.muster(&["export", "dashboard"]).await;
    assert!(
        board.json()["panels"].as_array().is_some_and(|p| p.len() > 20),
        "{board:?}"
    );

    let daemon = stage.daemon(&[]).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a port")
        .port();
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n  \
         - {{job_name: muster, static_configs: [{{targets: ['{}']}}]}}\n",
        daemon.address
    );
    std::fs::write(dir.path().join("prometheus.yml"), config).expect("writes");
    let mut child = tokio::process::Command::new(&prometheus)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("prometheus starts");
    // Plain HTTP, but the client wants a provider all the same; another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(2))
        .build()
        .expect("a client");
    let ask = async |query: &str| {
        let url = format!("http://127.0.0.1:{port}/api/v1/query?query={query}");
        let answer = client.get(url).send().await.ok()?;
        let body: Value = answer.json().await.ok()?;
        let first = body["data"]["result"].as_array()?.first()?.clone();
        first["value"][1].as_str().map(str::to_owned)
    };
    let up = until("the scrape says that the server is up", async || {
        ask("pg_up").await
    })
    .await;
    assert_eq!(up, "1");
    assert!(
        ask("db_commits_total").await.is_some(),
        "counters come with their suffix"
    );
    let proved = ask("min(muster_rule_proved)").await;
    assert_eq!(proved.as_deref(), Some("1"), "every rule found its specimen");
    assert_eq!(ask("absent(muster_build)").await, None);
    child.kill().await.expect("ends");
}
