//! Scripts: a fault as data. Steps that bring it about, sessions that hold it, steps that undo it.
//!
//! For the incident corpus, where a fault is a few statements and nothing is gained by writing it in Rust. Knows nothing of
//! what the fault means. Touches only servers that carry the fleet's marker, and what it changed in files it puts back.

use std::path::PathBuf;
use std::time::Duration;

use muster_model::Span;
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio_postgres::Config;

use crate::error::{LabError, at, sql};
use crate::faults;
use crate::fleet::{Fleet, User, connect};
use crate::server::{How, postmaster, stop};

/// Where a statement is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A server's name, or `pooler`.
    pub server: String,
    /// Who.
    pub user: User,
    /// Database.
    pub database: String,
}

/// A file of a server's data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfFile {
    /// `lab.conf`, read after `postgresql.conf`.
    Settings,
    /// `pg_hba.conf`.
    Access,
    /// `postgresql.auto.conf`, read last; a start of the lab leaves it as it is.
    System,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Statements that must succeed, in a session that ends.
    Sql {
        /// Where.
        place: Place,
        /// Statements.
        text: String,
    },
    /// Sessions that stay: each runs its statements, again and again when `every` is given, then holds what it has.
    Sessions {
        /// Where.
        place: Place,
        /// `application_name`.
        name: String,
        /// Statements, in order; what fails is part of the fault.
        run: Vec<String>,
        /// How many such sessions.
        times: u32,
        /// From round to round.
        every: Option<Span>,
    },
    /// A command at PgBouncer's console.
    Console(String),
    /// A command to Redis.
    Cache(Vec<String>),
    /// Lines appended to a file; the file of before comes back at the end.
    Append {
        /// Server.
        server: String,
        /// File.
        file: ConfFile,
        /// Lines.
        lines: String,
    },
    /// The server reads its files again.
    Reload(String),
    /// The server is stopped and started.
    Restart(String),
    /// The server is stopped; it is started at the end.
    Stop(String, How),
    /// The server is stopped, and does not come up again; it is started at the end, when its files are back.
    FailStart(String),
    /// The server is stopped and its lock file names a process that is none of its own, so that it does not come up again.
    LockFile(String),
    /// A process is stopped (SIGSTOP) and goes on at the end: `pooler`, `cache`, a server's name, or one process of a server by
    /// the word that its title holds (`b/startup`).
    Freeze(String),
    /// The process of the session of this name dies of a signal (SIGSEGV), as it does of a fault in an extension.
    Crash(Place, String),
    /// Logins with a wrong password.
    Guess {
        /// Server.
        server: String,
        /// As whom.
        user: String,
        /// How many in all.
        times: u32,
        /// From one to the next.
        every: Span,
    },
    /// So many clients of the cache that do nothing.
    CacheClients(u32),
    /// A page of a table is overwritten while the server is stopped; at the end it is as it was.
    Damage {
        /// Where.
        place: Place,
        /// The table, as the server writes it.
        table: String,
    },
    /// So long.
    Wait(Span),
}

/// A script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// What brings it about.
    pub steps: Vec<Step>,
    /// What undoes what stays behind.
    pub undo: Vec<Step>,
}

/// A script that is being played.
pub struct Playing {
    sessions: JoinSet<()>,
    files: Vec<(PathBuf, String)>,
    pages: Vec<(String, PathBuf, Vec<u8>)>,
    frozen: Vec<crate::process::ProcessId>,
    stopped: Vec<String>,
    reload: Vec<String>,
    undo: Vec<Step>,
    /// Names that sessions of it go by: a server does not notice that who waits for a lock is gone.
    names: Vec<String>,
}

/// Plays a script; it is there when this returns.
///
/// # Errors
/// When a step fails; what was done until then is undone.
pub async fn play(fleet: &Fleet, script: &Script) -> Result<Playing, LabError> {
    let mut playing = Playing {
        sessions: JoinSet::new(),
        files: Vec::new(),
        pages: Vec::new(),
        frozen: Vec::new(),
        stopped: Vec::new(),
        reload: Vec::new(),
        undo: script.undo.clone(),
        names: Vec::new(),
    };
    for step in &script.steps {
        if let Err(e) = playing.take(fleet, step).await {
            playing.end(fleet).await?;
            return Err(e);
        }
    }
    Ok(playing)
}

