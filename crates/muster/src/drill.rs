//! Drills: a runbook practised on a fleet of its own, with four controls and an oracle for harm.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use muster_model::{Field, Kind, Risk, Signature, Type};
use muster_runbooks::tree::{Problems, Tree, parse};

use crate::cli::exit::{CONFIG, Failure};

pub mod blows;
pub mod harness;
pub mod oracle;
pub mod report;
pub mod run;
pub mod trouble;
pub mod truth;

/// The built-in drills: file name and text.
const BUILT_IN: [(&str, &str); 9] = [
    (
        "pool-exhausted.yaml",
        include_str!("../../../drills/pool-exhausted.yaml"),
    ),
    (
        "pool-exhausted-relapse.yaml",
        include_str!("../../../drills/pool-exhausted-relapse.yaml"),
    ),
    (
        "blocking-chain.yaml",
        include_str!("../../../drills/blocking-chain.yaml"),
    ),
    (
        "blocking-chain-relapse.yaml",
        include_str!("../../../drills/blocking-chain-relapse.yaml"),
    ),
    ("ddl-queue.yaml", include_str!("../../../drills/ddl-queue.yaml")),
    (
        "connections-saturated.yaml",
        include_str!("../../../drills/connections-saturated.yaml"),
    ),
    (
        "pool-status.yaml",
        include_str!("../../../drills/pool-status.yaml"),
    ),
    (
        "replica-health.yaml",
        include_str!("../../../drills/replica-health.yaml"),
    ),
    ("evidence.yaml", include_str!("../../../drills/evidence.yaml")),
];

/// How a drill must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Repaired and proven.
    Proven,
    /// A person is called, because it is not cured.
    Escalated,
    /// A read-only runbook reports this verdict.
    Reported(String),
}

/// A fault to inject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSpec {
    /// Which.
    pub name: String,
    /// Parameters.
    pub params: Vec<(String, String)>,
}

/// A look-alike: a fault that this runbook must not treat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookAlike {
    /// The fault.
    pub fault: FaultSpec,
    /// When it is there, by the truth.
    pub manifest: String,
    /// What the runbook must say: a kind, or `nothing`.
    pub named: String,
}

/// A drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drill {
    /// Id; the file's stem.
    pub id: String,
    /// Title.
    pub title: String,
    /// Prose.
    pub about: String,
    /// Runbook that is practised.
    pub runbook: String,
    /// Fault that it treats.
    pub fault: FaultSpec,
    /// CEL over the truth: the fault is there, threshold included.
    pub manifest: String,
    /// How it must end.
    pub expect: Expect,
    /// CEL over the truth: without us it is still there.
    pub persists: String,
    /// What must be declined.
    pub lookalike: LookAlike,
}

impl Drill {
    /// The reference page.
    #[must_use]
    pub fn page(&self) -> String {
        let params = |f: &FaultSpec| {
            f.params
                .iter()
                .map(|(k, v)| format!(" {k}={v}"))
                .collect::<String>()
        };
        let expect = match &self.expect {
            Expect::Proven => "repaired, symptom and cause proven gone".to_owned(),
            Expect::Escalated => "not declared cured; a person is called".to_owned(),
            Expect::Reported(v) => format!("the report says `{v}`"),
        };
        let mut out = format!(
            "# {}\n\n`{}` · practises [`{}`](../runbooks/{}.md)\n\n{}\n\n",
            self.title, self.id, self.runbook, self.runbook, self.about
        );
        let _ = writeln!(out, "| | |\n|---|---|");
        let _ = writeln!(out, "| fault | `{}{}` |", self.fault.name, params(&self.fault));
        let _ = writeln!(out, "| counts from when | `{}` |", self.manifest);
        let _ = writeln!(out, "| must end | {expect} |");
        let _ = writeln!(
            out,
            "| without us, after the same time | still `{}` |",
            self.persists
        );
        let _ = writeln!(out, "| on a healthy fleet | plans no change |");
        let look = &self.lookalike;
        let _ = writeln!(
            out,
            "| look-alike | `{}{}` while `{}`: {} |",
            look.fault.name,
            params(&look.fault),
            look.manifest,
            if look.named == "nothing" {
                "the plan must find nothing to do".to_owned()
            } else {
                format!("must be left alone and named `{}`", look.named)
            }
        );
        let _ = writeln!(
            out,
            "\nHarm that fails it: a lost acknowledged write, a session ended that is not in the plan, a walsender gone, a setting changed."
        );
        out
    }
}

/// All built-in drills.
///
/// # Errors
/// When one is wrong.
pub fn built_in() -> Result<Vec<Drill>, Failure> {
    BUILT_IN.iter().map(|(file, text)| read(file, text)).collect()
}

/// The fields that conditions of drills speak of.
#[must_use]
pub fn truth_signature() -> Signature {
    let outputs = vec![
        Field::new("waiting", Type::Int, "clients that wait at the pooler"),
        Field::new("maxwait", Type::Duration, "longest of these waits"),
        Field::new("lock_waiters", Type::Int, "sessions that wait for a lock"),
        Field::new("lock_wait", Type::Duration, "longest of these waits"),
        Field::new(
            "running",
            Type::Int,
            "sessions that have run a statement for more than 1 s",
        ),
        Field::new(
            "connections_percent",
            Type::Float,
            "client sessions against usable slots",
        ),
        Field::new("streaming", Type::Int, "standbys that stream"),
        Field::new("paused", Type::Int, "standbys whose replay is paused"),
    ];
    Signature {
        name: "truth".to_owned(),
        kind: Kind::Probe,
        risk: Risk::Read,
        about: "What is really so, read as superuser and at the console, not by the code under test."
            .to_owned(),
        params: Vec::new(),
        outputs,
        target: None,
        undo: None,
    }
}

