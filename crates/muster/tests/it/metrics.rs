//! What other programs read: health, metrics, generated alert rules; a real Prometheus scrapes the daemon.

use std::process::Stdio;
use std::time::Duration;

use muster_lab::fleet::{User, connect};
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
    assert!(database["pool"]["size"].is_u64(), "{body}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_detailed_health_answers_without_a_token_only_where_the_config_says_so() {
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    stage.edit(|t| format!("web: {{open: [everything]}}\n{t}"));
    let refused = stage.muster(&["config", "show"]).await;
    assert!(
        refused.code != 0 && refused.err.contains("only `detailed`"),
        "{refused:?}"
    );
    stage.edit(|t| t.replace("[everything]", "[detailed]"));
    let check = stage.muster(&["config", "check"]).await;
    assert!(
        check
            .out
            .contains("without a token, to everybody on this machine"),
        "{check:?}"
    );
    let daemon = stage.daemon(&[]).await;
    let body = until("it answers", async || {
        let (status, body) = get(&daemon, "/health/detailed", "").await;
        (status == 200).then_some(body)
    })
    .await;
    assert!(
        json(&body)["services"]["database"]["max_connections"].is_number(),
        "{body}"
    );
    assert_eq!(
        get(&daemon, "/metrics/queries", "").await.0,
        401,
        "statements stay closed"
    );
    assert_eq!(get(&daemon, "/api/v1/journal", "").await.0, 401);
    // As the edited file says it, from its reload on.
    stage.edit(|t| t.replace("web: {open: [detailed]}\n", ""));
    daemon.signal(rustix::process::Signal::HUP);
    until("it is closed again", async || {
        (get(&daemon, "/health/detailed", "").await.0 == 401).then_some(())
    })
    .await;
}

