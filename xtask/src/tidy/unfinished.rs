//! What must not be left lying: unfinished code, skipped tests, and tests that wait by the clock.

use super::lexer::has;
use super::tree::{Finding, Tree};

const LEFT: [(&str, &str); 4] = [
    ("todo!(", "write it, or take the path out"),
    ("unimplemented!(", "write it, or take the path out"),
    ("dbg!(", "take it out"),
    ("#[ignore", "make the test quick and sure, or delete it"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let ours = tree.under("crates/", "rs").chain(tree.under("xtask/", "rs"));
    let mut findings = Vec::new();
    for file in ours {
        let waits = file.path.starts_with("crates/") && file.path.contains("/tests/");
        for line in file.lines() {
            for (word, remedy) in LEFT.iter().filter(|(w, _)| has(&line.bare, w)) {
                findings.push(Finding::new(
                    &file.path,
                    line.number,
                    "unfinished",
                    format!("`{word}`"),
                    remedy,
                ));
            }
            if waits && has(&line.bare, "sleep(") {
                findings.push(Finding::new(
                    &file.path,
                    line.number,
                    "sleep",
                    "a test sleeps",
                    "wait for the state with a deadline (a wait function of the crate): a sleep is too short or too long",
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_lying_is_found() {
        for text in [
            "todo!()",
            "unimplemented!(\"x\")",
            "dbg!(x)",
            "#[ignore = \"slow\"]",
        ] {
            assert_eq!(
                check(&Tree::of(&[("crates/a/src/a.rs", text)])).len(),
                1,
                "{text}"
            );
            assert_eq!(check(&Tree::of(&[("xtask/src/a.rs", text)])).len(), 1, "{text}");
        }
        assert!(
            check(&Tree::of(&[(
                "crates/a/src/a.rs",
                "let x = \"todo!(\"; // dbg!("
            )]))
            .is_empty()
        );
    }

    #[test]
    fn a_test_that_sleeps_is_found() {
        for text in ["tokio::time::sleep(x).await", "thread::sleep(x)"] {
            assert_eq!(
                check(&Tree::of(&[("crates/a/tests/it/a.rs", text)])).len(),
                1,
                "{text}"
            );
            assert!(
                check(&Tree::of(&[("crates/a/src/a.rs", text)])).is_empty(),
                "{text}"
            );
        }
        assert!(
            check(&Tree::of(&[(
                "crates/a/tests/it/a.rs",
                "query(\"SELECT pg_sleep(1)\")"
            )]))
            .is_empty()
        );
    }
}
