//! HTTP: the page, its live stream, and the API on loopback; the API on the state's socket.
//!
//! On loopback, what changes something needs somebody's own token in a header (never a cookie), and the Host header must
//! name loopback, so that no page of another site can reach it. On the socket, who calls is the user of the process at its
//! other end, as the system says.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use axum::serve::IncomingStream;
use muster_engine::principals::{Principal, Role};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::api::{Caller, handle, view};
use super::health;
use super::watch::Watch;
use crate::view::ClusterPicture;
use crate::{metrics, web};

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                   base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How many tokens are looked at at once.
const LOOKS: usize = 2;
/// How long a token waits for its look.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);
/// The largest body on loopback, in bytes.
const LARGEST: usize = 4 << 20;
/// The largest body on the socket: the heads of years, or a plan with very many targets.
const LARGEST_LOCAL: usize = 64 << 20;

/// Who comes in by a door.
#[derive(Clone)]
pub struct Door {
    watch: Arc<Watch>,
    /// So many tokens are looked at at once: wrong ones must not cost everything there is.
    looks: Arc<Semaphore>,
    /// Tokens that were right already, by their digest: a hash that is slow on purpose is not asked for with every call.
    right: Arc<Mutex<BTreeMap<String, Principal>>>,
}

impl Door {
    fn new(watch: Arc<Watch>) -> Self {
        Self {
            watch,
            looks: Arc::new(Semaphore::new(LOOKS)),
            right: Arc::default(),
        }
    }

    /// Who shows this token; else the answer to whoever does.
    async fn who(&self, token: &str) -> Result<Principal, Box<Response>> {
        let wrong = || Box::new(answer(401, &no_token()));
        if token.is_empty() {
            return Err(wrong());
        }
        let engine = &self.watch.app.engine;
        let digest = muster_model::digest_of_bytes(token.as_bytes());
        let known = self.lock().get(&digest).cloned();
        if let Some(known) = known {
            // Removed, or with another role, meanwhile: then it is not right any more.
            let still = engine.principals().map_err(|_| wrong())?.contains(&known);
            if still {
                return Ok(known);
            }
            self.lock().remove(&digest);
        }
        let Ok(Ok(look)) = tokio::time::timeout(PATIENCE, self.looks.clone().acquire_owned()).await else {
            let busy =
                json!({"error": "too many tokens are being looked at", "remedy": "ask again in a while"});
            return Err(Box::new(answer(429, &busy)));
        };
        let (watch, text) = (self.watch.clone(), token.to_owned());
        // The look is over when the hash is, not when whoever asked goes away.
        let found = tokio::task::spawn_blocking(move || {
            let found = watch.app.engine.sign_in(&text);
            drop(look);
            found
        });
        let found = found.await.map_err(|_| wrong())?.map_err(|_| wrong())?;
        let found = found.ok_or_else(wrong)?;
        self.lock().insert(digest, found.clone());
        Ok(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Principal>> {
        self.right
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The user at the other end of the socket, as the system says.
#[derive(Clone, Debug)]
pub struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, tokio::net::UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, tokio::net::UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|c| c.uid()))
    }
}

/// The door on loopback: page, stream, API with token.
pub fn loopback(watch: Arc<Watch>) -> Router {
    let door = Door::new(watch);
    let fixed = |kind: &'static str, body: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], body) })
    };
    Router::new()
        .route("/", get(page))
        .route("/api/v1/events", get(events))
        .route("/api/{*path}", any(api))
        .route("/health", get(brief))
        .route(
            "/health/live",
            get(|| async { answer(200, &json!({"status": "alive"})) }),
        )
        .route("/health/ready", get(ready))
        .route("/health/detailed", get(detailed))
        .route("/metrics", get(metrics))
        .route("/metrics/queries", get(queries))
        .route("/assets/muster.css", fixed("text/css; charset=utf-8", web::CSS))
        .route(
            "/assets/muster.js",
            fixed("text/javascript; charset=utf-8", web::JS),
        )
        .route("/favicon.svg", fixed("image/svg+xml", web::FAVICON))
        .layer(axum::middleware::from_fn(guarded))
        // The limit of axum itself is lower, and would hold.
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(tower_http::limit::RequestBodyLimitLayer::new(LARGEST))
        .with_state(door)
}

