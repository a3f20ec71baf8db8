//! The slow lane: what is read more rarely and may take longer. One round a server, beside the passes, never two at once.
//!
//! Knows which slow collectors are due and in which databases they look. Its sessions are short and its own, so that a
//! catalogue of ten thousand tables keeps nobody from seeing a lock. A round that cannot be read leaves what was known
//! with its age, and a Gap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_model::snapshot::{Certificate, DatabaseView, Files, Gap, Part, ServerView, Statements};
use muster_model::{Span, Time};
use muster_reach::{PgSession, ReachError, Server};

use crate::about::{self, About};
use crate::budget::Budget;
use crate::collectors::sequences::Missing;
use crate::collectors::{
    certificate, collations, databases, files, indexes, migrations, partitions, scans, sequences, statements,
    tables, vacuum_queue, widths,
};

use crate::defect::caught;
use crate::row::Offset;

/// A round ends after so long, and goes on the next time.
const LONGEST: Duration = Duration::from_secs(60);
/// A rest of this length is said.
const SAID_FROM: Span = Span::from_secs(60);
/// Databases that one round looks into; what is left out is said.
const MOST_DATABASES: usize = 50;

/// What a round is asked to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Statements, tables, indexes.
    pub(crate) tables: bool,
    /// Files, access rules, schema, partitions, migrations.
    pub(crate) schema: bool,
    /// Whether somebody asked for all of it now.
    pub(crate) asked: bool,
}

impl Due {
    pub(crate) fn any(self) -> bool {
        self.tables || self.schema
    }
}

/// What rounds have read, and what their collectors remember.
#[derive(Default)]
pub(crate) struct Slow {
    budget: Budget,
    /// Where the last round left off.
    next: Option<String>,
    tables_at: Option<Time>,
    schema_at: Option<Time>,
    databases: Vec<DatabaseView>,
    memory: BTreeMap<String, Remembered>,
    files: Option<Part<Files>>,
    certificate: Option<Part<Certificate>>,
    statements: Option<Part<Statements>>,
    statements_memory: statements::Memory,
    /// By database.
    scans_memory: BTreeMap<String, scans::Memory>,
    /// By collector, since its last run.
    gaps: BTreeMap<&'static str, Vec<Gap>>,
}

/// What collectors remember of one database from round to round.
#[derive(Default)]
struct Remembered {
    tables: tables::Memory,
    indexes: indexes::Memory,
    partitions: partitions::Memory,
    migrations: migrations::Memory,
}

impl Slow {
    /// After a round that broke off with all that was known: nothing is due at once, for it may break again.
    pub(crate) fn lost(server: &Server, now: Time) -> Self {
        let mut slow = Self {
            tables_at: Some(now),
            schema_at: Some(now),
            ..Self::default()
        };
        let reason = "a round over the catalogues broke off, and what was known of them is lost".to_owned();
        let remedy = "this may be a defect of Muster: please report it with its log".to_owned();
        slow.lacks(databases::INFO.name, server, reason, Some(remedy));
        slow
    }

    /// What is due now.
    pub(crate) fn due(&self, now: Time, tables: Span, schema: Span, all: bool) -> Due {
        let over = |at: Option<Time>, every: Span| {
            all || at.is_none_or(|t| now.since(t).millis() + 50 >= every.millis())
        };
        if !all && self.budget.rests(now) {
            return Due::default();
        }
        Due {
            tables: over(self.tables_at, tables),
            schema: over(self.schema_at, schema),
            asked: all,
        }
    }

