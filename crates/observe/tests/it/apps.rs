//! An application, which is a socket that answers as it is told: no product that could be installed.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_model::snapshot::{AppHealth, Reach, Rung};
use muster_model::{Snapshot, Span};
use muster_observe::{Extent, Observer};
use muster_reach::{AppConfig, ClusterConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::estate::{now, until, watching};

/// What the application does with a question.
#[derive(Clone)]
enum Does {
    Answers(u16, String),
    Hangs,
}

struct Application {
    port: u16,
    does: Arc<Mutex<Does>>,
    asked: Arc<Mutex<String>>,
    task: JoinHandle<()>,
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn application() -> Application {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("address").port();
    let does = Arc::new(Mutex::new(Does::Answers(200, "{}".into())));
    let asked = Arc::new(Mutex::new(String::new()));
    let (do_this, note) = (does.clone(), asked.clone());
    let task = tokio::spawn(async move {
        let mut hanging = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).await.unwrap_or(0);
            *note.lock().expect("lock") = String::from_utf8_lossy(&bytes[..read]).into_owned();
            let told = do_this.lock().expect("lock").clone();
            match told {
                Does::Hangs => hanging.push(stream),
                Does::Answers(status, body) => {
                    let text = format!(
                        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nlocation: /elsewhere\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    // Who does not read to the end has seen enough.
                    let _ = stream.write_all(text.as_bytes()).await;
                }
            }
        }
    });
    Application {
        port,
        does,
        asked,
        task,
    }
}

impl Application {
    fn does(&self, what: Does) {
        *self.does.lock().expect("lock") = what;
    }

    fn observer(&self) -> Observer {
        watching(ClusterConfig {
            name: "shop".into(),
            servers: Vec::new(),
            poolers: Vec::new(),
            caches: Vec::new(),
            apps: vec![AppConfig {
                log: None,
                name: "notes".into(),
                address: "shop/notes".into(),
                health: Some(format!(
                    "http://127.0.0.1:{}/health/detailed?key=hidden",
                    self.port
                )),
                token: Some("a-token".to_owned().into()),
            }],
        })
    }
}

fn health(s: &Snapshot) -> &AppHealth {
    &s.apps[0].health.as_ref().expect("health").value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_application_says_is_read() {
    let app = application().await;
    let observer = app.observer();
    let body = |total: u64, errors: u64| {
        format!(
            r#"{{"status":"degraded","services":{{"database":{{"pool":{{"size":8,"overflow":2,"checked_out":9,"waiting":1}}}},
            "application":{{"memory":{{"used":90,"limit":100}},"requests":{{"total":{total},"errors":{errors}}}}}}}}}"#
        )
    };
    app.does(Does::Answers(200, body(100, 1)));
    let first = observer.pass(now(), Extent::All).await;
    assert_eq!(first.gaps, Vec::new());
    assert_eq!(first.apps[0].reach, Reach::Up);
    assert_eq!(
        first.apps[0].endpoint.as_deref(),
        Some(format!("http://127.0.0.1:{}/health/detailed", app.port).as_str())
    );
    let said = health(&first);
    assert_eq!((said.status, said.said.as_deref()), (200, Some("degraded")));
    assert!(said.latency_ms > 0.0 && said.failures == 0);
    assert_eq!(
        said.pool.map(|p| (p.size, p.overflow, p.checked_out)),
        Some((8, 2, 9))
    );
    assert_eq!(said.memory.map(|m| m.used), Some(90));
    assert!(observer.cost().queries > 0);
    let asked = app.asked.lock().expect("lock").clone();
    assert!(asked.starts_with("GET /health/detailed?key=hidden "), "{asked}");
    assert!(
        asked.to_lowercase().contains("authorization: bearer a-token"),
        "{asked}"
    );
    let all = serde_json::to_string(&first).expect("JSON");
    assert!(
        !all.contains("hidden") && !all.contains("a-token"),
        "a secret was kept"
    );

    app.does(Does::Answers(200, body(160, 31)));
    let grown = until("errors are counted", &observer, |s| {
        let of = health(s)
            .requests
            .as_ref()
            .and_then(|r| r.in_a_minute(|n| n.errors));
        of.is_some_and(|g| g.by == 30)
    })
    .await;
    let total = health(&grown)
        .requests
        .as_ref()
        .and_then(|r| r.in_a_minute(|n| n.total));
    assert_eq!(total.map(|g| g.by), Some(60));

    app.does(Does::Answers(503, "no JSON".into()));
    let failing = until("three answers in a row are bad", &observer, |s| {
        health(s).failures >= 3
    })
    .await;
    assert_eq!(failing.apps[0].reach, Reach::Up, "a bad answer is one");
    assert!(health(&failing).pool.is_none() && health(&failing).requests.is_none());

    for (status, reason) in [(404, "answers 404"), (401, "answers 401"), (302, "answers 302")] {
        app.does(Does::Answers(status, String::new()));
        let s = observer.pass(now(), Extent::All).await;
        let gap = s.gap("app", "shop/notes").expect("gap");
        assert!(gap.reason.contains(reason) && gap.remedy.is_some(), "{gap:?}");
        let asked = app.asked.lock().expect("lock").clone();
        assert!(
            asked.starts_with("GET /health/detailed"),
            "no other address is followed: {asked}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_hangs_says_too_much_or_is_gone_keeps_no_pass_waiting() {
    let app = application().await;
    let observer = app.observer();
    let long = format!(r#"{{"status":"healthy","x":"{}"}}"#, "x".repeat(2_000_000));
    app.does(Does::Answers(200, long));
    let much = observer.pass(now(), Extent::All).await;
    assert_eq!(
        (health(&much).status, health(&much).said.as_deref()),
        (200, None),
        "not read to its end"
    );

    app.does(Does::Hangs);
    let deadline = Instant::now() + Duration::from_secs(30);
    let down = loop {
        let began = Instant::now();
        let s = observer.pass(now(), Extent::Due).await;
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "a pass took {:?}",
            began.elapsed()
        );
        if matches!(s.apps[0].reach, Reach::Down { misses: 3.., .. }) {
            break s;
        }
        assert!(Instant::now() < deadline, "not in time: {:?}", s.apps[0].reach);
        tokio::task::yield_now().await;
    };
    let Reach::Down {
        rung, reason, since, ..
    } = &down.apps[0].reach
    else {
        panic!("{:?}", down.apps[0].reach);
    };
    assert_eq!(
        (*rung, reason.as_str()),
        (Rung::Query, "no answer within 2000 ms")
    );
    assert!(down.taken_at.since(*since) >= Span::from_secs(2));
    assert!(down.apps[0].health.is_none());

    app.task.abort();
    let gone = until("nothing listens", &observer, |s| {
        matches!(s.apps[0].reach, Reach::Down { rung: Rung::Tcp, .. })
    })
    .await;
    let gap = gone.gap("app", "shop/notes").expect("gap");
    assert!(!gap.reason.contains("hidden"), "{}", gap.reason);
}
