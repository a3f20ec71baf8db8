//! L1 (`model` does no I/O), L2 (`rules` and `runbooks` are pure) and L5 (who prints and reads the environment).

use super::lexer::{has, std_modules, strip};
use super::tree::{File, Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.under("crates/", "rs").filter(|f| !f.is_test()) {
        match file.crate_name() {
            Some("model") => findings.extend(no_io(file)),
            Some("rules" | "runbooks") => findings.extend(pure(file)),
            _ => {}
        }
        let speaks = file.crate_name() == Some("muster") || file.path == "crates/lab/src/testing.rs";
        if !speaks {
            findings.extend(silent(file));
        }
    }
    findings
}

fn no_io(file: &File) -> Vec<Finding> {
    let remedy = "keep the model data only; I/O belongs to reach, the engine's journal or muster";
    search(
        file,
        "L1",
        &["fs", "net", "process"],
        &["tokio"],
        remedy,
        "the model does no I/O",
    )
}

fn pure(file: &File) -> Vec<Finding> {
    let words = [
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "Zoned::now",
        "rand::",
    ];
    let remedy = "take it as an argument: `now` comes with the Snapshot, text from the caller";
    search(
        file,
        "L2",
        &["env", "fs", "net"],
        &words,
        remedy,
        "rules and runbooks are pure",
    )
}

fn silent(file: &File) -> Vec<Finding> {
    let words = ["println!", "eprintln!", "print!(", "eprint!("];
    let remedy = "return it or log it with tracing; only the crate muster prints and reads the environment";
    search(file, "L5", &["env"], &words, remedy, "inside the pipeline")
}

fn search(
    file: &File,
    law: &'static str,
    modules: &[&str],
    words: &[&str],
    remedy: &str,
    why: &str,
) -> Vec<Finding> {
    let lines = file.lines();
    let in_test = |number: usize| lines.get(number - 1).is_some_and(|l| l.test);
    let (_, bare) = strip(&file.text);
    let mut hits: Vec<(usize, String)> = std_modules(&bare)
        .into_iter()
        .filter(|(_, m)| modules.contains(&m.as_str()))
        .map(|(line, m)| (line, format!("std::{m}")))
        .collect();
    for line in &lines {
        let found = words.iter().filter(|w| has(&line.bare, w));
        hits.extend(found.map(|w| (line.number, (*w).to_owned())));
    }
    // A unit test may read a file or print; what the law protects is what runs.
    hits.retain(|(line, _)| !in_test(*line));
    hits.sort();
    hits.dedup();
    hits.into_iter()
        .map(|(line, word)| Finding::new(&file.path, line, law, format!("`{word}`: {why}"), remedy))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laws(path: &str, text: &str) -> Vec<&'static str> {
        check(&Tree::of(&[(path, text)])).iter().map(|f| f.law).collect()
    }

    #[test]
    fn the_model_does_no_io() {
        for text in [
            "use std::fs;",
            "use std::{\n    fmt,\n    net::IpAddr,\n};",
            "std::process::id()",
            "use tokio::x;",
        ] {
            assert_eq!(laws("crates/model/src/a.rs", text), ["L1"], "{text}");
        }
        assert_eq!(
            laws("crates/model/src/a.rs", "//! no std::fs, no tokio\nuse std::fmt;"),
            [""; 0]
        );
    }

    #[test]
    fn rules_and_runbooks_are_pure() {
        for text in [
            "SystemTime::now()",
            "Instant::now()",
            "rand::random()",
            "std::fs::read(x)",
            "Timestamp::now()",
        ] {
            assert_eq!(laws("crates/rules/src/a.rs", text), ["L2"], "{text}");
            assert_eq!(laws("crates/runbooks/src/a.rs", text), ["L2"], "{text}");
        }
        assert_eq!(laws("crates/rules/src/a.rs", "let x = operand::y;"), [""; 0]);
    }

    #[test]
    fn only_muster_speaks() {
        for text in [
            "println!(\"x\");",
            "eprintln!(\"x\");",
            "print!(\"x\");",
            "std::env::var(x)",
            "use std::env;",
        ] {
            assert_eq!(laws("crates/act/src/a.rs", text), ["L5"], "{text}");
            for allowed in [
                "crates/muster/src/a.rs",
                "crates/lab/src/testing.rs",
                "crates/act/tests/it/a.rs",
                "xtask/src/a.rs",
            ] {
                assert_eq!(laws(allowed, text), [""; 0], "{allowed}");
            }
        }
        assert_eq!(
            laws(
                "crates/act/src/a.rs",
                "#[cfg(test)]\nmod tests {\n    println!(x);\n}\n"
            ),
            [""; 0]
        );
    }
}