/// A health route on a port of its own: it answers what it is told to, and when it is told nothing it is gone.
async fn application(status: &'static str) -> (u16, tokio::task::JoinHandle<()>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0u8; 2048];
            let _ = stream.read(&mut head).await;
            let body = "{\"status\": \"degraded\"}";
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_are_in_the_metrics_and_one_that_is_gone_is_down() {
    let Some(stage) = Stage::new(testing::small(15)).await else {
        return;
    };
    let (good, task) = application("200 OK").await;
    let (bad, _bad) = application("503 Service Unavailable").await;
    stage.edit(|t| {
        let apps = format!(
            "    apps:\n      - {{name: notes, health: \"http://127.0.0.1:{good}/health?key=secret\"}}\n      \
             - {{name: worse, health: \"http://127.0.0.1:{bad}/health\"}}\n      - {{name: mute}}\n"
        );
        t.replace("    servers:\n", &format!("{apps}    servers:\n"))
    });
    let daemon = stage.daemon(&[]).await;
    let shown = stage.muster(&["config", "show"]).await;
    assert!(
        shown.out.contains("/health") && !shown.out.contains("key="),
        "{shown:?}"
    );
    let value = |page: &str, name: &str, app: &str| -> Option<f64> {
        let label = format!("app=\"lab/{app}\"");
        let line = page
            .lines()
            .find(|l| l.starts_with(&format!("{name}{{")) && l.contains(&label))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    let page = until("both were asked", async || {
        let (_, page) = get(&daemon, "/metrics", "").await;
        (value(&page, "app_up", "notes").is_some() && value(&page, "app_up", "worse").is_some())
            .then_some(page)
    })
    .await;
    assert_eq!(
        (value(&page, "app_up", "notes"), value(&page, "app_up", "worse")),
        (Some(1.0), Some(1.0))
    );
    assert_eq!(value(&page, "app_health_status", "notes"), Some(200.0));
    assert_eq!(value(&page, "app_health_status", "worse"), Some(503.0));
    assert_eq!(value(&page, "app_health_said", "notes"), Some(1.0));
    assert!(
        value(&page, "app_health_latency_seconds", "notes").is_some_and(|s| s > 0.0 && s < 2.0),
        "{page}"
    );
    assert_eq!(value(&page, "app_up", "mute"), None, "nobody asks it");
    assert!(!page.contains("secret"), "{page}");
    task.abort();
    let page = until("it is gone", async || {
        let (_, page) = get(&daemon, "/metrics", "").await;
        (value(&page, "app_up", "notes") == Some(0.0)).then_some(page)
    })
    .await;
    assert_eq!(
        value(&page, "app_health_status", "notes"),
        None,
        "no old answer stands for a new one"
    );
    let rules = stage.muster(&["export", "alerts"]).await;
    assert!(
        rules.out.contains("app_up == 0") && rules.out.contains("app_health_status >= 500"),
        "{rules:?}"
    );
}

/// `pg_sleep` of 20 ms, many times; what the middle one took, as a client sees it.
async fn sleeps(stage: &Stage, times: usize) -> f64 {
    let config = stage.fleet().config("a", User::App, "app").expect("config");
    let each = async || {
        let client = connect(&config).await.expect("login");
        let mut took = Vec::new();
        for _ in 0..times / 4 {
            let began = std::time::Instant::now();
            client
                .query("SELECT pg_catalog.pg_sleep(0.02)", &[])
                .await
                .expect("sleeps");
            took.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        took
    };
    let (a, b, c, d) = tokio::join!(each(), each(), each(), each());
    let mut all = [a, b, c, d].concat();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Known durations land inside the stated error while every statement is logged; with a threshold there is no percentile.
async fn percentiles(major: u32) {
    let mut options = testing::small(major);
    options
        .settings
        .insert("log_min_duration_statement".into(), "0".into());
    let Some(stage) = Stage::new(options).await else {
        return;
    };
    let daemon = stage.daemon(&[]).await;
    let token = std::fs::read_to_string(stage.state().join("approval.token")).expect("token");
    let signed = format!("\r\nX-Muster-Token: {}", token.trim());
    let ask = async |path: &str| json(&get(&daemon, path, &signed).await.1);
    until("durations are counted", async || {
        let told = ask("/metrics/queries").await;
        let p50 = &told["statistics"]["p50"];
        (p50["value"].is_number() || p50["over"].is_number()).then_some(())
    })
    .await;
    let middle = sleeps(&stage, 200).await;
    let told = until("two hundred durations", async || {
        let told = ask("/metrics/queries").await;
        let samples = told["statistics"]["p50"]["samples"].as_u64()?;
        (samples >= 200).then_some(told)
    })
    .await;
    let p50 = &told["statistics"]["p50"];
    let number = |v: &Value| v.as_f64().unwrap_or(f64::NAN);
    let (value, error) = (number(&p50["value"]), number(&p50["error"]));
    assert!(
        value * (1.0 + error) >= 20.0 && value * (1.0 - error) <= middle,
        "{middle} ms: {p50}"
    );
    assert!(
        number(&p50["low"]) <= middle && number(&p50["high"]) > 20.0,
        "{p50}"
    );
    assert!(
        p50["method"]
            .as_str()
            .is_some_and(|m| m.contains("of all statements")),
        "{p50}"
    );
    assert!(
        p50["samples"].as_u64().is_some_and(|n| n < 260),
        "Muster's own are not among them: {p50}"
    );
    let detail = ask("/health/detailed").await;
    let queries = &detail["services"]["queries"];
    assert!(
        number(&queries["p95_latency"]) >= 18.0 && queries["reason"].is_null(),
        "{queries}"
    );
    assert!(
        detail["services"]["database"]["primary"]["latency"].is_number(),
        "{detail}"
    );
    let (_, page) = get(&daemon, "/metrics", "").await;
    let count = |le: &str| {
        let line = page
            .lines()
            .find(|l| l.starts_with("db_query_duration_seconds_bucket") && l.contains(le));
        line.and_then(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
            .unwrap_or(f64::NAN)
    };
    assert!(count("le=\"+Inf\"") - count("le=\"0.01\"") >= 200.0, "{page}");

    let root = stage
        .fleet()
        .config("a", User::Postgres, "postgres")
        .expect("config");
    let root = connect(&root).await.expect("login");
    for text in [
        "ALTER SYSTEM SET log_min_duration_statement = 500",
        "SELECT pg_catalog.pg_reload_conf()",
    ] {
        root.batch_execute(text).await.expect("set");
    }
    let why = until("the threshold is seen", async || {
        let detail = ask("/health/detailed").await;
        let queries = &detail["services"]["queries"];
        let why = queries["reason"].as_str()?.to_owned();
        assert_eq!(queries["p95_latency"], Value::Null, "{queries}");
        (!why.contains("anew") && !why.contains("counted for")).then_some(why)
    })
    .await;
    assert!(!why.is_empty());
    sleeps(&stage, 40).await;
    let (_, page) = get(&daemon, "/metrics", "").await;
    assert!(
        !page.contains("db_query_duration_seconds_bucket"),
        "a tail is no distribution"
    );
    let p95 = ask("/metrics/queries").await["statistics"]["p95"].clone();
    let why = p95["reason"].as_str().unwrap_or_default();
    assert!(
        p95["value"].is_null() && (why.contains("shorter") || why.contains("no duration was seen")),
        "{p95}"
    );
}

/// Where only the slow ones are logged, a percentile among them is told by the calls of `pg_stat_statements`, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_percentile_above_the_threshold_is_told_with_the_calls_and_one_below_is_not() {
    let mut options = testing::small(18);
    options
        .settings
        .insert("log_min_duration_statement".into(), "500".into());
    let Some(stage) = Stage::new(options).await else {
        return;
    };
    let root = stage
        .fleet()
        .config("a", User::Postgres, "postgres")
        .expect("config");
    let root = connect(&root).await.expect("login");
    root.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .await
        .expect("statements");
    stage.edit(|t| format!("collect: {{tables: 2s}}\n{t}"));
    let daemon = stage.daemon(&[]).await;
    let token = std::fs::read_to_string(stage.state().join("approval.token")).expect("token");
    let signed = format!("\r\nX-Muster-Token: {}", token.trim());
    let statistics = async || json(&get(&daemon, "/metrics/queries", &signed).await.1)["statistics"].clone();
    until("statements and durations are counted", async || {
        let told = statistics().await;
        (told["total_queries"].is_number() && told["p95"]["reason"].is_string()).then_some(())
    })
    .await;
    sleeps(&stage, 60).await;
    let config = stage.fleet().config("a", User::App, "app").expect("config");
    let slow = (0..12).map(async |_| {
        let client = connect(&config).await.expect("login");
        client
            .query("SELECT pg_catalog.pg_sleep(0.6)", &[])
            .await
            .expect("sleeps");
    });
    futures::future::join_all(slow).await;
    let told = until("p95 is told", async || {
        let told = statistics().await;
        told["p95"]["value"].is_number().then_some(told)
    })
    .await;
    let (low, high) = (told["p95"]["low"].as_f64(), told["p95"]["high"].as_f64());
    assert!(low >= Some(500.0) && high > Some(600.0), "{told}");
    assert!(
        told["p95"]["method"]
            .as_str()
            .is_some_and(|m| m.contains("above its threshold") && m.contains("pg_stat_statements")),
        "{told}"
    );
    let why = told["p50"]["reason"].as_str().unwrap_or_default();
    assert!(
        told["p50"]["value"].is_null() && why.contains("less than"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn percentiles_of_15_say_method_and_error_or_why_there_is_none() {
    percentiles(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn percentiles_of_18_say_method_and_error_or_why_there_is_none() {
    percentiles(18).await;
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