impl Playing {
    /// Ends it: sessions go, files come back, what was stopped runs again, and the undo steps are taken.
    ///
    /// # Errors
    /// The first thing that could not be put right; the rest is tried all the same.
    pub async fn end(mut self, fleet: &Fleet) -> Result<(), LabError> {
        self.sessions.shutdown().await;
        let mut first = Ok(());
        let mut note = |r: Result<(), LabError>| {
            if first.is_ok() {
                first = r;
            }
        };
        for process in self.frozen.drain(..) {
            process.signal(Signal::CONT);
        }
        // The first copy of a file is the one of before.
        for (path, text) in std::mem::take(&mut self.files).into_iter().rev() {
            note(std::fs::write(&path, text).map_err(at(&path)));
        }
        for (server, path, bytes) in std::mem::take(&mut self.pages) {
            note(while_stopped(fleet, &server, || page(&path, Some(&bytes)).map(|_| ())).await);
        }
        for server in std::mem::take(&mut self.stopped) {
            note(faults::start_again(fleet, &server).await);
        }
        for server in std::mem::take(&mut self.reload) {
            note(reload(fleet, &server));
        }
        let names = std::mem::take(&mut self.names);
        for server in fleet.servers.iter().filter(|_| !names.is_empty()) {
            if postmaster(fleet, &server.name).is_some() {
                note(faults::sweep_at(fleet, &server.name, &names).await);
            }
        }
        for step in std::mem::take(&mut self.undo) {
            note(self.take(fleet, &step).await);
        }
        self.sessions.shutdown().await;
        first
    }