/// The door of the socket: the API, for whoever may open the file.
pub fn socket(watch: Arc<Watch>) -> Router {
    Router::new()
        .route("/api/{*path}", any(local))
        .layer(DefaultBodyLimit::max(LARGEST_LOCAL))
        .with_state(Door::new(watch))
}

/// The Host header must name loopback: a page of another site that resolves to us is turned away.
async fn guarded(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    let name = host.rsplit_once(':').map_or(
        host,
        |(name, port)| if port.parse::<u16>().is_ok() { name } else { host },
    );
    if !matches!(name, "127.0.0.1" | "localhost" | "[::1]") {
        let error =
            json!({"error": format!("this is not {host}"), "remedy": "open it as 127.0.0.1 or localhost"});
        return (StatusCode::MISDIRECTED_REQUEST, error.to_string()).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    response
}

async fn page(State(door): State<Door>) -> Response {
    match view(&door.watch) {
        Ok(view) => Html(web::page(&view)).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.error).into_response(),
    }
}

/// Sections that changed, whenever something changes, at most four times a second.
async fn events(
    State(door): State<Door>,
) -> Sse<impl tokio_stream::Stream<Item = Result<Event, Infallible>>> {
    let (send, receive) = tokio::sync::mpsc::channel::<Result<Event, Infallible>>(4);
    let watch = door.watch;
    tokio::spawn(async move {
        let mut pulse = watch.pulse.subscribe();
        let mut known: Vec<(&'static str, String)> = Vec::new();
        loop {
            if let Ok(view) = view(&watch) {
                let sections = web::sections(&view);
                let changed: serde_json::Map<String, Value> = sections
                    .iter()
                    .filter(|s| !known.contains(s))
                    .map(|(id, html)| ((*id).to_owned(), Value::String(html.clone())))
                    .collect();
                known = sections;
                if !changed.is_empty() {
                    let event = Event::default().data(json!({"sections": changed}).to_string());
                    if send.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
            if watch.stop.is_set() || pulse.changed().await.is_err() || send.is_closed() {
                return;
            }
        }
    });
    Sse::new(tokio_stream::wrappers::ReceiverStream::new(receive)).keep_alive(KeepAlive::default())
}

/// `?cluster=` of the health routes.
#[derive(Debug, serde::Deserialize)]
struct Asked {
    cluster: Option<String>,
}

/// The pictures that are asked for; `Err` names the clusters there are.
fn pictures(door: &Door, asked: &Asked) -> Result<Vec<ClusterPicture>, Box<Response>> {
    let all: Vec<ClusterPicture> = super::watch::read(&door.watch.pictures)
        .values()
        .cloned()
        .collect();
    let Some(name) = &asked.cluster else {
        return Ok(all);
    };
    let known: Vec<&str> = door
        .watch
        .app
        .estate
        .clusters()
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    let one: Vec<ClusterPicture> = all.into_iter().filter(|c| c.name == *name).collect();
    // One that was not looked at yet is there, and nothing is known of it.
    if !known.contains(&name.as_str()) {
        let error = json!({"error": format!("there is no cluster `{name}`"), "remedy": format!("there are: {}", known.join(", "))});
        return Err(Box::new(answer(404, &error)));
    }
    Ok(one)
}

async fn brief(State(door): State<Door>, Query(asked): Query<Asked>) -> Response {
    match pictures(&door, &asked) {
        Ok(all) => {
            let (state, body) = health::brief(&all.iter().collect::<Vec<_>>(), door.watch.app.engine.now());
            answer(state.status(), &body)
        }
        Err(refused) => *refused,
    }
}

async fn ready(State(door): State<Door>, Query(asked): Query<Asked>) -> Response {
    let all = match pictures(&door, &asked) {
        Ok(all) => all,
        Err(refused) => return *refused,
    };
    let expected = if asked.cluster.is_some() {
        1
    } else {
        door.watch.app.estate.clusters().len()
    };
    let unwritable = door.watch.unwritable();
    let now = door.watch.app.engine.now();
    let (state, body) = health::ready(
        &all.iter().collect::<Vec<_>>(),
        expected,
        unwritable.as_deref(),
        now,
    );
    answer(state.status(), &body)
}

async fn detailed(State(door): State<Door>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    if !door.watch.app.config().open_detailed
        && let Err(refused) = signed(&door, &headers).await
    {
        return *refused;
    }
    let now = door.watch.app.engine.now();
    match pictures(&door, &asked) {
        Ok(all) if all.len() == 1 => {
            answer(health::of(&all[0], now).status(), &health::detailed(&all[0], now))
        }
        Ok(all) => {
            let worst = all
                .iter()
                .map(|c| health::of(c, now))
                .max()
                .unwrap_or(health::State::Unhealthy);
            let each: serde_json::Map<String, Value> = all
                .iter()
                .map(|c| (c.name.clone(), health::detailed(c, now)))
                .collect();
            answer(
                worst.status(),
                &json!({"status": worst.word(), "timestamp": now, "clusters": each}),
            )
        }
        Err(refused) => *refused,
    }
}

async fn metrics(State(door): State<Door>) -> Response {
    match view(&door.watch) {
        Ok(view) => (
            [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
            metrics::page(&view),
        )
            .into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.error).into_response(),
    }
}

/// Statements name tables and columns: not for everybody on this machine.
async fn queries(State(door): State<Door>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    if let Err(refused) = signed(&door, &headers).await {
        return *refused;
    }
    match pictures(&door, &asked) {
        Ok(all) => answer(200, &health::queries(&all)),
        Err(refused) => *refused,
    }
}

/// Whoever shows a token of somebody who may see.
async fn signed(door: &Door, headers: &HeaderMap) -> Result<Principal, Box<Response>> {
    door.who(&token_of(headers)).await
}

/// The token of a call, in either header; empty without one.
fn token_of(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let bearer = || text("authorization").and_then(|v| v.strip_prefix("Bearer "));
    text("x-muster-token")
        .or_else(bearer)
        .unwrap_or_default()
        .to_owned()
}

fn no_token() -> Value {
    json!({"error": "the token is missing or wrong",
        "remedy": "an admin makes one with `muster auth add NAME`; that of the user who runs Muster is in approval.token of the state folder"})
}

async fn api(
    State(door): State<Door>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // Whoever wakes us up asks nothing about anybody.
    let caller = if uri.path() == "/api/v1/ping" && method == Method::GET {
        Caller {
            who: "page".to_owned(),
            role: None,
            inline: false,
        }
    } else {
        match door.who(&token_of(&headers)).await {
            Ok(p) => Caller {
                who: p.name,
                role: Some(p.role),
                inline: false,
            },
            Err(refused) => return *refused,
        }
    };
    ask(&door, &caller, &method, &uri, &body).await
}

async fn local(
    State(door): State<Door>,
    ConnectInfo(Peer(uid)): ConnectInfo<Peer>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let Some(who) = uid.map(super::serve::user_or_id) else {
        return answer(
            401,
            &json!({"error": "the system does not say who calls", "remedy": "use the API with a token"}),
        );
    };
    let caller = Caller {
        who,
        role: Some(Role::Admin),
        inline: false,
    };
    ask(&door, &caller, &method, &uri, &body).await
}

async fn ask(door: &Door, caller: &Caller, method: &Method, uri: &Uri, body: &Bytes) -> Response {
    let body: Value = if body.is_empty() {
        json!({})
    } else {
        serde_json::from_slice(body).unwrap_or(Value::Null)
    };
    if body.is_null() {
        return answer(
            400,
            &json!({"error": "the body is not JSON", "remedy": "send a JSON object"}),
        );
    }
    match handle(&door.watch, caller, method.as_str(), uri.path(), &body).await {
        Ok(value) => answer(200, &value),
        Err(e) => answer(e.status, &json!({"error": e.error, "remedy": e.remedy})),
    }
}

fn answer(status: u16, value: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        value.to_string(),
    )
        .into_response()
}
