//! The slow lane: what is read more rarely and may take longer. One round a server, beside the passes, never two at once.
//!
//! Knows which slow collectors are due and in which databases they look. Its sessions are short and its own, so that a
//! catalogue of ten thousand tables keeps nobody from seeing a lock. A round that cannot be read leaves what was known
//! with its age, and a Gap.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::snapshot::{DatabaseView, Gap, Part, ServerView};
use muster_model::{Span, Time};
use muster_reach::{PgSession, ReachError, Server};

use crate::collectors::{databases, vacuum_queue};
use crate::row::Offset;

/// Databases that one round looks into; what is left out is said.
const MOST_DATABASES: usize = 50;

/// What a round is asked to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Statements, tables, indexes.
    pub(crate) tables: bool,
    /// Files, access rules, schema, partitions, migrations.
    pub(crate) schema: bool,
}

impl Due {
    pub(crate) fn any(self) -> bool {
        self.tables || self.schema
    }
}

/// What rounds have read, and what their collectors remember.
#[derive(Default)]
pub(crate) struct Slow {
    tables_at: Option<Time>,
    schema_at: Option<Time>,
    databases: Vec<DatabaseView>,
    /// By collector, since its last run.
    gaps: BTreeMap<&'static str, Vec<Gap>>,
}

impl Slow {
    /// What is due now.
    pub(crate) fn due(&self, now: Time, tables: Span, schema: Span, all: bool) -> Due {
        let over = |at: Option<Time>, every: Span| {
            all || at.is_none_or(|t| now.since(t).millis() + 50 >= every.millis())
        };
        Due {
            tables: over(self.tables_at, tables),
            schema: over(self.schema_at, schema),
        }
    }

    /// Puts what is known into a view of the server.
    pub(crate) fn show(&self, view: &mut ServerView) {
        view.databases.clone_from(&self.databases);
    }

    /// What could not be read.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.values().flatten()
    }

    /// A collector begins: what it lacked at its last run is forgotten.
    fn begins(&mut self, collector: &'static str) {
        self.gaps.remove(collector);
    }

    fn lacks(&mut self, collector: &'static str, server: &Server, reason: String, remedy: Option<String>) {
        let gap = Gap {
            collector: collector.to_owned(),
            target: server.address.clone(),
            reason,
            remedy,
        };
        self.gaps.entry(collector).or_default().push(gap);
    }
}

/// One round; what was known comes in and goes out.
pub(crate) async fn round(server: Arc<Server>, mut slow: Slow, due: Due, now: Time, offset: Offset) -> Slow {
    if !due.any() {
        return slow;
    }
    slow.begins(databases::INFO.name);
    if due.tables {
        slow.tables_at = Some(now);
    }
    if due.schema {
        slow.schema_at = Some(now);
    }
    let look = Look { now, due, offset };
    if let Err(e) = of_server(&server, &mut slow, look).await {
        slow.lacks(databases::INFO.name, &server, e.reason.clone(), Some(e.remedy()));
    }
    slow
}

/// What every slow collector is told.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    /// Our clock.
    pub(crate) now: Time,
    /// What is due.
    pub(crate) due: Due,
    /// From the server's clock to ours.
    pub(crate) offset: Offset,
}

async fn of_server(server: &Server, slow: &mut Slow, look: Look) -> Result<(), ReachError> {
    let session = server.catalog(None).await?;
    let names = databases::read(&session).await?;
    // Collectors that one session answers for the whole server come here.
    drop(session);
    slow.databases.retain(|d| names.contains(&d.name));
    if names.len() > MOST_DATABASES {
        let reason = format!(
            "{} databases are here, and only the first {MOST_DATABASES} by name are looked into",
            names.len()
        );
        slow.lacks(databases::INFO.name, server, reason, None);
    }
    for name in names.into_iter().take(MOST_DATABASES) {
        if let Err(e) = of_database(server, slow, look, &name).await {
            let reason = format!("database {name}: {}", e.reason);
            slow.lacks(databases::INFO.name, server, reason, Some(e.remedy()));
        }
    }
    Ok(())
}

async fn of_database(server: &Server, slow: &mut Slow, look: Look, name: &str) -> Result<(), ReachError> {
    let session: PgSession = server.catalog(Some(name)).await?;
    let at = slow.databases.iter().position(|d| d.name == name);
    let mut view = at.map_or_else(|| DatabaseView::unread(name), |i| slow.databases.remove(i));
    let read = inside(&session, &mut view, look).await;
    let place = slow.databases.partition_point(|d| d.name.as_str() < name);
    slow.databases.insert(place, view);
    read
}

/// Collectors that look into one database.
async fn inside(session: &PgSession, view: &mut DatabaseView, look: Look) -> Result<(), ReachError> {
    if look.due.tables {
        let value = vacuum_queue::read(session, look.now, look.offset, view.vacuum.as_ref()).await?;
        view.vacuum = Some(Part {
            taken_at: look.now,
            value,
        });
    }
    Ok(())
}