    async fn take(&mut self, fleet: &Fleet, step: &Step) -> Result<(), LabError> {
        match step {
            Step::Sql { place, text } => {
                let client = connect(&login(fleet, place)?).await.map_err(sql("login"))?;
                client
                    .batch_execute(text)
                    .await
                    .map_err(sql("a step of the script"))
            }
            Step::Sessions {
                place,
                name,
                run,
                times,
                every,
            } => {
                let mut config = login(fleet, place)?;
                config.application_name(name);
                self.names.push(name.clone());
                let mut ready = Vec::new();
                for _ in 0..*times {
                    let (said, hears) = tokio::sync::oneshot::channel();
                    ready.push(hears);
                    self.sessions
                        .spawn(session(config.clone(), run.clone(), *every, said));
                }
                for hears in ready {
                    // Nobody waits for a statement that waits: only for the session to have begun with it.
                    let _ = tokio::time::timeout(Duration::from_secs(5), hears).await;
                }
                Ok(())
            }
            Step::Console(text) => console(fleet, text).await,
            Step::Cache(words) => cache(fleet, words).await,
            Step::Append { server, file, lines } => {
                fleet.marked(server)?;
                let path = fleet.data(server).join(match file {
                    ConfFile::Settings => "lab.conf",
                    ConfFile::Access => "pg_hba.conf",
                    ConfFile::System => "postgresql.auto.conf",
                });
                let before = std::fs::read_to_string(&path).map_err(at(&path))?;
                std::fs::write(&path, format!("{before}\n{lines}\n")).map_err(at(&path))?;
                self.files.push((path, before));
                self.reload.push(server.clone());
                Ok(())
            }
            Step::Reload(server) => reload(fleet, server),
            Step::Restart(server) => {
                fleet.marked(server)?;
                stop(fleet, server, How::Fast).await?;
                faults::start_again(fleet, server).await
            }
            Step::Stop(server, how) => {
                fleet.marked(server)?;
                self.stopped.push(server.clone());
                stop(fleet, server, *how).await
            }
            Step::FailStart(server) => {
                fleet.marked(server)?;
                self.stopped.push(server.clone());
                stop(fleet, server, How::Fast).await?;
                does_not_start(fleet, server).await
            }
            Step::LockFile(server) => {
                fleet.marked(server)?;
                self.stopped.push(server.clone());
                stop(fleet, server, How::Fast).await?;
                // A process of the same user: the server asks whether it may signal it.
                let mut other = tokio::process::Command::from(fleet.run_as.command("sleep".as_ref()));
                let other = other.arg("600").kill_on_drop(true).spawn();
                let path = fleet.data(server).join("postmaster.pid");
                let other = other.map_err(at("sleep".as_ref()))?;
                let pid = other.id().unwrap_or_default();
                std::fs::write(&path, format!("{pid}\n{}\n", fleet.data(server).display()))
                    .map_err(at(&path))?;
                fleet.run_as.own(&path)?;
                self.sessions.spawn(async move {
                    let _lives = other;
                    std::future::pending::<()>().await;
                });
                // With that process gone the file is stale to the server as well, and it starts.
                does_not_start(fleet, server).await
            }
            Step::Freeze(part) => {
                let process = match part.split_once('/') {
                    None if part == "pooler" => fleet.pooler.as_ref().map(|p| p.process.clone()),
                    None if part == "cache" => fleet.cache.as_ref().map(|p| p.process.clone()),
                    None => {
                        fleet.marked(part)?;
                        postmaster(fleet, part)
                    }
                    Some((server, title)) => {
                        fleet.marked(server)?;
                        postmaster(fleet, server).and_then(|p| p.child(title))
                    }
                };
                let process = process.ok_or_else(|| LabError::Fault(format!("there is no `{part}` here")))?;
                process.signal(Signal::STOP);
                self.frozen.push(process);
                Ok(())
            }
            Step::Crash(place, name) => {
                let client = connect(&login(fleet, place)?).await.map_err(sql("login"))?;
                let row = client
                    .query_opt(
                        "SELECT pid FROM pg_catalog.pg_stat_activity WHERE application_name = $1 LIMIT 1",
                        &[name],
                    )
                    .await
                    .map_err(sql("the session that is to crash"))?;
                let pid: i32 = row
                    .ok_or_else(|| LabError::Fault(format!("there is no session `{name}`")))?
                    .get(0);
                crate::process::ProcessId::of(pid).signal(Signal::SEGV);
                Ok(())
            }
            Step::Guess {
                server,
                user,
                times,
                every,
            } => {
                fleet.marked(server)?;
                let mut config = fleet.config(server, User::App, "app")?;
                config.user(user).password("not the password");
                let (times, every) = (*times, every.duration());
                self.sessions.spawn(async move {
                    for _ in 0..times {
                        let _ = connect(&config).await;
                        tokio::time::sleep(every).await;
                    }
                });
                Ok(())
            }
            Step::CacheClients(count) => {
                for _ in 0..*count {
                    let stream = cache_stream(fleet).await?;
                    self.sessions.spawn(async move {
                        std::future::pending::<()>().await;
                        drop(stream);
                    });
                }
                Ok(())
            }
            Step::Damage { place, table } => {
                let client = connect(&login(fleet, place)?).await.map_err(sql("login"))?;
                client
                    .batch_execute("CHECKPOINT")
                    .await
                    .map_err(sql("a checkpoint"))?;
                let path: String = client
                    .query_one(
                        "SELECT pg_catalog.pg_relation_filepath($1::text::pg_catalog.regclass)",
                        &[table],
                    )
                    .await
                    .map_err(sql("the file of the table"))?
                    .get(0);
                drop(client);
                let path = fleet.data(&place.server).join(path);
                let mut before = Vec::new();
                while_stopped(fleet, &place.server, || {
                    before = page(&path, None)?;
                    let mut damaged = before.clone();
                    damaged[4000..4006].copy_from_slice(b"damage");
                    page(&path, Some(&damaged)).map(|_| ())
                })
                .await?;
                self.pages.push((place.server.clone(), path, before));
                Ok(())
            }
            Step::Wait(span) => {
                tokio::time::sleep(span.duration()).await;
                Ok(())
            }
        }
    }
}

/// Tries to start a server that must not start.
async fn does_not_start(fleet: &Fleet, server: &str) -> Result<(), LabError> {
    match crate::server::start(&mut Fleet::open(&fleet.dir)?, server).await {
        Err(_) => Ok(()),
        Ok(()) => Err(LabError::Fault(format!(
            "server {server} starts, though it should not"
        ))),
    }
}

/// Does something to a server's files while it is stopped, and starts it again.
async fn while_stopped(
    fleet: &Fleet,
    server: &str,
    then: impl FnOnce() -> Result<(), LabError>,
) -> Result<(), LabError> {
    fleet.marked(server)?;
    stop(fleet, server, How::Fast).await?;
    let done = then();
    faults::start_again(fleet, server).await?;
    done
}

