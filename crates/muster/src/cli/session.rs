//! One command's way to Muster: over the socket of the daemon that owns the state, or the same engine in this process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_engine::principals::Role;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::exit::{CONFIG, Failure, WAITING, wrong_config};
use crate::app::App;
use crate::config::{self, Resolved};
use crate::daemon::api::{Caller, handle};
use crate::daemon::serve::os_user;
use crate::daemon::socket;
use crate::daemon::watch::Watch;

/// How long a daemon may take to say that it is awake.
const AWAKE: std::time::Duration = std::time::Duration::from_secs(10);

/// The process at the other end.
fn peer(stream: &tokio::net::UnixStream) -> Option<i32> {
    stream.peer_cred().ok().and_then(|c| c.pid())
}

/// A way to Muster.
pub struct Session {
    /// The config.
    pub config: Resolved,
    /// Who calls.
    pub who: String,
    local: OnceCell<Arc<Watch>>,
    asked_daemon: AtomicBool,
}

/// Reads the config of a command.
///
/// # Errors
/// Its first problem, as one line.
pub fn resolve(given: Option<&Path>) -> Result<Resolved, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let mut file = config::file(given, &env);
    // Without any config, the fleet of `muster up` is what is meant, when there is one.
    if given.is_none() && env("MUSTER_CONFIG").is_none() && !file.exists() {
        let lab = super::lab::default_dir("lab").join("muster.yaml");
        if lab.symlink_metadata().is_ok() {
            // Its folder is in one where everybody may write: a config that somebody else put there reads our files for them.
            muster_lab::owned::private(&lab, 2).map_err(|e| {
                Failure::new(
                    CONFIG,
                    format!("there is no muster.yaml here, and the one of the lab is not taken: {e}"),
                    "give one with --config, or look who made that folder, remove it and run `muster up`",
                )
            })?;
            file = lab;
        }
    }
    config::load(&file, &env).map_err(|problems| wrong_config(&problems))
}

impl Session {
    /// Of a command.
    ///
    /// # Errors
    /// When the config is wrong.
    pub fn open(given: Option<&Path>) -> Result<Self, Failure> {
        let config = resolve(given)?;
        for w in &config.warnings {
            super::print::note(format!("warning: {w}"));
        }
        Ok(Self {
            config,
            who: os_user(),
            local: OnceCell::new(),
            asked_daemon: AtomicBool::new(false),
        })
    }

    /// Whether a daemon answers.
    pub async fn remote(&self) -> bool {
        socket::connect(&self.config.state_dir).await.is_some()
    }

    /// Whether the daemon that has the socket is awake: one that is stopped would keep us waiting for ever.
    async fn answers(&self) -> Result<(), Failure> {
        let asleep = || {
            Failure::new(
                WAITING,
                "the daemon that owns this state does not answer",
                "look whether its process is stopped or hangs; a `muster watch --standby` takes over after `lease_ttl`",
            )
        };
        let Some(stream) = socket::connect(&self.config.state_dir).await else {
            return Ok(());
        };
        let ping = socket::call(stream, &self.who, "GET", "/api/v1/ping", &Value::Null);
        match tokio::time::timeout(AWAKE, ping).await {
            Ok(_) => Ok(()),
            Err(_) => Err(asleep()),
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// The refusal, with what to do.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value, Failure> {
        if let Some(stream) = socket::connect(&self.config.state_dir).await {
            if !self.asked_daemon.swap(true, Ordering::Relaxed) {
                self.answers().await?;
            }
            let daemon = peer(&stream);
            let mut call = std::pin::pin!(socket::call(stream, &self.who, method, path, &body));
            loop {
                if let Ok(answer) = tokio::time::timeout(AWAKE, &mut call).await {
                    return Ok(answer?);
                }
                // It may have much to do; but one that is stopped, or lost the state meanwhile, never answers.
                self.answers().await?;
                let now = socket::connect(&self.config.state_dir).await;
                if now.is_some_and(|s| peer(&s) != daemon) {
                    return Err(Failure::new(
                        WAITING,
                        "another daemon took this state over before there was an answer",
                        "look what was done with `muster runs list`, then ask again",
                    ));
                }
            }
        }
        // What a daemon began only a daemon goes on with: this command must not take its place half-way.
        if self.asked_daemon.load(Ordering::Relaxed) {
            return Err(Failure::new(
                WAITING,
                "the daemon went away meanwhile; its runs stay at a journaled point",
                "start it again with `muster watch`, then look with `muster runs show`",
            ));
        }
        let watch = self
            .local
            .get_or_try_init(|| async {
                let app = App::open(self.config.clone()).await?;
                Watch::new(app)
                    .map_err(|e| Failure::new(CONFIG, e.to_string(), e.remedy().unwrap_or_default()))
            })
            .await?;
        let caller = Caller {
            who: self.who.clone(),
            role: Some(Role::Admin),
            inline: true,
        };
        Ok(handle(watch, &caller, method, path, &body).await?)
    }
}
