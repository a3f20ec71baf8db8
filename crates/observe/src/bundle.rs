//! What goes into a bundle of evidence: read once, when somebody asks, whatever else is broken.
//!
//! Every section stands alone: what cannot be read is said with its reason and keeps nothing else from being read. One session
//! a server, its statements one after the other, each with the server's time-outs; servers, poolers, caches and applications
//! beside each other. Refuses to write: who asked does that, and redacts once more what comes from here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{Answered, Section, SectionState, Span, Time};
use muster_reach::{Cluster, ReachError};
use serde_json::Value;

mod beside;
mod logs;
pub(crate) mod program;
mod server;
mod tail;
pub(crate) mod told;

/// Most bytes of one section.
pub const SECTION_BYTES: usize = 8 * 1024 * 1024;
/// How far back the long window of logs goes.
pub const DAY: Span = Span::from_mins(24 * 60);
/// All commands together may take so long.
const COMMANDS: Duration = Duration::from_secs(120);

/// A command of the config: an argument vector, never a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name in the bundle.
    pub name: String,
    /// Program and arguments.
    pub run: Vec<String>,
    /// How long it may take.
    pub timeout: Span,
    /// Most bytes that are kept of what it says.
    pub most: usize,
    /// The folder it runs in.
    pub dir: Option<PathBuf>,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Address of a member (`shop/a`); absent means the whole cluster.
    pub only: Option<String>,
    /// The `system_identifier` that servers must have, where it is known.
    pub identity: Option<String>,
    /// The short window of logs.
    pub since: Span,
}

/// What a section holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A document.
    Json(Value),
    /// Lines.
    Text(String),
}

/// A section that was finished.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// What became of it; file, bytes and digest are filled in by who writes it.
    pub section: Section,
    /// What was read, also where not all could be.
    pub body: Option<Body>,
}

/// Why something was not read, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Why.
    pub reason: String,
    /// What would help.
    pub remedy: Option<String>,
}

impl Lack {
    pub(crate) fn new(reason: impl Into<String>, remedy: Option<&str>) -> Self {
        Self {
            reason: reason.into(),
            remedy: remedy.map(str::to_owned),
        }
    }
}

impl From<ReachError> for Lack {
    fn from(e: ReachError) -> Self {
        Self {
            remedy: Some(e.remedy()),
            reason: e.reason,
        }
    }
}

/// What a reading came to.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) body: Option<Body>,
    pub(crate) lack: Option<Lack>,
    /// Worth knowing of what was read.
    pub(crate) note: Option<String>,
    pub(crate) cut: bool,
}

impl Read {
    pub(crate) fn json(value: Value) -> Self {
        Self {
            body: Some(Body::Json(value)),
            ..Self::default()
        }
    }

    pub(crate) fn failed(lack: impl Into<Lack>) -> Self {
        Self {
            lack: Some(lack.into()),
            ..Self::default()
        }
    }
}

/// A section under way.
pub(crate) struct Begun {
    name: String,
    target: Option<String>,
    collector: String,
    at: Time,
}

impl Begun {
    pub(crate) fn new(name: &str, target: Option<&str>, collector: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            target: target.map(str::to_owned),
            collector: collector.into(),
            at: now(),
        }
    }

    pub(crate) fn ended(self, read: Read, server: Option<Answered>) -> Piece {
        let state = if read.lack.is_some() {
            SectionState::Failed
        } else {
            SectionState::Ok
        };
        let (reason, remedy) = match read.lack {
            Some(lack) => (Some(lack.reason), lack.remedy),
            None => (read.note, None),
        };
        self.piece(state, reason, remedy, read.body, read.cut, server)
    }

    pub(crate) fn skipped(self, reason: &str, remedy: Option<&str>) -> Piece {
        let remedy = remedy.map(str::to_owned);
        self.piece(
            SectionState::Skipped,
            Some(reason.to_owned()),
            remedy,
            None,
            false,
            None,
        )
    }

    fn piece(
        self,
        state: SectionState,
        reason: Option<String>,
        remedy: Option<String>,
        body: Option<Body>,
        cut: bool,
        server: Option<Answered>,
    ) -> Piece {
        Piece {
            section: Section {
                name: self.name,
                target: self.target,
                collector: self.collector,
                state,
                reason,
                remedy,
                file: None,
                bytes: 0,
                sha256: None,
                cut,
                started_at: self.at,
                ended_at: now(),
                server,
            },
            body,
        }
    }
}

