//! The law that observation only reads, checked on the text of every statement: each function that one calls is on a list.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Functions that observers may call. All of them read. Who adds one has looked at what it does: `volatile` says nothing, a role
/// that may not do it says nothing, and a read-only transaction stops neither a signal nor a reset. What hypopg makes is in the memory of
/// one session alone.
const CALLED: &str = "
age array_agg bool_and bool_or cardinality clock_timestamp concat concat_ws convert_to count current_database
current_setting encode format generate_series getdatabaseencoding has_column_privilege has_database_privilege
has_function_privilege has_schema_privilege has_sequence_privilege has_table_privilege hashtextextended host isfinite left max
md5 min mxid_age octet_length pg_backend_pid pg_blocking_pids pg_collation_actual_version pg_control_checkpoint
pg_control_system pg_get_indexdef pg_current_snapshot pg_current_wal_lsn pg_database_collation_actual_version pg_get_expr pg_has_role
pg_hba_file_rules pg_is_in_recovery pg_is_wal_replay_paused pg_last_wal_receive_lsn pg_last_wal_replay_lsn
pg_last_xact_replay_timestamp pg_options_to_table pg_postmaster_start_time pg_sequence_last_value
pg_show_all_file_settings pg_size_bytes pg_snapshot_xmax pg_stat_get_dead_tuples pg_stat_get_ins_since_vacuum
pg_stat_get_last_analyze_time pg_stat_get_last_autoanalyze_time pg_stat_get_last_autovacuum_time
pg_stat_get_last_vacuum_time pg_stat_get_lastscan pg_stat_get_live_tuples pg_stat_get_mod_since_analyze
pg_stat_get_numscans pg_stat_get_tuples_deleted pg_stat_get_tuples_inserted pg_stat_get_tuples_returned
pg_stat_get_tuples_updated pg_stat_statements pg_stat_statements_info pg_wal_lsn_diff pg_walfile_name quote_ident
bt_index_check format_type hypopg_create_index hypopg_relation_size hypopg_reset json_agg json_build_object pg_get_userbyid
pg_get_viewdef pg_stat_get_db_stat_reset_time pg_stat_get_tuples_hot_updated round row_to_json starts_with
regexp_replace row_number row_security_active set_config sha256 split_part strpos substr substring sum textsend to_jsonb
unnest";

/// Words before a bracket that call nothing: of the language, names of columns of a row, and a type.
const WORDS: &str = "
all and any array as bit by case coalesce distinct else exists extract filter from greatest group in is join lateral least
materialized not nullif on or over row select then union using values when where with c j k o q u used w x";

/// Settings of its own session that an observer sets. `$1` is a planner setting, for the one transaction of a trial of a
/// person's statement (`reach::trial`).
const SET: [&str; 5] = [
    "$1",
    "client_encoding",
    "idle_session_timeout",
    "search_path",
    "statement_timeout",
];

/// A statement without comments and with empty literals.
fn bare(sql: &str) -> String {
    let mut out = String::new();
    for line in sql.lines() {
        for (i, part) in line.split('\'').enumerate() {
            if i % 2 == 1 {
                out.push_str("''");
            } else if let Some((code, _)) = part.split_once("--") {
                out.push_str(code);
                break;
            } else {
                out.push_str(part);
            }
        }
        out.push('\n');
    }
    out.to_lowercase()
}

/// What stands before a bracket, with or without a space, and is not a word of the language.
fn calls(sql: &str) -> BTreeSet<String> {
    let bare = bare(sql);
    let before = bare.match_indices('(').map(|(i, _)| bare[..i].trim_end());
    let name = |text: &str| {
        let from = text
            .rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '"')
            .map_or(0, |i| i + 1);
        text[from..].to_owned()
    };
    before
        .map(name)
        .filter(|n| !n.is_empty() && !WORDS.split_whitespace().any(|w| w == n))
        .collect()
}

fn strange(sql: &str) -> Vec<String> {
    let known = |name: &str| CALLED.split_whitespace().any(|k| k == name);
    calls(sql).into_iter().filter(|n| !known(n)).collect()
}

/// Names of settings that are set; one that is no literal is shown as it is.
fn set(sql: &str) -> Vec<String> {
    let places = sql.split("set_config(").skip(1);
    places
        .map(|rest| {
            rest.split(',')
                .next()
                .unwrap_or_default()
                .trim_matches('\'')
                .to_owned()
        })
        .collect()
}

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).expect("folder");
    let paths = entries.map(|e| e.expect("entry").path());
    paths
        .map(|p| (p.clone(), std::fs::read_to_string(&p).expect("file")))
        .collect()
}

#[test]
fn no_statement_changes_anything() {
    let own = files("src/sql");
    assert!(own.len() >= 60, "only {} files were looked at", own.len());
    for (path, sql) in &own {
        let bare = bare(sql);
        assert!(
            bare.trim_start().starts_with("select"),
            "{} does not begin with SELECT",
            path.display()
        );
        assert!(!bare.contains(';'), "{}: one statement a file", path.display());
        assert!(!bare.contains(" into "), "{} makes a table", path.display());
        for lock in ["for update", "for share", "for no key", "for key"] {
            assert!(!bare.contains(lock), "{} takes locks", path.display());
        }
    }
    // Sessions are set up by several statements, and by nothing but settings of their own.
    let sessions = files("../reach/src/sql");
    for (path, sql) in &sessions {
        for statement in bare(sql).split(';').map(str::trim).filter(|s| !s.is_empty()) {
            let word = statement.split_whitespace().next().unwrap_or_default();
            assert!(
                ["set", "select"].contains(&word),
                "{}: {statement}",
                path.display()
            );
        }
    }
    for (path, sql) in own.iter().chain(&sessions) {
        assert_eq!(strange(sql), Vec::<String>::new(), "{}", path.display());
        for name in set(sql) {
            assert!(SET.contains(&name.as_str()), "{}: {name}", path.display());
        }
    }
}

#[test]
fn what_is_not_on_the_list_is_found() {
    for (sql, found) in [
        (
            "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM x a",
            "pg_terminate_backend",
        ),
        ("SELECT pg_catalog.pg_advisory_lock (1)", "pg_advisory_lock"),
        ("SELECT 'a(', lo_import\n  ('/etc/passwd')", "lo_import"),
        ("SELECT \"pg_read_file\"('x')", "\"pg_read_file\""),
        ("SELECT nextval('s') -- max(", "nextval"),
        ("SELECT pg_catalog.pg_switch_wal()", "pg_switch_wal"),
    ] {
        assert_eq!(strange(sql), [found], "{sql}");
    }
    assert_eq!(set("SELECT pg_catalog.set_config('role', 'x', false)"), ["role"]);
    assert_eq!(set("SELECT pg_catalog.set_config(name, '0', false)"), ["name"]);
}

#[test]
fn every_collector_says_what_it_needs() {
    let all = muster_observe::collectors();
    assert!(all.len() >= 14, "{}", all.len());
    for info in all {
        for text in [info.about, info.reads, info.needs, info.cadence, info.gap] {
            assert!(!text.is_empty(), "{}", info.name);
        }
    }
}
