//! The daemon as a process: doors, signals, orderly end.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::sync::Arc;
use std::time::Duration;

use muster_engine::principals::Role;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

use super::http;
use super::socket::SOCKET;
use super::watch::{Topic, Watch, write};
use crate::app::App;
use crate::config;

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or may not be used.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        reason: String,
    },
    /// A file of the state.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// Another one goes on in our place.
    #[error("another Muster ({by}) took this state over while this one did not answer")]
    TakenOver {
        /// Who it is.
        by: String,
    },
    /// The engine.
    #[error(transparent)]
    Engine(#[from] muster_engine::EngineError),
}

/// Name of the file with the token of the user who runs Muster.
pub const TOKEN_FILE: &str = "approval.token";

/// Where nobody is known yet, the user who runs this process is the first, and their token goes into a file of mode 0600.
///
/// # Errors
/// When it cannot be written.
pub fn first_principal(app: &App) -> Result<(), ServeError> {
    let path = app.state.path.join(TOKEN_FILE);
    let fail = |e: std::io::Error| ServeError::File {
        path: path.display().to_string(),
        reason: e.to_string(),
    };
    let added = app.engine.journal().of_kind("principal_added");
    if !added.map_err(muster_engine::EngineError::from)?.is_empty() {
        if path.exists() {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
        }
        return Ok(());
    }
    let me = os_user();
    // First the file, then the word that they are known: killed in between, it is made anew.
    app.engine.admit_and(&me, &me, Role::Admin, false, |token| {
        let new = app.state.path.join(format!("{TOKEN_FILE}.new"));
        let _ = std::fs::remove_file(&new);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(fail)?;
        std::io::Write::write_all(&mut file, token.as_bytes()).map_err(fail)?;
        file.sync_all().map_err(fail)?;
        std::fs::rename(&new, &path).map_err(fail)
    })?;
    Ok(())
}

/// A daemon that is listening, not yet watching.
pub struct Daemon {
    /// What everybody may look at.
    pub watch: Arc<Watch>,
    /// Where the page is; none yet while a process that we took over from still has the address.
    pub address: Option<std::net::SocketAddr>,
    loopback: Option<TcpListener>,
    socket: UnixListener,
    /// In the foreground of a terminal: when that goes away, so does everything.
    foreground: bool,
}