/// The time here; evidence is collected when somebody asks, outside the passes.
pub(crate) fn now() -> Time {
    Time::from_micros(Timestamp::now().as_microsecond())
}

/// Everything about a cluster, or about one member of it.
pub async fn gather(cluster: &Arc<Cluster>, asked: &Asked) -> Vec<Piece> {
    let wanted = |address: &str| asked.only.as_deref().is_none_or(|o| o == address);
    let servers = cluster.servers.iter().filter(|s| wanted(&s.address));
    let servers = futures::future::join_all(servers.map(|s| server::read(s, asked)));
    let poolers = cluster.poolers.iter().filter(|p| wanted(&p.address));
    let poolers = futures::future::join_all(poolers.map(beside::pooler));
    let caches = cluster.caches.iter().filter(|c| wanted(&c.address));
    let caches = futures::future::join_all(caches.map(beside::cache));
    let apps = cluster.apps.iter().filter(|a| wanted(&a.address));
    let apps = futures::future::join_all(apps.map(|a| beside::app(a, asked.since)));
    let (servers, poolers, caches, apps) = futures::join!(servers, poolers, caches, apps);
    let mut out: Vec<Piece> = servers.into_iter().flatten().collect();
    out.extend(poolers);
    out.extend(caches);
    out.extend(apps.into_iter().flatten());
    if asked.only.is_none() {
        let none = |name: &str, what: &str, there: bool| {
            let begun = Begun::new(name, Some(&cluster.name), "the config");
            (!there).then(|| begun.skipped(&format!("no {what} is enrolled in {}", cluster.name), None))
        };
        out.extend(none("pooler", "pooler", !cluster.poolers.is_empty()));
        out.extend(none("cache", "cache", !cluster.caches.is_empty()));
        out.extend(none("http_health", "application", !cluster.apps.is_empty()));
    }
    out
}

/// What the configured commands say, one after the other.
pub async fn commands(list: &[Command]) -> Vec<Piece> {
    let began = std::time::Instant::now();
    let mut out = Vec::new();
    for command in list {
        // The arguments may hold a secret: the program's name is enough.
        let program = command.run.first().map_or("", String::as_str);
        let begun = Begun::new(
            &format!("command_{}", command.name),
            None,
            format!("command `{program}`"),
        );
        let left = COMMANDS.saturating_sub(began.elapsed());
        if left.is_zero() {
            let reason = format!(
                "the commands before it took {} s, all that they may take together",
                COMMANDS.as_secs()
            );
            out.push(begun.ended(Read::failed(Lack::new(reason, Some("run it by hand"))), None));
            continue;
        }
        let limits = program::Limits {
            timeout: command.timeout.duration().min(left),
            most: command.most.min(SECTION_BYTES),
            keep: program::Keep::Head,
        };
        let said = program::run(&command.run, command.dir.as_deref(), limits).await;
        out.push(begun.ended(said_by_command(said), None));
    }
    out
}

fn said_by_command(said: Result<program::Said, Lack>) -> Read {
    match said {
        Err(lack) => Read::failed(lack),
        Ok(said) => {
            let mut text = said.out.clone();
            if !said.err.is_empty() {
                text.push_str("\n--- standard error\n");
                text.push_str(&said.err);
            }
            Read {
                body: Some(Body::Text(text)),
                lack: said.trouble(),
                note: None,
                cut: said.cut,
            }
        }
    }
}

/// A section with what the caller already has: the masked environment.
#[must_use]
pub fn given(name: &str, collector: &str, text: String) -> Piece {
    let read = Read {
        body: Some(Body::Text(text)),
        ..Read::default()
    };
    Begun::new(name, None, collector).ended(read, None)
}
