//! What each statement did: counters without texts every round, texts rarely and together.
//!
//! One session asks for all databases: the extension speaks for the whole server, wherever it was created. Knows why there
//! may be nothing to read and says which step is missing. Refuses to reset anything, and to read a text twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use muster_model::snapshot::{Gap, Part, Statement, StatementWindow, Statements, StatementsOff, Work};
use muster_model::{Span, Time};
use muster_reach::error::Trouble;
use muster_reach::{PgSession, ReachError, Server};
use tokio_postgres::Row;

use super::CollectorInfo;
use crate::ring::Ring;
use crate::row::{Offset, count, get};
use crate::tally::{Habits, Key, Reading, Seen, Tally};
use crate::texts::{LONGEST, Texts};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "statements",
    about: "What each statement did in the last minute (calls, time, rows, blocks, temporary blocks) and what it usually does, \
            learnt from the hour before; the 200 that took most time, the rest as a sum. Texts are asked for together, only \
            for new statements and the less often the longer it took, and kept without literals.",
    reads: "pg_stat_statements(false), pg_stat_statements_info() where there is one, pg_stat_statements(true) for texts",
    needs: "pg_stat_statements in shared_preload_libraries and created in one database; pg_monitor",
    cadence: "15 s",
    gap: "which statements other users sent",
};

const LOADED: &str = include_str!("../sql/statements_loaded.sql");
const WHERE: &str = include_str!("../sql/statements_where.sql");
const COUNTERS: &str = include_str!("../sql/statements.sql");
const COUNTERS_1_9: &str = include_str!("../sql/statements_1_9.sql");
const COUNTERS_1_8: &str = include_str!("../sql/statements_1_8.sql");
const COUNTS_SINCE: &str = include_str!("../sql/statements_info.sql");
const TEXTS: &str = include_str!("../sql/statement_texts.sql");
const NAMES: &str = include_str!("../sql/statement_names.sql");

/// Statements that a Snapshot carries.
const TOP: usize = 200;
/// Statements whose usual work is remembered.
const HABITS: usize = 10_000;
/// Where the extension is in none of the databases, they are looked through again so often.
const SEARCH: Span = Span::from_mins(5);
/// Databases that are looked through for it.
const MOST_DATABASES: usize = 50;

/// Under which name a statement's habits are remembered: its text, which outlives a table that is made anew, or the
/// server's id while the text is not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Text(u32, u32, String),
    Id(u32, u32, i64),
    Everything,
}

/// What is remembered between rounds.
#[derive(Default)]
pub(crate) struct Memory {
    /// Where the extension was found; `None` inside: in the login's own database.
    place: Option<Option<String>>,
    searched: Option<(Time, StatementsOff)>,
    tally: Tally,
    habits: Habits<Name>,
    texts: Texts,
    text_bytes: Option<u64>,
    /// Why texts could not be read when they were last asked for.
    untold: Option<ReachError>,
    names: BTreeMap<(bool, u32), String>,
    evictions: Ring<u64>,
    /// The login's own role, where its statements are ours alone.
    own: Option<u32>,
}

/// How an extension is asked.
struct Extension {
    database: String,
    /// The schema that it is in and that this role may not use.
    closed: Option<String>,
    version: String,
    columns: Vec<String>,
}

/// What was read, and the gap of what this role may not see.
pub(crate) struct Read {
    pub(crate) part: Option<Part<Statements>>,
    pub(crate) gap: Option<Gap>,
}

