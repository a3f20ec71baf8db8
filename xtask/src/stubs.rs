//! `xtask new-…`: the first version of a file of each kind, and what to wire next.
//!
//! Refuses to overwrite, and to edit another file: wiring is one line, and a person should see where.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

/// What can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Collector,
    Rule,
    Probe,
    Action,
    Runbook,
    Drill,
}

impl Kind {
    /// From the word after `new-`.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word {
            "collector" => Some(Self::Collector),
            "rule" => Some(Self::Rule),
            "probe" => Some(Self::Probe),
            "action" => Some(Self::Action),
            "runbook" => Some(Self::Runbook),
            "drill" => Some(Self::Drill),
            _ => None,
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Collector => include_str!("../templates/collector.rs.txt"),
            Self::Rule => include_str!("../templates/rule.rs.txt"),
            Self::Probe => include_str!("../templates/probe.rs.txt"),
            Self::Action => include_str!("../templates/action.rs.txt"),
            Self::Runbook => include_str!("../templates/runbook.yaml.txt"),
            Self::Drill => include_str!("../templates/drill.yaml.txt"),
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Collector => "replication_slots",
            Self::Rule => "pool.exhausted",
            Self::Probe => "pg.blocking",
            Self::Action => "pg.terminate_backend",
            Self::Runbook | Self::Drill => "pool-exhausted",
        }
    }

    fn fits(self, name: &str) -> bool {
        let word = |w: &str, also: char| {
            w.starts_with(|c: char| c.is_ascii_lowercase())
                && w.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == also)
        };
        match self {
            Self::Collector => word(name, '_'),
            // The page's name is the file's with its first `_` as a dot, so the first word has none.
            Self::Rule => name
                .split_once('.')
                .is_some_and(|(a, b)| word(a, '0') && word(b, '_')),
            Self::Probe | Self::Action => name
                .split_once('.')
                .is_some_and(|(a, b)| word(a, '_') && word(b, '_')),
            Self::Runbook | Self::Drill => word(name, '-'),
        }
    }

    fn path(self, name: &str) -> String {
        let last = name.rsplit('.').next().unwrap_or(name);
        match self {
            Self::Collector => format!("crates/observe/src/collectors/{name}.rs"),
            Self::Rule => format!("crates/rules/src/rules/{}.rs", name.replace('.', "_")),
            Self::Probe => format!("crates/act/src/probes/{last}.rs"),
            Self::Action => format!("crates/act/src/actions/{last}.rs"),
            Self::Runbook => format!("runbooks/{name}.yaml"),
            Self::Drill => format!("drills/{name}.yaml"),
        }
    }

    fn next(self, name: &str) -> Vec<String> {
        let last = name.rsplit('.').next().unwrap_or(name);
        let mut steps: Vec<String> = match self {
            Self::Collector => vec![
                format!("crates/observe/src/collectors.rs: `pub mod {name};` and `{name}::INFO` in `all()`"),
                "crates/model/src/snapshot/: the type of what it reads, and its place in the Snapshot".to_owned(),
                "crates/observe/src/pass.rs: call it, and turn an error into a Gap".to_owned(),
                "crates/observe/tests/it/: a test on a real server".to_owned(),
            ],
            Self::Rule => {
                let module = name.replace('.', "_");
                vec![
                    format!("crates/rules/src/rules.rs: `mod {module};`, `{module}::INFO` in `catalogue()`"),
                    "in its own file: its specimen and its look-alike, a test that it finds, one that it stays quiet, one that it says unknown".to_owned(),
                    "crates/rules/src/correlate.rs: which cause explains it, or which symptoms it explains".to_owned(),
                ]
            }
            Self::Probe => vec![
                format!("crates/act/src/probes.rs: `pub mod {last};`"),
                "crates/act/src/lib.rs: add it to the catalogue".to_owned(),
                "crates/act/tests/it/: a test on a real server".to_owned(),
            ],
            Self::Action => vec![
                format!("crates/act/src/actions.rs: `pub mod {last};`"),
                "crates/act/src/lib.rs: add it to the catalogue".to_owned(),
                "crates/act/src/exclude.rs: what it must never be done to".to_owned(),
                "crates/act/tests/it/: the four proofs: it succeeds, twice is harmless, a failure at each point undoes or \
                 stops in a named state, undo twice is harmless"
                    .to_owned(),
            ],
            Self::Runbook => vec![
                format!("`muster runbook lint runbooks/{name}.yaml` must say nothing"),
                "crates/muster/src/app.rs: its line in `BUILT_IN`".to_owned(),
                "`cargo xtask new-drill NAME`: every runbook has a drill".to_owned(),
            ],
            Self::Drill => vec![
                "crates/lab/src/faults/: the fault, when the lab does not have it yet".to_owned(),
                "crates/muster/src/drill.rs: its line in `BUILT_IN`".to_owned(),
                format!("`muster drill {name} --only`"),
            ],
        };
        steps.push("`cargo xtask docs`, then `cargo xtask tidy`".to_owned());
        steps
    }
}

