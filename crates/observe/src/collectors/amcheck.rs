//! amcheck, when somebody asks for it: does an index hold its order?
//!
//! Calls `bt_index_check` and nothing heavier: it takes the lock of a reader. `bt_index_parent_check` keeps writers out and is
//! never called. A lock that is not free at once and a time-out leave an index out, and that is said: an index that was not
//! looked at is not whole.

use std::time::{Duration, Instant};

use muster_model::snapshot::{Gap, IndexCheck};
use muster_reach::{PgSession, ReachError, Server, quoted};

use super::{CollectorInfo, databases};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "amcheck",
    about: "Whether btree indexes hold their order, by `bt_index_check`: on request only (`muster check --deep`), the small ones first, \
            one at a time, within a time that is given. Takes no more than the lock of a reader and does not wait for one.",
    reads: "bt_index_check() of the extension amcheck, in each database that has it; pg_index, pg_class",
    needs: "CREATE EXTENSION amcheck, and GRANT EXECUTE ON FUNCTION bt_index_check(regclass)",
    cadence: "on request",
    gap: "broken indexes of databases without the extension, and of what was locked or took too long",
};

const WHERE: &str = include_str!("../sql/amcheck_where.sql");
const INDEXES: &str = include_str!("../sql/amcheck_indexes.sql");
const CHECK: &str = include_str!("../sql/amcheck_index.sql");
/// One index may take so long on the server: whoever wants to change its table waits that long at most.
const LONGEST: Duration = Duration::from_secs(10);

/// What was found at one server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeepLook {
    /// By database: the indexes that were looked at.
    pub databases: Vec<(String, Vec<IndexCheck>)>,
    /// What was not, and why.
    pub gaps: Vec<Gap>,
    /// Indexes that were looked at.
    pub checked: u64,
    /// Indexes that were not, in the databases that could be looked into.
    pub left_out: u64,
}

/// Looks at the indexes of all databases of a server, no longer than `within` and one index.
pub async fn look(server: &Server, within: Duration) -> DeepLook {
    let mut out = DeepLook::default();
    let until = Instant::now() + within;
    let names = async { databases::read(&server.observing().await?).await }.await;
    let databases::Found { open, closed } = match names {
        Ok(found) => found,
        Err(e) => {
            out.lacks(server, e.reason.clone(), e.remedy());
            return out;
        }
    };
    for (name, (reason, remedy)) in closed {
        let remedy = remedy.unwrap_or_else(|| "let the login into it".to_owned());
        out.lacks(server, format!("database {name}: {reason}"), remedy);
    }
    for name in open {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            out.lacks(
                server,
                format!("database {name} was not looked at: the time was up"),
                "give it more time with --within".to_owned(),
            );
            continue;
        }
        // The time-outs of this session are its own: nobody else waits with it.
        match server.patient(&name, LONGEST.min(within)).await {
            Err(e) => out.lacks(server, format!("database {name}: {}", e.reason), e.remedy()),
            Ok(session) => {
                if let Err(e) = database(server, &session, &name, until, &mut out).await {
                    out.lacks(server, format!("database {name}: {}", e.reason), e.remedy());
                }
            }
        }
    }
    out
}

async fn database(
    server: &Server,
    session: &PgSession,
    name: &str,
    until: Instant,
    out: &mut DeepLook,
) -> Result<(), ReachError> {
    let user = quoted(&session.capability().user);
    let rows = session.query(WHERE, &[]).await?;
    let Some(extension) = rows.first() else {
        out.lacks(
            server,
            format!("the extension amcheck is not in database {name}"),
            format!(
                "in {name} on the primary: CREATE EXTENSION amcheck; GRANT EXECUTE ON FUNCTION bt_index_check(regclass) TO {user};"
            ),
        );
        return Ok(());
    };
    let schema = quoted(&extension.get::<_, String>("schema"));
    if !extension.get::<_, bool>("may") {
        out.lacks(
            server,
            format!("this role may not call bt_index_check in database {name}"),
            format!(
                "in {name} on the primary: GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT EXECUTE ON FUNCTION \
                 {schema}.bt_index_check(regclass) TO {user};"
            ),
        );
        return Ok(());
    }
    let mut checks = Vec::new();
    let (mut locked, mut slow, mut late, mut other) = (0u64, 0u64, 0u64, Vec::new());
    for row in &session.query(INDEXES, &[]).await? {
        if Instant::now() >= until || session.is_closed() {
            late += 1;
            continue;
        }
        let oid: u32 = row.get("oid");
        let mut check = IndexCheck {
            index: row.get("index"),
            table: row.get("table_name"),
            wrong: None,
        };
        match session.query(CHECK, &[&oid]).await {
            Ok(_) => {}
            Err(e) => match e.sqlstate.as_deref() {
                // index_corrupted, data_corrupted.
                Some("XX002" | "XX001") => check.wrong = Some(e.reason),
                Some("55P03") => {
                    locked += 1;
                    continue;
                }
                Some("57014") => {
                    slow += 1;
                    continue;
                }
                _ => {
                    other.push(format!("{}: {}", check.index, e.reason));
                    continue;
                }
            },
        }
        checks.push(check);
    }
    let counted = [
        (locked, "locked by somebody".to_owned()),
        (slow, format!("not done within {} s", LONGEST.as_secs())),
        (late, "not begun in the time that was given".to_owned()),
        (other.len() as u64, other.first().cloned().unwrap_or_default()),
    ];
    let left_out: u64 = counted.iter().map(|(n, _)| n).sum();
    if left_out > 0 {
        let why: Vec<String> = counted
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, why)| format!("{n} {why}"))
            .collect();
        out.lacks(
            server,
            format!(
                "{left_out} indexes of database {name} were not checked: {}",
                why.join(", ")
            ),
            "ask again later, or with more time: --within 5m".to_owned(),
        );
    }
    out.left_out += left_out;
    out.checked += checks.len() as u64;
    out.databases.push((name.to_owned(), checks));
    Ok(())
}

impl DeepLook {
    fn lacks(&mut self, server: &Server, reason: String, remedy: String) {
        self.gaps.push(Gap {
            collector: INFO.name.to_owned(),
            target: server.address.clone(),
            reason,
            remedy: Some(remedy),
        });
    }
}
