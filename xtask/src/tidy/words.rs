//! L4: the engine names no product. Comments and tests count too: a word is where a thought starts.

use super::tree::{File, Finding, Tree};

const WORDS: [&str; 6] = ["postgres", "postgresql", "pgbouncer", "redis", "pid", "backend"];
const PREFIX: &str = "pg_";
/// It may name its own database.
const STORE: &str = "crates/engine/src/journal/store";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let engine = tree
        .files
        .iter()
        .filter(|f| f.path.starts_with("crates/engine/src/"));
    engine
        .filter(|f| !f.path.starts_with(STORE))
        .flat_map(judge)
        .collect()
}

fn judge(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.raw() {
        let lower = line.to_lowercase();
        let words = lower.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in words.filter(|w| WORDS.contains(w) || w.starts_with(PREFIX)) {
            findings.push(Finding::new(
                &file.path,
                number,
                "L4",
                format!("the engine says `{word}`"),
                "say it by what it is to the engine (a target, its class, its identity); the product belongs to act",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn the_engine_names_no_product() {
        for text in [
            "// Postgres",
            "let pid = 1;",
            "\"pg_stat_activity\"",
            "the Backend",
            "REDIS",
            "PgBouncer",
        ] {
            assert_eq!(count("crates/engine/src/a.rs", text), 1, "{text}");
        }
        for text in ["rapid", "pid_of", "backends", "a.pgx", "cupg_x"] {
            assert_eq!(count("crates/engine/src/a.rs", text), 0, "{text}");
        }
        assert_eq!(count("crates/engine/src/journal/store.rs", "pid"), 0);
        assert_eq!(count("crates/engine/src/journal/schema.sql", "pid"), 1);
        assert_eq!(count("crates/act/src/a.rs", "pid"), 0);
    }
}
