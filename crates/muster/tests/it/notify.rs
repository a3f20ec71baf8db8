//! People are told: through a webhook, Slack's and PagerDuty's forms and a real mail server; once each, also over a kill -9.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use rcgen::{CertifiedKey, KeyPair};
use rustix::process::Signal;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::stage::{Stage, command, pooled, until};

/// What a receiver got: path, `Authorization`, body.
type Got = (String, String, Value);

/// Receivers of HTTP, as strict as those they stand for where that matters.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<Got>>>,
    /// Paths that are out of order.
    broken: Arc<Mutex<BTreeSet<String>>>,
}

async fn receive(
    State(r): State<Receiver>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, &'static str) {
    let path = uri.path().to_owned();
    if r.broken.lock().expect("lock").contains(&path) {
        return (StatusCode::SERVICE_UNAVAILABLE, "try again");
    }
    let bearer = headers
        .get("authorization")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    let fits = match path.as_str() {
        "/hook" => bearer == "Bearer hook-secret" && (json["id"].is_string() || json["heads"].is_array()),
        "/slack" => json["text"].is_string(),
        "/v2/enqueue" => {
            let whole = json["payload"]["summary"].is_string() && json["payload"]["severity"].is_string();
            json["routing_key"] == "duty-secret"
                && json["dedup_key"].is_string()
                && (whole || json["event_action"] != "trigger")
        }
        _ => true,
    };
    if !fits {
        return (StatusCode::BAD_REQUEST, "no such event");
    }
    r.got.lock().expect("lock").push((path, bearer, json));
    (StatusCode::ACCEPTED, "")
}

impl Receiver {
    async fn start(&self) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(receive).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// Bodies at this path.
    fn at(&self, path: &str) -> Vec<Value> {
        let got = self.got.lock().expect("lock");
        got.iter()
            .filter(|(p, ..)| p == path)
            .map(|(.., b)| b.clone())
            .collect()
    }
}

/// A mail server, over TLS where there is a certificate with its key; `None` when it is not installed and the run does not demand
/// all.
fn mailbox(dir: &std::path::Path, tls: &[&str]) -> Option<(tokio::process::Child, PathBuf)> {
    let wheels = muster_lab::install::cache_dir(&|name| std::env::var_os(name)).join("aiosmtpd-1.4.6");
    if !wheels.is_dir() {
        assert!(
            std::env::var_os("MUSTER_TEST_REQUIRE_ALL").is_none(),
            "there is no mail server: cargo xtask provide"
        );
        return None;
    }
    let out = dir.join("mailbox.out");
    let child = tokio::process::Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/mailbox.py"))
        .arg(wheels)
        .args(tls)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out).expect("a file"))
        .kill_on_drop(true)
        .spawn()
        .expect("python3 starts");
    Some((child, out))
}

async fn port_of(mails: &std::path::Path) -> String {
    until("the mail server listens", async || {
        let text = std::fs::read_to_string(mails).ok()?;
        Some(text.strip_prefix("PORT ")?.lines().next()?.to_owned())
    })
    .await
}

/// An HTTPS receiver with this certificate: its port, and what it got.
async fn over_tls(key: &CertifiedKey<KeyPair>) -> (u16, Arc<Mutex<String>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let secret = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], secret.into())
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let got = Arc::new(Mutex::new(String::new()));
    let all = got.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut bytes = vec![0; 16 * 1024];
            let mut text = String::new();
            // The body is JSON and ends with the last brace.
            while !text.trim_end().ends_with('}') {
                match stream.read(&mut bytes).await {
                    Ok(n) if n > 0 => text.push_str(&String::from_utf8_lossy(&bytes[..n])),
                    _ => break,
                }
            }
            all.lock().expect("lock").push_str(&text);
            let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, got)
}