/// Reads it. `session` is one in the login's own database, `databases` are the others to look for the extension in.
pub(crate) async fn read(
    server: &Server,
    session: &PgSession,
    databases: &[String],
    now: Time,
    offset: Offset,
    memory: &mut Memory,
) -> Result<Read, ReachError> {
    let rows = session.query(LOADED, &[]).await?;
    let head = rows.first();
    let max: Option<i64> = head.and_then(|r| get(r, "max"));
    let off = |why: StatementsOff, at: Time| Read {
        part: Some(Part {
            taken_at: at,
            value: Statements {
                off: Some(why),
                ..Statements::default()
            },
        }),
        gap: None,
    };
    let lacks = |reason: String, remedy: String| Gap {
        collector: INFO.name.to_owned(),
        target: server.address.clone(),
        reason,
        remedy: Some(remedy),
    };
    let role = &session.capability().user;
    let at = head.map_or(now, |r| offset.ours(get(r, "now_us")));
    let found = find(server, session, databases, now, memory).await?;
    let Some(max) = max else {
        memory.tally = Tally::default();
        let created_in = found.ok().map(|(e, _)| e.database);
        return Ok(off(StatementsOff::NotPreloaded { created_in }, at));
    };
    let (extension, inside) = match found {
        Ok(found) => found,
        Err(why) => return Ok(off(why, at)),
    };
    if let Some(why) = head.and_then(not_counting) {
        return Ok(off(why, at));
    }
    if let Some(schema) = &extension.closed {
        let reason = format!(
            "role {role} may not use schema {schema} of database {}, where pg_stat_statements is",
            extension.database
        );
        let schema = schema.replace('"', "\"\"");
        let remedy = format!(
            "GRANT USAGE ON SCHEMA \"{schema}\" TO {role}; in database {}",
            extension.database
        );
        return Ok(Read {
            part: None,
            gap: Some(lacks(reason, remedy)),
        });
    }
    let asked = inside.as_ref().unwrap_or(session);
    let Some(sql) = counters(&extension.columns) else {
        let (version, database) = (extension.version, extension.database);
        return Ok(off(StatementsOff::Outdated { version, database }, at));
    };
    let mut value = Statements {
        database: extension.database,
        version: extension.version,
        max: u64::try_from(max).ok(),
        ..Statements::default()
    };
    // The first version with its own word on resets is the first that tells whose call a statement was.
    let mut anew = None;
    if extension.columns.iter().any(|c| c == "toplevel") {
        let info = asked.query(COUNTS_SINCE, &[]).await?;
        anew = info.first().and_then(|r| get(r, "anew"));
        value.evictions = info.first().map(|r| count(r, "dealloc"));
    }
    if let Some(now) = value.evictions {
        let counted = memory.evictions.take(at, now, |a, b| b < a);
        value.evictions_lately = counted.in_five_minutes(|n| *n).map_or(0, |g| g.by);
    }
    let rows = asked.query(sql, &[]).await?;
    value.entries = rows.len() as u64;
    let readings: Vec<Reading> = rows.iter().filter_map(reading).collect();
    value.hidden = value.entries - readings.len() as u64;
    // A superuser's login may be everybody's: what it sends is not ours alone.
    memory.own = head
        .filter(|_| !session.capability().superuser)
        .and_then(|r| get(r, "login"));
    for (to, over, work) in memory.tally.take(at, anew, &readings) {
        learn(memory, to, over, &work);
    }
    memory.habits.forget(at, HABITS);
    let window = memory.tally.window();
    texts(asked, at, window.as_ref(), &readings, memory).await?;
    value.text_bytes = memory.text_bytes;
    if let Some(seen) = window {
        let mut told = tell(seen, at, memory);
        name(asked, &mut told, memory).await?;
        value.window = Some(told.window);
    }
    let untold = memory.untold.as_ref();
    let untold = untold.map(|e| lacks(format!("texts of new statements: {}", e.reason), e.remedy()));
    let gap = (value.hidden > 0).then(|| {
        lacks(
            format!(
                "role {role} may not tell {} statements of other users apart",
                value.hidden
            ),
            format!("GRANT pg_monitor TO {role};"),
        )
    });
    Ok(Read {
        part: Some(Part { taken_at: at, value }),
        gap: gap.or(untold),
    })
}

/// Where the extension is; with a session there when it is not in the database of `session`.
async fn find(
    server: &Server,
    session: &PgSession,
    databases: &[String],
    now: Time,
    memory: &mut Memory,
) -> Result<Result<(Extension, Option<PgSession>), StatementsOff>, ReachError> {
    if !matches!(memory.place, Some(Some(_)))
        && let Some(here) = extension(session).await?
    {
        settle(memory, None);
        return Ok(Ok((here, None)));
    }
    if let Some(Some(known)) = memory.place.clone() {
        match server.catalog(Some(&known)).await {
            Ok(there) => {
                if let Some(found) = extension(&there).await? {
                    return Ok(Ok((found, Some(there))));
                }
            }
            Err(e) if e.trouble == Trouble::Database => {}
            // A login that fails says nothing about the extension, and a search would be many more of them.
            Err(e) => return Err(e),
        }
    }
    memory.place = None;
    if let Some((at, why)) = &memory.searched
        && now.since(*at) < SEARCH
    {
        return Ok(Err(why.clone()));
    }
    let mut refused = 0;
    let looked = databases.iter().take(MOST_DATABASES);
    for database in looked.clone() {
        let there = match server.catalog(Some(database)).await {
            Ok(there) => there,
            Err(e) if of_this_database(&e.trouble) => {
                refused += 1;
                continue;
            }
            Err(e) => return Err(e),
        };
        if let Some(found) = extension(&there).await? {
            settle(memory, Some(database.clone()));
            return Ok(Ok((found, Some(there))));
        }
    }
    let why = StatementsOff::NotCreated {
        looked_into: u32::try_from(looked.len()).unwrap_or(u32::MAX) - refused,
        refused: refused + u32::try_from(databases.len().saturating_sub(MOST_DATABASES)).unwrap_or(0),
    };
    memory.searched = Some((now, why.clone()));
    Ok(Err(why))
}

