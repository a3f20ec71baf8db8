//! Where a statement is planned: the database, whether hypopg is there, and the settings under which its own user would plan it.

use muster_reach::{ReachError, Trial};

const PLACE: &str = include_str!("../sql/query_place.sql");
const SETTINGS: &str = include_str!("../sql/query_settings.sql");
const LAG: &str = include_str!("../sql/query_lag.sql");

/// Settings that change a plan and may be taken over from the statement's user.
const PLANNING: [&str; 30] = [
    "search_path",
    "work_mem",
    "hash_mem_multiplier",
    "random_page_cost",
    "seq_page_cost",
    "cpu_tuple_cost",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "effective_cache_size",
    "default_statistics_target",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "from_collapse_limit",
    "join_collapse_limit",
    "max_parallel_workers_per_gather",
    "min_parallel_table_scan_size",
    "min_parallel_index_scan_size",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "enable_seqscan",
    "enable_indexscan",
    "enable_indexonlyscan",
    "enable_bitmapscan",
    "enable_nestloop",
    "enable_hashjoin",
    "enable_mergejoin",
    "enable_sort",
    "enable_hashagg",
    "enable_material",
    "enable_partition_pruning",
];

/// Where it is planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Database.
    pub database: String,
    /// Whether the server is a standby.
    pub standby: bool,
    /// `server_version_num`.
    pub version_num: u32,
    /// What a server looks names up in by itself.
    pub search_path: String,
    /// Schema and version of hypopg, where it is installed in this database.
    pub hypopg: Option<(String, String)>,
    /// Whether the server could install it.
    pub hypopg_available: bool,
}

/// Reads it.
///
/// # Errors
/// When the server cannot be asked.
pub async fn place(trial: &Trial) -> Result<Place, ReachError> {
    let rows = trial.query(PLACE, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(Place::default());
    };
    let schema: Option<String> = row.get("hypopg_schema");
    let version: Option<String> = row.get("hypopg_version");
    Ok(Place {
        database: row.get("database"),
        standby: row.get("standby"),
        version_num: row.get::<_, i32>("version_num").unsigned_abs(),
        search_path: row.get::<_, Option<String>>("search_path").unwrap_or_default(),
        hypopg: schema.zip(version),
        hypopg_available: row.get("hypopg_available"),
    })
}

/// The settings of a user (`None`: of everybody) in this database that change a plan; `search_path` is always among them.
///
/// # Errors
/// When the server cannot be asked.
pub async fn settings(
    trial: &Trial,
    place: &Place,
    user: Option<&str>,
    search_path: Option<&str>,
) -> Result<Vec<(String, String)>, ReachError> {
    let names: Vec<&str> = PLANNING.to_vec();
    let rows = trial.query(SETTINGS, &[&user, &names]).await?;
    let mut out = vec![("search_path".to_owned(), place.search_path.clone())];
    for row in rows {
        let (name, value): (String, String) = (row.get("name"), row.get("value"));
        out.retain(|(n, _)| *n != name);
        out.push((name, value));
    }
    for (name, value) in &mut out {
        if name == "search_path" {
            if let Some(given) = search_path {
                given.clone_into(value);
            } else if let Some(user) = user {
                *value = value.replace("\"$user\"", &muster_reach::quoted(user));
            }
        }
    }
    Ok(out)
}

/// Where a server is in the log, in bytes, and whether it is a standby.
///
/// # Errors
/// When it cannot be asked.
pub async fn position(trial: &Trial) -> Result<(Option<u64>, bool), ReachError> {
    let rows = trial.query(LAG, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok((None, false));
    };
    Ok((crate::row::lsn(row, "position"), row.get("standby")))
}