fn secret(dir: &std::path::Path, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    std::fs::write(&path, text).expect("writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::too_many_lines)] // one story
async fn an_incident_calls_people_level_by_level_and_says_when_it_is_over() {
    let Some(mut stage) = Stage::new(pooled(2)).await else {
        return;
    };
    let dir = stage.fleet().dir.clone();
    let Some((_mail, mails)) = mailbox(&dir, &[]) else {
        return;
    };
    let read = || std::fs::read_to_string(&mails).unwrap_or_default();
    let port = port_of(&mails).await;
    let receiver = Receiver::default();
    let http = receiver.start().await;
    let (hook, duty, mail, chat) = (
        secret(&dir, "hook.token", "hook-secret\n"),
        secret(&dir, "duty.key", "duty-secret\n"),
        secret(&dir, "mail.password", "mail-secret\n"),
        secret(&dir, "chat.url", &format!("http://{http}/slack\n")),
    );
    let notify = format!(
        "
notify:
  page: https://muster.example.org/
  channels:
    hook: {{kind: webhook, url: \"http://{http}/hook\", token_file: {hook}}}
    chat: {{kind: slack, url_file: {chat}}}
    duty: {{kind: pagerduty, url: \"http://{http}/v2/enqueue\", key_file: {duty}}}
    mail: {{kind: mail, server: \"smtp://127.0.0.1:{port}\", user: muster, password_file: {mail}, from: muster@example.org, to: [ops@example.org]}}
  levels:
    L1: [hook, chat]
    L2: {{to: [duty, mail], after: 1s}}
  heartbeat: {{url: \"http://{http}/alive\", every: 10s}}
journal: {{export_head: [\"channel:hook\"]}}
"
    );
    stage.edit(|t| format!("{t}{notify}"));

    // Every channel is tried, and what is wrong with one is said.
    let tried = stage.muster(&["notify", "test"]).await;
    assert_eq!((tried.code, tried.out.lines().count()), (0, 4), "{tried:?}");
    assert_eq!(receiver.at("/v2/enqueue").len(), 2, "begun and ended");
    receiver.broken.lock().expect("lock").insert("/hook".to_owned());
    let tried = stage.muster(&["notify", "test", "hook"]).await;
    assert_eq!(tried.code, 1, "{tried:?}");
    assert!(tried.out.contains("it answers 503: try again"), "{tried:?}");
    stage
        .muster(&["notify", "test", "nobody"])
        .await
        .refused(64, &["nobody", "chat, duty, hook, mail"]);
    receiver.got.lock().expect("lock").clear();

    let mut daemon = stage.daemon(&[]).await;
    stage.test.inject("idle-in-transaction-leak", &[]).await;
    until("the second level is called", async || {
        (read().contains("[P1]") && !receiver.at("/v2/enqueue").is_empty()).then_some(())
    })
    .await;
    let incident = stage.muster(&["incident", "list", "--json"]).await.json()[0]["id"]
        .as_str()
        .expect("an incident")
        .to_owned();
    let raised = receiver.at("/v2/enqueue")[0].clone();
    assert_eq!(raised["event_action"], "trigger");
    assert_eq!(
        raised["dedup_key"],
        format!("muster/incident/{incident}"),
        "{raised:#}"
    );
    let raised_key = raised["dedup_key"].clone();
    let text = receiver.at("/slack")[0]["text"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for words in [
        "[P1] lab/bouncer",
        &format!("muster ack {incident}"),
        "https://muster.example.org/",
    ] {
        assert!(text.contains(words), "`{words}` is not in {text}");
    }
    assert!(
        read().contains("MAIL muster@example.org ops@example.org"),
        "{}",
        read()
    );
    // What is not taken is said on the page, and waits.
    until("the page says so", async || {
        daemon
            .page()
            .await
            .contains("do not get through: it answers 503")
            .then_some(())
    })
    .await;
    until("Muster shows that it lives", async || {
        (!receiver.at("/alive").is_empty()).then_some(())
    })
    .await;

    until("what was taken is written down", async || {
        let list = stage.muster(&["notify", "list", "--json"]).await.json();
        let of = |q: &&Value| q["notification"]["channel"] != "hook";
        let all: Vec<&Value> = list.as_array()?.iter().filter(of).collect();
        (all.len() >= 3 && all.iter().all(|q| q["sending"] == "sent")).then_some(())
    })
    .await;
    // Killed, the next one sends what waits; nobody is told twice.
    daemon.signal(Signal::KILL);
    assert_eq!(daemon.ended().await, None);
    receiver.broken.lock().expect("lock").clear();
    let mut daemon = stage.daemon(&[]).await;
    until("the webhook is told", async || {
        let about = |b: &Value| b["thread"] == *incident && b["notice"] == "raised";
        receiver.at("/hook").iter().any(about).then_some(())
    })
    .await;
    let said = stage.muster(&["ack", &incident, "--why", "on my way"]).await;
    assert!(said.out.contains(&incident), "{said:?}");
    until("everybody hears that somebody has it", async || {
        let duty = receiver
            .at("/v2/enqueue")
            .iter()
            .any(|b| b["event_action"] == "acknowledge");
        (duty && read().contains("Somebody has it") && read().contains("on my way")).then_some(())
    })
    .await;
    stage
        .muster(&["incident", "resolve", &incident, "--why", "mended by hand"])
        .await;
    until("everybody hears that it is over", async || {
        let hook = receiver.at("/hook").iter().any(|b| b["notice"] == "over");
        let duty = receiver
            .at("/v2/enqueue")
            .iter()
            .any(|b| b["event_action"] == "resolve");
        (hook && duty && read().contains("mended by hand")).then_some(())
    })
    .await;
    // The run asked for a signature; when it is over its head is kept outside.
    let runs = stage.muster(&["runs", "list", "--json"]).await.json();
    for run in runs.as_array().into_iter().flatten() {
        if run["state"]["state"] != "ended" {
            let id = run["id"].as_str().unwrap_or_default();
            stage.muster(&["reject", id, "--why", "not needed"]).await;
        }
    }
    until("a head is kept outside", async || {
        receiver
            .at("/hook")
            .iter()
            .any(|b| b["heads"][0]["hash"].is_string())
            .then_some(())
    })
    .await;

    // Each message once through each channel, also those that were sent before the kill.
    let ids: Vec<String> = receiver
        .at("/hook")
        .iter()
        .filter_map(|b| Some(b["id"].as_str()?.to_owned()))
        .collect();
    let once: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(once.len(), ids.len(), "each message once: {ids:?}");
    let chats: Vec<Value> = receiver.at("/slack");
    // The fault is still there, so another incident may have been opened since.
    let shows = format!("muster incident show {incident}");
    let raised = |text: &Value| text["text"].as_str().is_some_and(|t| t.contains(&shows));
    assert_eq!(chats.iter().filter(|t| raised(t)).count(), 1, "{chats:#?}");
    let pages = receiver.at("/v2/enqueue");
    let begun = |b: &&Value| b["event_action"] == "trigger" && b["dedup_key"] == raised_key;
    assert_eq!(pages.iter().filter(begun).count(), 1, "{pages:#?}");
    assert_eq!(read().matches(&shows).count(), 1, "{}", read());
    // The second level only after the first, as the journal tells it.
    let journal = stage.muster(&["journal", "export"]).await.out;
    let queued: Vec<String> = journal
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .filter(|e| e["event"]["event"] == "notification_queued")
        .map(|e| {
            e["event"]["notification"]["level"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(&queued[..4], ["L1", "L1", "L2", "L2"], "{queued:?}");
    let list = stage.muster(&["notify", "list"]).await;
    assert!(list.out.contains("sent") && list.out.contains("L2"), "{list:?}");
    let shown = stage.muster(&["config", "show"]).await.out;
    let (list, page, log) = (list.out, daemon.page().await, daemon.said());
    for hidden in ["hook-secret", "duty-secret", "mail-secret", "/slack"] {
        for (name, text) in [
            ("journal", &journal),
            ("config", &shown),
            ("list", &list),
            ("page", &page),
            ("log", &log),
        ] {
            assert!(!text.contains(hidden), "`{hidden}` stands in the {name}");
        }
    }
    stage.muster(&["ack", &incident]).await.refused(3, &["is over"]);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().await, Some(0));
}

/// What the journal cannot say is told all the same: that it cannot be written, and when it can be again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_cannot_be_written_calls_people() {
    let Some(mut stage) = Stage::new(pooled(2)).await else {
        return;
    };
    let receiver = Receiver::default();
    let http = receiver.start().await;
    let chat = format!("\nnotify: {{channels: {{chat: {{kind: slack, url: \"http://{http}/slack\"}}}}}}\n");
    stage.edit(|t| format!("{t}{chat}"));
    let mut daemon = stage.daemon(&[]).await;
    let journal = stage.state().join("journal.db");
    let other = rusqlite::Connection::open(journal).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locks");
    stage.test.inject("idle-in-transaction-leak", &[]).await;
    let said = |words: &str| {
        let text = |b: &Value| b["text"].as_str().is_some_and(|t| t.contains(words));
        receiver.at("/slack").iter().filter(|b| text(b)).count()
    };
    let begun = "[P1] Muster cannot read or write its journal";
    until("people hear that the journal is stuck", async || {
        (said(begun) > 0).then_some(())
    })
    .await;
    until("the page says so", async || {
        daemon
            .page()
            .await
            .contains("The journal cannot be written")
            .then_some(())
    })
    .await;
    other.execute_batch("ROLLBACK").expect("lets go");
    until("people hear that it is over", async || {
        (said(&format!("Over: {begun}")) > 0).then_some(())
    })
    .await;
    until("the page is quiet", async || {
        (!daemon.page().await.contains("The journal cannot be written")).then_some(())
    })
    .await;
    // What nobody could write down meanwhile is seen and told now.
    until("the incident is told", async || {
        (said("muster incident show") > 0).then_some(())
    })
    .await;
    assert_eq!(said(&format!("Over: {begun}")), 1);
    assert_eq!(
        said(begun),
        2,
        "raised once and over once: {:#?}",
        receiver.at("/slack")
    );
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ended().await, Some(0));
}

/// To real receivers over TLS: who trusts their certificate sends, and who does not says so and sends nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_leave_only_for_a_certificate_that_is_trusted() {
    let dir = tempfile::tempdir().expect("dir");
    let dir = dir.path();
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let pem = secret(dir, "cert.pem", &key.cert.pem());
    let private = secret(dir, "key.pem", &key.signing_key.serialize_pem());
    let Some((_mail, mails)) = mailbox(dir, &[&pem, &private]) else {
        return;
    };
    let mail_port = port_of(&mails).await;
    let (port, got) = over_tls(&key).await;
    let (token, password) = (
        secret(dir, "hook.token", "hook-secret"),
        secret(dir, "mail.password", "mail-secret"),
    );
    let config = dir.join("muster.yaml");
    let text = format!(
        "state_dir: ./state
clusters: {{shop: {{servers: [{{name: a, url: \"postgres://muster@127.0.0.1:1/postgres\"}}]}}}}
notify:
  channels:
    hook: {{kind: webhook, url: \"https://localhost:{port}/hook\", token_file: {token}}}
    mail: {{kind: mail, server: \"smtps://localhost:{mail_port}\", user: muster, password_file: {password}, from: muster@example.org, to: [ops@example.org]}}
"
    );
    std::fs::write(&config, text).expect("writes");
    let test = async |trusted: bool| {
        let mut test = command(Some(&config), &["notify", "test"]);
        test.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
        if trusted {
            test.env("SSL_CERT_FILE", &pem);
        }
        let out = test.output().await.expect("starts");
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stdout).into_owned(),
        )
    };
    let (code, said) = test(false).await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said.matches("certificate").count(), 2, "each says why: {said}");
    assert!(got.lock().expect("lock").is_empty(), "nothing was sent");
    let (code, said) = test(true).await;
    assert_eq!(code, Some(0), "{said}");
    let got = got.lock().expect("lock").clone();
    assert!(
        got.contains("Bearer hook-secret") && got.contains("nothing is wrong"),
        "{got}"
    );
    let mail = std::fs::read_to_string(&mails).expect("reads");
    assert!(mail.contains("MAIL muster@example.org ops@example.org"), "{mail}");
}

/// A receiver that asks to come again later gets the mail with the next try, and the others do not get it twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_took_a_mail_does_not_get_it_again_because_another_did_not() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().expect("dir");
    let Some((_server, mails)) = mailbox(dir.path(), &[]) else {
        return;
    };
    let port = port_of(&mails).await;
    let channel = muster::notify::Channel::Mail {
        server: format!("smtp://127.0.0.1:{port}").parse().expect("a url"),
        login: Some(("muster".to_owned(), "mail-secret".to_owned().into())),
        from: "muster@example.org".to_owned(),
        to: vec!["ops@example.org".to_owned(), "later@example.org".to_owned()],
    };
    let postman = muster::notify::deliver::Postman::new().expect("a postman");
    let now = muster_model::Time::from_millis(1_790_000_000_000);
    let message = muster::notify::due::trial("mail", "alice", now);
    let refused = postman
        .send(&channel, &message, now)
        .await
        .expect_err("one did not");
    assert!(
        refused.again && refused.why.contains("ask again later"),
        "{refused:?}"
    );
    postman
        .send(&channel, &message, now)
        .await
        .expect("now both have it");
    let text = std::fs::read_to_string(&mails).expect("reads");
    for receiver in ["ops@example.org", "later@example.org"] {
        let line = format!("MAIL muster@example.org {receiver}");
        assert_eq!(text.matches(&line).count(), 1, "{text}");
    }
}