/// Whether a login failed for the database's own reasons; of the others each next one would be the same.
fn of_this_database(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::Database | Trouble::DatabaseLimit | Trouble::Privilege | Trouble::Auth
    )
}

fn settle(memory: &mut Memory, place: Option<String>) {
    memory.place = Some(place);
    memory.searched = None;
}

/// The extension of one database. Its schema is put on this session's path: the text of a statement is static, and where
/// the extension is, is not.
async fn extension(session: &PgSession) -> Result<Option<Extension>, ReachError> {
    let rows = session.query(WHERE, &[]).await?;
    Ok(rows.first().map(|r| Extension {
        database: get(r, "database"),
        closed: (!get::<bool>(r, "may")).then(|| get(r, "schema")),
        version: get(r, "version"),
        columns: get::<Option<Vec<String>>>(r, "columns").unwrap_or_default(),
    }))
}

fn not_counting(head: &Row) -> Option<StatementsOff> {
    let off = |setting: &str, column: &str, bad: &str| {
        let value: Option<String> = get(head, column);
        value
            .filter(|v| v == bad)
            .map(|value| StatementsOff::NotCounting {
                setting: setting.to_owned(),
                value,
            })
    };
    off("pg_stat_statements.track", "track", "none")
        .or_else(|| off("compute_query_id", "compute_query_id", "off"))
}

/// The statement for the columns that are there; the extension may be older than its server.
fn counters(columns: &[String]) -> Option<&'static str> {
    let has = |name: &str| columns.iter().any(|c| c == name);
    if has("stats_since") {
        Some(COUNTERS)
    } else if has("toplevel") {
        Some(COUNTERS_1_9)
    } else if has("total_exec_time") {
        Some(COUNTERS_1_8)
    } else {
        None
    }
}

/// `None` for a statement of another user that this role may not tell apart.
fn reading(row: &Row) -> Option<Reading> {
    let queryid: i64 = get::<Option<i64>>(row, "queryid")?;
    Some(Reading {
        key: Key {
            user: get(row, "userid"),
            database: get(row, "dbid"),
            queryid,
            toplevel: get(row, "toplevel"),
        },
        work: Work {
            calls: count(row, "calls"),
            ms: get(row, "ms"),
            rows: count(row, "rows"),
            blocks: count(row, "blocks"),
            blocks_read: count(row, "blocks_read"),
            temp_blocks: count(row, "temp_blocks"),
            wal_bytes: count(row, "wal_bytes"),
            io_ms: get(row, "io_ms"),
        },
        since: get(row, "since"),
    })
}

fn learn(memory: &mut Memory, to: Time, over: Span, work: &BTreeMap<Key, Work>) {
    let mut everything = Work::default();
    for (key, done) in work {
        let name = name_of(&memory.texts, key);
        memory.habits.learn(name, to, over, done);
        if key.toplevel && Some(key.user) != memory.own {
            everything.add(done);
        }
    }
    memory.habits.learn(Name::Everything, to, over, &everything);
}

fn name_of(texts: &Texts, key: &Key) -> Name {
    match texts.of(key.queryid) {
        Some(text) => Name::Text(key.user, key.database, text.fingerprint.clone()),
        None => Name::Id(key.user, key.database, key.queryid),
    }
}

