//! L3: only `act` changes an enrolled target. Whoever else names a statement that does, is found.

use super::tree::{File, Finding, Tree};

/// Compared without regard to case: SQL is.
const STATEMENTS: [&str; 5] = [
    "pg_terminate_backend",
    "pg_cancel_backend",
    "alter system",
    "pg_reload_conf",
    "pg_stat_reset",
];

/// It prints the statement for a person, and runs none.
const PRINTS_IT: &str = "crates/model/src/lock_graph.rs";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let all = tree.under("crates/", "rs").chain(tree.under("crates/", "sql"));
    let watched =
        all.filter(|f| !f.is_test() && !matches!(f.crate_name(), Some("act" | "lab")) && f.path != PRINTS_IT);
    watched.flat_map(judge).collect()
}

fn judge(file: &File) -> Vec<Finding> {
    let lines: Vec<(usize, String)> = if file.ext() == "rs" {
        let code = file.lines().into_iter().filter(|l| !l.test);
        code.map(|l| (l.number, l.code)).collect()
    } else {
        // SQL comments run to the end of the line.
        let raw = file.raw();
        raw.map(|(n, l)| (n, l.split("--").next().unwrap_or_default().to_owned()))
            .collect()
    };
    let mut findings = Vec::new();
    for (number, line) in lines {
        let words = line
            .to_lowercase()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        for statement in STATEMENTS.iter().filter(|s| words.contains(**s)) {
            findings.push(Finding::new(
                &file.path,
                number,
                "L3",
                format!("`{statement}` outside act and lab"),
                "make it an action in crates/act/src/actions, with plan, apply, observe and undo",
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
    fn a_statement_that_changes_a_target_is_found_outside_act_and_lab() {
        for statement in [
            "SELECT pg_terminate_backend(1)",
            "alter  system SET x = 1",
            "SELECT pg_stat_reset_shared('x')",
        ] {
            let rust = format!("const X: &str = \"{statement}\";");
            assert_eq!(count("crates/observe/src/a.rs", &rust), 1, "{statement}");
            assert_eq!(count("crates/observe/src/sql/a.sql", statement), 1, "{statement}");
            for allowed in [
                "crates/act/src/a.rs",
                "crates/lab/src/a.rs",
                "crates/engine/tests/it/a.rs",
                PRINTS_IT,
            ] {
                assert_eq!(count(allowed, &rust), 0, "{allowed}");
            }
        }
        assert_eq!(count("crates/observe/src/a.rs", "// never pg_reload_conf\n"), 0);
        assert_eq!(
            count("crates/observe/src/sql/a.sql", "SELECT 1 -- not pg_reload_conf\n"),
            0
        );
    }
}