    /// Puts what is known into a view of the server.
    pub(crate) fn show(&self, view: &mut ServerView) {
        view.databases.clone_from(&self.databases);
        view.files.clone_from(&self.files);
        view.certificate.clone_from(&self.certificate);
        view.statements.clone_from(&self.statements);
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
        for name in [tables::INFO.name, indexes::INFO.name] {
            slow.begins(name);
        }
    }
    if due.schema {
        slow.schema_at = Some(now);
        let infos = [
            &widths::INFO,
            &sequences::INFO,
            &partitions::INFO,
            &migrations::INFO,
            &collations::INFO,
        ];
        for info in infos {
            slow.begins(info.name);
        }
    }
    let began = Instant::now();
    let look = Look {
        now,
        due,
        offset,
        began,
    };
    let read = caught(&server.address, Box::pin(of_server(&server, &mut slow, look))).await;
    if let Err(e) = read {
        slow.lacks(databases::INFO.name, &server, e.reason.clone(), Some(e.remedy()));
    }
    // What a person asks for is no cost of watching.
    if due.asked {
        return slow;
    }
    let took = Span::from_millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    let rest = slow.budget.spend(now.plus(took), took);
    if rest >= SAID_FROM {
        let reason = format!(
            "a look into the catalogues took {took} of the server's time; so that looking costs it no more than 0.5 %, \
             the next one is in {rest}"
        );
        let remedy = "nothing has to be done; `muster check` looks at once".to_owned();
        slow.lacks(databases::INFO.name, &server, reason, Some(remedy));
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
    /// When the round began.
    began: Instant,
}

async fn of_server(server: &Server, slow: &mut Slow, look: Look) -> Result<(), ReachError> {
    let session = server.catalog(None).await?;
    let databases::Found { open: names, closed } = databases::read(&session).await?;
    // Collectors that one session answers for the whole server come here.
    if look.due.schema {
        slow.certificate = Some(Part {
            taken_at: look.now,
            value: certificate::read(&session),
        });
        slow.begins(files::INFO.name);
        match files::read(&session).await {
            Ok((value, lacking)) => {
                slow.files = Some(Part {
                    taken_at: look.now,
                    value,
                });
                for (reason, remedy) in lacking {
                    slow.lacks(files::INFO.name, server, reason, Some(remedy));
                }
            }
            Err(e) => slow.lacks(files::INFO.name, server, e.reason.clone(), Some(e.remedy())),
        }
    }
    if look.due.tables {
        slow.begins(scans::INFO.name);
        of_statements(server, &session, &names, slow, look).await;
    }
    drop(session);
    slow.scans_memory.retain(|name, _| names.contains(name));
    slow.databases
        .retain(|d| names.contains(&d.name) || closed.iter().any(|(name, _)| *name == d.name));
    for (name, (reason, remedy)) in closed {
        slow.lacks(
            databases::INFO.name,
            server,
            format!("database {name}: {reason}"),
            remedy,
        );
    }
    slow.memory.retain(|name, _| names.contains(name));
    if names.len() > MOST_DATABASES {
        let reason = format!(
            "{} databases are here, and only the first {MOST_DATABASES} by name are looked into",
            names.len()
        );
        slow.lacks(databases::INFO.name, server, reason, None);
    }
    let mut names: Vec<String> = names.into_iter().take(MOST_DATABASES).collect();
    begin_at(&mut names, slow.next.take());
    let all = names.len();
    for (done, name) in names.into_iter().enumerate() {
        if done > 0 && look.began.elapsed() >= LONGEST {
            unfinished(server, slow, look, (done, all), name);
            break;
        }
        if let Err(e) = of_database(server, slow, look, &name).await {
            let reason = format!("database {name}: {}", e.reason);
            slow.lacks(databases::INFO.name, server, reason, Some(e.remedy()));
        }
    }
    Ok(())
}

/// Sorted names, from where the last round left off.
fn begin_at(names: &mut [String], next: Option<String>) {
    if let Some(next) = next {
        let from = names.partition_point(|name| *name < next);
        names.rotate_left(from);
    }
}

/// The rest is due at once, and begins where this round ends.
fn unfinished(server: &Server, slow: &mut Slow, look: Look, (done, all): (usize, usize), next: String) {
    let reason = format!(
        "a look into {done} of {all} databases took {} s; the others are looked into the next time, {next} first",
        look.began.elapsed().as_secs()
    );
    slow.lacks(databases::INFO.name, server, reason, None);
    slow.next = Some(next);
    if look.due.tables {
        slow.tables_at = None;
    }
    if look.due.schema {
        slow.schema_at = None;
    }
}

async fn of_statements(
    server: &Server,
    session: &PgSession,
    databases: &[String],
    slow: &mut Slow,
    look: Look,
) {
    let name = statements::INFO.name;
    slow.begins(name);
    let memory = &mut slow.statements_memory;
    let read = statements::read(server, session, databases, look.now, look.offset, memory);
    match caught(&server.address, read).await {
        Ok(read) => {
            slow.statements = read.part;
            if let Some(gap) = read.gap {
                slow.lacks(name, server, gap.reason, gap.remedy);
            }
        }
        Err(e) => slow.lacks(name, server, e.reason.clone(), Some(e.remedy())),
    }
}

async fn of_database(server: &Server, slow: &mut Slow, look: Look, name: &str) -> Result<(), ReachError> {
    let session: PgSession = server.catalog(Some(name)).await?;
    let at = slow.databases.iter().position(|d| d.name == name);
    let mut view = at.map_or_else(|| DatabaseView::unread(name), |i| slow.databases.remove(i));
    let mut known = slow.memory.remove(name).unwrap_or_default();
    let mut missing = Vec::new();
    let read = inside(&session, &mut view, &mut known, look, &mut missing);
    let read = caught(&server.address, read).await;
    for (collector, (reason, remedy)) in missing {
        slow.lacks(collector, server, format!("database {name}: {reason}"), remedy);
    }
    slow.memory.insert(name.to_owned(), known);
    if look.due.tables {
        of_scans(server, &session, &mut view, slow, look).await;
    }
    let place = slow.databases.partition_point(|d| d.name.as_str() < name);
    slow.databases.insert(place, view);
    read
}

/// What collectors of one database could not read, by collector.
type Lacking = Vec<(&'static str, Missing)>;

/// Collectors that look into one database. What one of them cannot read is its own gap; only a session that ended ends the
/// round in this database.
async fn inside(
    session: &PgSession,
    view: &mut DatabaseView,
    known: &mut Remembered,
    look: Look,
    lacking: &mut Lacking,
) -> Result<(), ReachError> {
    let Some(about) = about::read(session, look.offset).await? else {
        return Ok(());
    };
    let (now, offset) = (look.now, look.offset);
    if look.due.tables {
        let read = tables::read(session, &about, now, offset, &mut known.tables).await;
        keep(session, &mut view.tables, now, tables::INFO.name, read, lacking)?;
        let read = indexes::read(session, &about, now, offset, &mut known.indexes).await;
        keep(session, &mut view.indexes, now, indexes::INFO.name, read, lacking)?;
    }
    if look.due.schema {
        let read = collations::read(session).await;
        keep(
            session,
            &mut view.collations,
            now,
            collations::INFO.name,
            read,
            lacking,
        )?;
        schema(session, &about, view, known, look, lacking).await?;
    }
    if look.due.tables {
        let read = vacuum_queue::read(session, now, offset, view.vacuum.as_ref()).await;
        keep(
            session,
            &mut view.vacuum,
            now,
            vacuum_queue::INFO.name,
            read,
            lacking,
        )?;
    }
    Ok(())
}

async fn of_scans(
    server: &Server,
    session: &PgSession,
    view: &mut DatabaseView,
    slow: &mut Slow,
    look: Look,
) {
    let memory = slow.scans_memory.entry(view.name.clone()).or_default();
    match caught(&server.address, scans::read(session, look.now, memory)).await {
        Ok(value) => {
            view.scans = Some(Part {
                taken_at: look.now,
                value,
            });
        }
        Err(e) => {
            let reason = format!("database {}: {}", view.name, e.reason);
            slow.lacks(scans::INFO.name, server, reason, Some(e.remedy()));
        }
    }
}

/// What is the same on every server of a cluster, or means nothing on a standby: read where it is written.
async fn schema(
    session: &PgSession,
    about: &About,
    view: &mut DatabaseView,
    known: &mut Remembered,
    look: Look,
    lacking: &mut Lacking,
) -> Result<(), ReachError> {
    if about.standby {
        view.widths = None;
        view.sequences = None;
        view.partitions = None;
        view.migrations = None;
        return Ok(());
    }
    let (now, offset) = (look.now, look.offset);
    let read = partitions::read(session, about, now, &mut known.partitions).await;
    keep(
        session,
        &mut view.partitions,
        now,
        partitions::INFO.name,
        read,
        lacking,
    )?;
    let read = sequences::read(session).await;
    let read = noting(sequences::INFO.name, read, lacking);
    keep(
        session,
        &mut view.sequences,
        now,
        sequences::INFO.name,
        read,
        lacking,
    )?;
    let read = widths::read(session, about, offset).await;
    let read = noting(
        widths::INFO.name,
        read.map(|(v, m)| (v, m.into_iter().collect())),
        lacking,
    );
    keep(session, &mut view.widths, now, widths::INFO.name, read, lacking)?;
    let read = migrations::read(session, now, offset, &mut known.migrations).await;
    let read = noting(migrations::INFO.name, read, lacking);
    keep(
        session,
        &mut view.migrations,
        now,
        migrations::INFO.name,
        read,
        lacking,
    )
}

/// Notes what was missing beside what was read.
fn noting<T>(
    collector: &'static str,
    read: Result<(T, Vec<Missing>), ReachError>,
    lacking: &mut Lacking,
) -> Result<T, ReachError> {
    let (value, missing) = read?;
    lacking.extend(missing.into_iter().map(|m| (collector, m)));
    Ok(value)
}

/// Keeps what was read. What was not leaves the part of before with its age, and a gap.
fn keep<T>(
    session: &PgSession,
    part: &mut Option<Part<T>>,
    now: Time,
    collector: &'static str,
    read: Result<T, ReachError>,
    lacking: &mut Lacking,
) -> Result<(), ReachError> {
    match read {
        Ok(value) => {
            *part = Some(Part { taken_at: now, value });
            Ok(())
        }
        Err(e) => {
            lacking.push((collector, (e.reason.clone(), Some(e.remedy()))));
            if session.is_closed() { Err(e) } else { Ok(()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_on_where_the_last_one_left_off() {
        let of = |next: Option<&str>| {
            let mut names: Vec<String> = ["a", "c", "e"].map(str::to_owned).to_vec();
            begin_at(&mut names, next.map(str::to_owned));
            names.concat()
        };
        assert_eq!(of(None), "ace");
        assert_eq!(of(Some("c")), "cea");
        assert_eq!(of(Some("d")), "eac", "dropped meanwhile");
        assert_eq!(of(Some("f")), "ace", "the last one");
    }

    #[test]
    fn what_rests_is_not_due_unless_somebody_asks() {
        let at = |s: i64| Time::from_millis(s * 1000);
        let (tables, schema) = (Span::from_secs(15), Span::from_secs(60));
        let mut slow = Slow::default();
        assert!(slow.due(at(0), tables, schema, false).schema);
        slow.budget.spend(at(60), Span::from_secs(60));
        assert!(!slow.due(at(300), tables, schema, false).any());
        assert!(slow.due(at(300), tables, schema, true).any());
        assert!(slow.due(at(700), tables, schema, false).tables);
    }
}