/// Asks for the texts of what took most time, when there are new ones among them.
async fn texts(
    session: &PgSession,
    at: Time,
    window: Option<&Seen>,
    readings: &[Reading],
    memory: &mut Memory,
) -> Result<(), ReachError> {
    let mut by_time: Vec<(i64, f64)> = match window {
        Some(seen) => seen.work.iter().map(|(k, w)| (k.queryid, w.ms)).collect(),
        // Before there is a window: of what took most time ever, so that names are there when it is.
        None => readings.iter().map(|r| (r.key.queryid, r.work.ms)).collect(),
    };
    by_time.sort_by(|a, b| b.1.total_cmp(&a.1));
    let most = if window.is_some() {
        2 * TOP
    } else {
        crate::texts::AT_ONCE
    };
    let ids = memory
        .texts
        .wanted(at, by_time.into_iter().take(most).map(|(id, _)| id));
    if ids.is_empty() {
        return Ok(());
    }
    let began = Instant::now();
    let longest = i32::try_from(LONGEST).unwrap_or(i32::MAX);
    let answer = session.query(TEXTS, &[&ids, &longest]).await;
    // Also when it failed: what takes too long is not asked for again at once.
    memory.texts.asked(at, began.elapsed());
    let rows = match answer {
        Ok(rows) => rows,
        Err(e) if session.is_closed() => return Err(e),
        // One text that cannot be told (of a database in another encoding) leaves the counters what they are.
        Err(e) => {
            memory.untold = Some(e);
            return Ok(());
        }
    };
    memory.untold = None;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    memory.text_bytes = u64::try_from(get::<i64>(row, "bytes")).ok();
    let found: Vec<i64> = get::<Option<_>>(row, "ids").unwrap_or_default();
    let texts: Vec<Option<String>> = get::<Option<_>>(row, "texts").unwrap_or_default();
    let lengths: Vec<Option<i32>> = get::<Option<_>>(row, "lengths").unwrap_or_default();
    let mut new: BTreeSet<i64> = BTreeSet::new();
    for ((id, text), bytes) in found.into_iter().zip(texts).zip(lengths) {
        if let (Some(text), true) = (text, new.insert(id)) {
            memory.texts.learn(at, id, &text, bytes.unwrap_or(0));
        }
    }
    for reading in readings.iter().filter(|r| new.contains(&r.key.queryid)) {
        let key = &reading.key;
        let was = Name::Id(key.user, key.database, key.queryid);
        memory.habits.rename(&was, name_of(&memory.texts, key));
    }
    Ok(())
}

struct Told {
    window: StatementWindow,
    /// User and database of each of the top statements.
    whose: Vec<(u32, u32)>,
}

fn tell(seen: Seen, at: Time, memory: &Memory) -> Told {
    let mut window = StatementWindow {
        over: seen.over,
        called: seen.work.len() as u64,
        forgotten: seen.forgotten,
        reset: seen.reset,
        usual: memory.habits.of(&Name::Everything, at),
        ..StatementWindow::default()
    };
    let mut all: Vec<(Key, Work)> = Vec::with_capacity(seen.work.len());
    for (key, work) in seen.work {
        if Some(key.user) == memory.own {
            window.own.add(&work);
            continue;
        }
        if key.toplevel {
            window.total.add(&work);
        }
        all.push((key, work));
    }
    all.sort_by(|a, b| b.1.ms.total_cmp(&a.1.ms).then_with(|| a.0.cmp(&b.0)));
    let mut whose = Vec::new();
    for (i, (key, work)) in all.into_iter().enumerate() {
        if i >= TOP {
            if key.toplevel {
                window.rest.add(&work);
            }
            continue;
        }
        let text = memory.texts.of(key.queryid);
        whose.push((key.user, key.database));
        window.top.push(Statement {
            queryid: key.queryid.to_string(),
            fingerprint: text.map(|t| t.fingerprint.clone()),
            text: text.map(|t| t.text.clone()),
            toplevel: key.toplevel,
            work,
            usual: memory.habits.of(&name_of(&memory.texts, &key), at),
            ..Statement::default()
        });
    }
    Told { window, whose }
}

/// Puts names where there are numbers; asks only for those that are new.
async fn name(session: &PgSession, told: &mut Told, memory: &mut Memory) -> Result<(), ReachError> {
    let unknown = |role: bool, ids: BTreeSet<u32>, names: &BTreeMap<(bool, u32), String>| -> Vec<u32> {
        ids.into_iter()
            .filter(|id| !names.contains_key(&(role, *id)))
            .collect()
    };
    let roles = unknown(true, told.whose.iter().map(|w| w.0).collect(), &memory.names);
    let databases = unknown(false, told.whose.iter().map(|w| w.1).collect(), &memory.names);
    if !roles.is_empty() || !databases.is_empty() {
        for row in &session.query(NAMES, &[&roles, &databases]).await? {
            memory
                .names
                .insert((get(row, "role"), get(row, "oid")), get(row, "name"));
        }
    }
    let of = |role: bool, id: u32| {
        let known = memory.names.get(&(role, id));
        known.cloned().unwrap_or_else(|| id.to_string())
    };
    for (statement, (user, database)) in told.window.top.iter_mut().zip(&told.whose) {
        statement.user = of(true, *user);
        statement.database = of(false, *database);
    }
    Ok(())
}