/// The first page of a file; written when there is something to write.
fn page(path: &std::path::Path, write: Option<&[u8]>) -> Result<Vec<u8>, LabError> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(at(path))?;
    let mut bytes = vec![0; 8192];
    match write {
        Some(bytes) => file.write_all_at(bytes, 0).map_err(at(path))?,
        None => file.read_exact_at(&mut bytes, 0).map_err(at(path))?,
    }
    Ok(bytes)
}

fn login(fleet: &Fleet, place: &Place) -> Result<Config, LabError> {
    if place.server == "pooler" {
        return fleet.app();
    }
    fleet.marked(&place.server)?;
    fleet.config(&place.server, place.user, &place.database)
}

async fn session(
    config: Config,
    run: Vec<String>,
    every: Option<Span>,
    ready: tokio::sync::oneshot::Sender<()>,
) {
    let mut ready = Some(ready);
    loop {
        let Ok(client) = connect(&config).await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        loop {
            for text in &run {
                let work = client.simple_query(text);
                tokio::pin!(work);
                // A statement that is still at work after a moment is what the next step may build on.
                let done = match ready {
                    Some(_) => tokio::time::timeout(Duration::from_millis(150), &mut work)
                        .await
                        .is_ok(),
                    None => false,
                };
                if !done {
                    ready.take().map(|r| r.send(()));
                    let _ = work.await;
                }
            }
            ready.take().map(|r| r.send(()));
            match every {
                Some(span) => tokio::time::sleep(span.duration()).await,
                None => loop {
                    if client.is_closed() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                },
            }
            if client.is_closed() {
                break;
            }
        }
    }
}

fn reload(fleet: &Fleet, server: &str) -> Result<(), LabError> {
    fleet.marked(server)?;
    if let Some(process) = postmaster(fleet, server) {
        process.signal(Signal::HUP);
    }
    Ok(())
}

async fn console(fleet: &Fleet, text: &str) -> Result<(), LabError> {
    let part = fleet
        .pooler
        .as_ref()
        .ok_or_else(|| LabError::Fault("this fleet has no PgBouncer".into()))?;
    let mut config = Config::new();
    config
        .host("127.0.0.1")
        .port(part.port)
        .user(User::MusterAct.name())
        .password(fleet.password(User::MusterAct)?)
        .dbname("pgbouncer");
    let client = connect(&config).await.map_err(sql("login at the console"))?;
    // PAUSE answers when every transaction is over, which may be never: the command is given, nobody waits for more.
    match tokio::time::timeout(Duration::from_secs(2), client.simple_query(text)).await {
        Ok(answer) => answer.map(|_| ()).map_err(sql("a command at the console")),
        Err(_) => Ok(()),
    }
}

/// A connection to the cache that is logged in.
async fn cache_stream(fleet: &Fleet) -> Result<tokio::net::TcpStream, LabError> {
    let part = fleet
        .cache
        .as_ref()
        .ok_or_else(|| LabError::Fault("this fleet has no Redis".into()))?;
    let path = fleet.dir.join("secrets").join("redis");
    let password = std::fs::read_to_string(&path).map_err(at(&path))?;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", part.port))
        .await
        .map_err(at(&path))?;
    ask(&mut stream, &["AUTH".to_owned(), password.trim().to_owned()]).await?;
    Ok(stream)
}

async fn cache(fleet: &Fleet, words: &[String]) -> Result<(), LabError> {
    let mut stream = cache_stream(fleet).await?;
    ask(&mut stream, words).await
}

/// Gives a command and reads the first line of the answer.
async fn ask(stream: &mut tokio::net::TcpStream, words: &[String]) -> Result<(), LabError> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let talk = async {
        stream.write_all(&command(words)).await?;
        let (mut part, mut seen) = (vec![0u8; 4096], Vec::new());
        while !seen.contains(&b'\n') {
            let n = stream.read(&mut part).await?;
            if n == 0 {
                break;
            }
            seen.extend_from_slice(&part[..n]);
        }
        Ok::<Vec<u8>, std::io::Error>(seen)
    };
    let refused = |why: &str| LabError::Fault(format!("Redis refuses {}: {why}", words[0]));
    let seen = talk.await.map_err(|e| refused(&e.to_string()))?;
    match String::from_utf8_lossy(&seen)
        .lines()
        .find(|l| l.starts_with('-'))
    {
        Some(error) => Err(refused(error)),
        None => Ok(()),
    }
}

/// A command in Redis' own framing.
fn command(words: &[String]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n", word.len()).into_bytes());
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}