/// `xtask new-KIND NAME`.
pub(crate) fn command(root: &Path, kind: Kind, args: &[String]) -> Result<ExitCode> {
    let [name] = args else {
        bail!("give one name, such as `{}`", kind.example());
    };
    let path = write(root, kind, name)?;
    println!("wrote {path}\nnext:");
    for step in kind.next(name) {
        println!("  - {step}");
    }
    Ok(ExitCode::SUCCESS)
}

fn write(root: &Path, kind: Kind, name: &str) -> Result<String> {
    if !kind.fits(name) {
        bail!(
            "`{name}` does not fit; a name here looks like `{}`",
            kind.example()
        );
    }
    let path = kind.path(name);
    let full = root.join(&path);
    if let Some(folder) = full.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = kind
        .template()
        .replace("__NAME__", name)
        .replace("__TYPE__", &type_name(name));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&full)
        .with_context(|| format!("{path} was not written (what is there is never overwritten)"))?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(path)
}

/// `pg.idle_sessions` → `IdleSessions`.
fn type_name(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.split(['_', '-'])
        .map(|word| {
            let mut chars = word.chars();
            chars
                .next()
                .map_or(String::new(), |c| c.to_uppercase().chain(chars).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Kind, &str); 6] = [
        (
            Kind::Collector,
            "crates/observe/src/collectors/replication_slots.rs",
        ),
        (Kind::Rule, "crates/rules/src/rules/pool_exhausted.rs"),
        (Kind::Probe, "crates/act/src/probes/blocking.rs"),
        (Kind::Action, "crates/act/src/actions/terminate_backend.rs"),
        (Kind::Runbook, "runbooks/pool-exhausted.yaml"),
        (Kind::Drill, "drills/pool-exhausted.yaml"),
    ];

    #[test]
    fn each_kind_is_written_once_and_never_over_another() {
        let root = std::env::temp_dir().join(format!("muster-xtask-stubs-{}", std::process::id()));
        let results: Vec<_> = ALL
            .iter()
            .map(|(kind, path)| {
                let first = write(&root, *kind, kind.example());
                let text = std::fs::read_to_string(root.join(path));
                (path, first, text, write(&root, *kind, kind.example()))
            })
            .collect();
        std::fs::remove_dir_all(&root).expect("ours to remove");
        for (path, first, text, second) in results {
            assert_eq!(first.expect("written"), **path);
            let text = text.expect("it is there");
            assert!(!text.contains("__"), "{path}: a placeholder is left");
            assert!(
                second
                    .expect_err("refused")
                    .to_string()
                    .contains("never overwritten")
            );
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in ["../x", "a/b", "", "A.b", "a b", ".b", "1.x"] {
            for (kind, _) in ALL {
                assert!(!kind.fits(name), "{kind:?} {name}");
            }
        }
        assert!(!Kind::Rule.fits("two_words.x") && !Kind::Probe.fits("blocking"));
    }

    #[test]
    fn types_are_named_after_the_last_part() {
        assert_eq!(type_name("pg.idle_sessions"), "IdleSessions");
        assert_eq!(type_name("cache"), "Cache");
    }
}
