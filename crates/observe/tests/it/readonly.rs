//! The law that observation only reads, checked on the text of every statement.

/// Words of which no statement of an observer may be made, also as a part of a function's name.
const FORBIDDEN: [&str; 8] = [
    "terminate",
    "cancel",
    "reload",
    "reset",
    "alter",
    "update",
    "delete",
    "insert",
];

/// When counters began anew is read, not done.
const COLUMN: &str = "stats_reset";

fn words(sql: &str) -> Vec<String> {
    // The time of a reset, as a column, resets nothing.
    sql.replace(COLUMN, "")
        .split(|c: char| !c.is_alphanumeric())
        .map(str::to_lowercase)
        .collect()
}

#[test]
fn no_statement_changes_anything() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sql");
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).expect("folder") {
        let path = entry.expect("entry").path();
        // The name of a column and those of settings are no statements.
        let sql = std::fs::read_to_string(&path)
            .expect("file")
            .replace("stats_reset", "")
            .replace("autovacuum_vacuum_insert_", "");
        files += 1;
        for word in words(&sql) {
            assert!(!FORBIDDEN.contains(&word.as_str()), "{}: {word}", path.display());
        }
        assert!(
            sql.trim_start().to_lowercase().starts_with("select"),
            "{} does not begin with SELECT",
            path.display()
        );
        assert!(!sql.contains(';'), "{}: one statement a file", path.display());
    }
    assert!(files >= 8, "only {files} files were looked at");
    assert!(words("SELECT pg_catalog.pg_cancel_backend(1)").contains(&"cancel".to_owned()));
    assert!(words("SELECT pg_catalog.pg_stat_reset()").contains(&"reset".to_owned()));
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