/// Reads a drill file.
///
/// # Errors
/// Its first problem.
pub fn read(file: &str, text: &str) -> Result<Drill, Failure> {
    let wrong =
        |p: &muster_runbooks::Problem| Failure::new(CONFIG, p.to_string(), "see docs/concepts/drills.md");
    let tree = parse(file, text).map_err(|p| wrong(&p))?;
    let mut problems = Problems::new(file);
    const KEYS: [&str; 10] = [
        "schema",
        "id",
        "title",
        "about",
        "runbook",
        "fault",
        "manifest",
        "expect",
        "persists",
        "lookalike",
    ];
    problems.map(&tree, "the drill", &KEYS);
    for key in KEYS {
        if tree.get(key).is_none() {
            problems.error("missing-key", tree.at(), format!("`{key}` is missing"), None);
        }
    }
    if let Some(first) = problems.found.first() {
        return Err(wrong(first));
    }
    let mut text_of = |key: &str| {
        tree.get(key)
            .and_then(|t| problems.text(t, key))
            .unwrap_or_default()
    };
    let (id, title, about) = (text_of("id"), text_of("title"), text_of("about"));
    let (runbook, manifest, persists, expect) = (
        text_of("runbook"),
        text_of("manifest"),
        text_of("persists"),
        text_of("expect"),
    );
    let fault = fault(&mut problems, tree.get("fault"), &["name", "params"]);
    let look = tree.get("lookalike");
    let lookalike = LookAlike {
        fault: fault_of(&mut problems, look),
        manifest: look
            .and_then(|l| l.get("manifest"))
            .and_then(Tree::text)
            .unwrap_or_default()
            .to_owned(),
        named: look
            .and_then(|l| l.get("named"))
            .and_then(Tree::text)
            .unwrap_or_default()
            .to_owned(),
    };
    let expected = match expect.as_str() {
        "proven" => Some(Expect::Proven),
        "escalated" => Some(Expect::Escalated),
        other => other
            .strip_prefix("reported: ")
            .map(|v| Expect::Reported(v.to_owned())),
    };
    let at = |key: &str| tree.get(key).map_or(tree.at(), Tree::at);
    if expected.is_none() {
        let help = Some("one of: proven, escalated, `reported: VERDICT`".to_owned());
        problems.error(
            "expect",
            at("expect"),
            format!("unknown `expect: {expect}`"),
            help,
        );
    }
    let truth = truth_signature();
    for (key, condition) in [
        ("manifest", &manifest),
        ("persists", &persists),
        ("lookalike", &lookalike.manifest),
    ] {
        if let Err(f) = muster_runbooks::cel::lint(condition, &truth) {
            problems.error(f.rule, at(key), f.message, f.help);
        }
    }
    for f in [&fault, &lookalike.fault] {
        if !muster_lab::faults::ALL.iter().any(|k| k.name == f.name) {
            problems.error(
                "fault",
                at("fault"),
                format!("there is no fault `{}`", f.name),
                None,
            );
        }
    }
    if std::path::Path::new(file)
        .file_stem()
        .is_none_or(|stem| stem != id.as_str())
    {
        problems.error(
            "id",
            at("id"),
            format!("the id is `{id}`, but the file is `{file}`"),
            None,
        );
    }
    match (problems.found.first(), expected) {
        (None, Some(expect)) => Ok(Drill {
            id,
            title,
            about,
            runbook,
            fault,
            manifest,
            expect,
            persists,
            lookalike,
        }),
        (Some(first), _) => Err(wrong(first)),
        (None, None) => Err(Failure::new(CONFIG, format!("{file} is not a drill"), "")),
    }
}

fn fault_of(problems: &mut Problems, tree: Option<&Tree>) -> FaultSpec {
    fault(problems, tree, &["name", "params", "manifest", "named"])
}

fn fault(problems: &mut Problems, tree: Option<&Tree>, keys: &[&str]) -> FaultSpec {
    let mut spec = FaultSpec {
        name: String::new(),
        params: Vec::new(),
    };
    let Some(tree) = tree else { return spec };
    problems.map(tree, "the fault", keys);
    spec.name = tree
        .get("name")
        .and_then(Tree::text)
        .unwrap_or_default()
        .to_owned();
    if let Some(Tree::Map { entries, .. }) = tree.get("params") {
        let all: BTreeMap<String, String> = entries
            .iter()
            .map(|(k, _, v)| (k.clone(), v.text().unwrap_or_default().to_owned()))
            .collect();
        spec.params = all.into_iter().collect();
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_drills_are_right_and_every_runbook_has_one() {
        let drills = built_in().expect("right");
        for (file, _) in crate::app::BUILT_IN {
            let id = file.trim_end_matches(".yaml");
            assert!(drills.iter().any(|d| d.runbook == id), "{id} has no drill");
        }
    }

    #[test]
    fn a_wrong_drill_is_named_with_its_place() {
        let text = BUILT_IN[0]
            .1
            .replace("waiting > 0 && maxwait", "waitin > 0 && maxwait");
        let said = read("pool-exhausted.yaml", &text).expect_err("wrong").message;
        assert!(
            said.contains("pool-exhausted.yaml:7") && said.contains("waitin"),
            "{said}"
        );
    }
}