impl Daemon {
    /// Opens the doors. `next_free`, for `muster up`: take the next free port when the one of the config is taken, and end with
    /// the terminal. `patient`, for a standby: the page opens later when its address is taken still.
    ///
    /// # Errors
    /// When a door cannot be opened.
    pub async fn open(app: Arc<App>, next_free: bool, patient: bool) -> Result<Self, ServeError> {
        let mut address = app.config().listen;
        let loopback = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break Some(listener),
                Err(e) if patient && e.kind() == std::io::ErrorKind::AddrInUse => break None,
                Err(e)
                    if next_free
                        && e.kind() == std::io::ErrorKind::AddrInUse
                        && address.port() < u16::MAX =>
                {
                    address.set_port(address.port() + 1);
                }
                Err(e) => {
                    return Err(ServeError::Listen {
                        address: address.to_string(),
                        reason: e.to_string(),
                    });
                }
            }
        };
        let address = loopback.as_ref().map(|l| l.local_addr().unwrap_or(address));
        let path = app.state_file(SOCKET);
        // We own the state, so a socket that is there was left by a daemon that was killed.
        let _ = std::fs::remove_file(&path);
        let fail = |e: std::io::Error| ServeError::File {
            path: path.display().to_string(),
            reason: e.to_string(),
        };
        let socket = UnixListener::bind(&path).map_err(fail)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
        first_principal(&app)?;
        let watch = Watch::new(app)?;
        watch.desk.leave(&watch.app)?;
        Ok(Self {
            watch,
            address,
            loopback,
            socket,
            foreground: next_free,
        })
    }

    /// Watches and serves until SIGTERM, SIGINT or `until`; parks runs at a journaled point and ends.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub async fn run(self, until: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self {
            watch,
            address,
            loopback,
            socket,
            foreground,
        } = self;
        let fail = |e: std::io::Error| ServeError::File {
            path: "signals".to_owned(),
            reason: e.to_string(),
        };
        let mut term = signal(SignalKind::terminate()).map_err(fail)?;
        let mut int = signal(SignalKind::interrupt()).map_err(fail)?;
        let mut hup = signal(SignalKind::hangup()).map_err(fail)?;
        let mut tasks = tokio::task::JoinSet::new();
        let page = http::loopback(watch.clone());
        let listen = watch.app.config().listen;
        tasks.spawn(async move {
            let listener = match loopback {
                Some(listener) => listener,
                None => when_free(listen).await,
            };
            let _ = axum::serve(listener, page).await;
        });
        let local = http::socket(watch.clone()).into_make_service_with_connect_info::<http::Peer>();
        tasks.spawn(async move {
            let _ = axum::serve(socket, local).await;
        });
        watch.recover().await;
        let mut watchers = tokio::task::JoinSet::new();
        watchers.spawn(watch.clone().again());
        watchers.spawn(super::starts::by_the_clock(watch.clone()));
        watchers.spawn(super::upkeep::look_after(watch.clone()));
        watchers.spawn(super::tell::people(watch.clone()));
        for cluster in watch.app.estate.clusters() {
            watchers.spawn(watched(watch.clone(), cluster.name.clone()));
        }
        match address {
            Some(address) => tracing::info!(%address, "muster watches"),
            None => tracing::warn!(address = %listen, "muster watches; the page waits for its address"),
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        tokio::pin!(until);
        let state = watch.app.engine.state_lease().cloned();
        let lease = state.clone();
        let taken_over = async {
            match &lease {
                Some(held) => held.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(taken_over);
        let mut again = tokio::time::interval(Duration::from_secs(2));
        loop {
            tokio::select! {
                () = &mut taken_over => break,
                // Where we stand in for a process that is not dead, its lock becomes ours when it ends.
                _ = again.tick() => { let _ = watch.app.state.locked(); }
                _ = term.recv() => break,
                _ = int.recv() => break,
                () = &mut until => break,
                _ = hup.recv() => {
                    if foreground {
                        break;
                    }
                    reload(&watch);
                }
            }
        }
        let lost = state.as_ref().and_then(|held| held.lost_to());
        if let Some(by) = &lost {
            tracing::error!(%by, "another Muster took over while this one did not answer; it ends, and has changed nothing since");
        }
        tracing::info!("stopping: runs are parked at a journaled point");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        watch.stop.set();
        watch.changed();
        // Plans look at servers and change nothing: nobody waits long for them.
        watch.no_more_plans(Duration::from_secs(2)).await;
        // A change that has begun is written down before we go; it is bounded by its own time limits.
        let parked = async {
            let mut runs = watch.runs.lock().await;
            while runs.join_next().await.is_some() {}
        };
        let _ = tokio::time::timeout(Duration::from_secs(20), parked).await;
        let _ = tokio::time::timeout(Duration::from_secs(5), async {
            while watchers.join_next().await.is_some() {}
        })
        .await;
        tasks.shutdown().await;
        if let Some(by) = lost {
            return Err(ServeError::TakenOver { by });
        }
        let _ = std::fs::remove_file(watch.app.state_file(SOCKET));
        if let Some(held) = state {
            held.end().await;
        }
        Ok(())
    }
}

/// Listens as soon as the address is free.
async fn when_free(address: std::net::SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!(%address, "the page is open");
                return listener;
            }
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Watches a cluster until the stop. Should the watcher panic, the picture would stay as it was, and look healthy: it is
/// begun anew, and said.
async fn watched(watch: Arc<Watch>, cluster: String) {
    while !watch.stop.is_set() {
        let task = tokio::spawn(watch.clone().cluster(cluster.clone()));
        if let Err(e) = task.await {
            tracing::error!(%cluster, error = %e, "the watcher of a cluster broke down and is begun anew; please report this");
            write(&watch.pictures).remove(&cluster);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Takes over a changed config; a bad one is refused, said, and the old one stays.
fn reload(watch: &Arc<Watch>) {
    let file = watch.app.config().file.clone();
    let env = |name: &str| std::env::var(name).ok();
    let notices = match config::load(&file, &env) {
        Ok(new) => match watch.app.reload(new) {
            Ok(notes) => notes,
            Err(e) => vec![format!("The config was not accepted, the old one is kept: {e}")],
        },
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            vec![format!(
                "The config was not accepted, the old one is kept: {first}"
            )]
        }
    };
    if notices.is_empty() {
        tracing::info!("config reloaded");
    }
    watch.says(Topic::Config, notices);
    watch.changed();
}

/// Name of a user of this machine.
#[must_use]
pub fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd.lines().find_map(|l| {
        let f: Vec<&str> = l.split(':').collect();
        (f.get(2)?.parse() == Ok(uid)).then(|| f[0].to_owned())
    })
}

/// What a user is called here: by the name, else by the number.
#[must_use]
pub fn user_or_id(uid: u32) -> String {
    user_name(uid).unwrap_or_else(|| uid.to_string())
}

/// Name of the user who runs this process.
#[must_use]
pub fn os_user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    user_name(uid)
        .or_else(|| std::env::var("USER").ok())
        .unwrap_or_else(|| uid.to_string())
}
