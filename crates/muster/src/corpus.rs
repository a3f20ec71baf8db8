//! The incident corpus: faults, look-alikes and healthy noise, each with the cause that must be named.
//!
//! Knows the files of `corpus/`. What plays them is `bench diagnosis`, and CI plays them too. A case is data: a fault of the
//! lab or a script, what must be named and merged, and what must not be named at all.

use std::collections::BTreeMap;
use std::path::Path;

use muster_lab::fleet::User;
use muster_lab::script::{ConfFile, Place, Script, Step};
use muster_lab::server::How;
use muster_model::{Span, Thresholds};
use muster_runbooks::tree::parse;
use serde::Deserialize;

/// What a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// A fault with one cause.
    Fault,
    /// Several faults at once.
    Composite,
    /// What looks like a fault and is another, or none.
    Lookalike,
    /// Healthy, and noisy.
    Healthy,
}

/// The fleet that a case needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shape {
    /// Standbys.
    pub standbys: u8,
    /// A PgBouncer.
    pub pooler: bool,
    /// A Redis.
    pub cache: bool,
    /// `max_connections`; 0 stands for 100.
    pub max_connections: u32,
}

/// A fault that the lab knows by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Which.
    pub name: String,
    /// Its parameters.
    #[serde(default)]
    pub params: BTreeMap<String, serde_json::Value>,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Id, kebab-case.
    pub id: String,
    /// What happens, in a sentence.
    pub about: String,
    /// What it is.
    pub sort: Sort,
    /// Its fleet.
    #[serde(default)]
    pub fleet: Shape,
    /// PostgreSQL majors that it can be played on; empty stands for all.
    #[serde(default)]
    pub majors: Vec<u32>,
    /// Thresholds that are shortened, because nobody waits ten minutes for a long transaction.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// A fault of the lab.
    pub fault: Option<Named>,
    /// Steps before the watching begins.
    #[serde(default)]
    prepare: Vec<RawStep>,
    /// Steps of a script.
    #[serde(default)]
    script: Vec<RawStep>,
    /// Steps that undo it.
    #[serde(default)]
    undo: Vec<RawStep>,
    /// Causes that must be named, the first of all first; none for what must open nothing.
    #[serde(default)]
    pub causes: Vec<String>,
    /// Kinds that must be merged under a cause.
    #[serde(default)]
    pub symptoms: Vec<String>,
    /// Kinds that may stand beside them as findings of their own: they are true.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Kinds that must not be found at all.
    #[serde(default)]
    pub never: Vec<String>,
    /// The cause must be named within this, at the default cadence.
    #[serde(default = "soon")]
    pub within: Span,
}

fn soon() -> Span {
    Span::from_secs(5)
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    sql: Option<String>,
    sessions: Option<String>,
    console: Option<String>,
    cache: Option<Vec<String>>,
    conf: Option<String>,
    hba: Option<String>,
    auto: Option<String>,
    fail_start: Option<String>,
    lock_file: Option<String>,
    crash: Option<String>,
    guess: Option<String>,
    damage: Option<String>,
    cache_clients: Option<u32>,
    reload: Option<String>,
    restart: Option<String>,
    stop: Option<String>,
    kill: Option<String>,
    freeze: Option<String>,
    wait: Option<Span>,
    #[serde(default)]
    run: Vec<String>,
    #[serde(default = "one")]
    times: u32,
    every: Option<Span>,
    #[serde(default = "primary")]
    on: String,
    #[serde(default = "app", rename = "as")]
    user: String,
    #[serde(default = "app", rename = "in")]
    database: String,
}

fn one() -> u32 {
    1
}

fn primary() -> String {
    "a".to_owned()
}

fn app() -> String {
    "app".to_owned()
}

impl Case {
    /// Its script.
    ///
    /// # Errors
    /// When a step is none, or two.
    pub fn script(&self) -> Result<Script, String> {
        Ok(Script {
            steps: self.script.iter().map(step).collect::<Result<_, _>>()?,
            undo: self.undo.iter().map(step).collect::<Result<_, _>>()?,
        })
    }

    /// What is done before the watching begins.
    ///
    /// # Errors
    /// When a step is none, or two.
    pub fn prepare(&self) -> Result<Vec<Step>, String> {
        self.prepare.iter().map(step).collect()
    }

    /// Whether it can be played on a major version.
    #[must_use]
    pub fn plays_on(&self, major: u32) -> bool {
        self.majors.is_empty() || self.majors.contains(&major)
    }
}

fn step(raw: &RawStep) -> Result<Step, String> {
    let user = User::ALL
        .into_iter()
        .find(|u| u.name() == raw.user)
        .ok_or_else(|| format!("there is no user `{}`", raw.user))?;
    let place = || Place {
        server: raw.on.clone(),
        user,
        database: raw.database.clone(),
    };
    let mut found = Vec::new();
    if let Some(text) = &raw.sql {
        found.push(Step::Sql {
            place: place(),
            text: text.clone(),
        });
    }
    if let Some(name) = &raw.sessions {
        found.push(Step::Sessions {
            place: place(),
            name: name.clone(),
            run: raw.run.clone(),
            times: raw.times,
            every: raw.every,
        });
    }
    found.extend(raw.console.clone().map(Step::Console));
    found.extend(raw.cache.clone().map(Step::Cache));
    let files = [
        (&raw.conf, ConfFile::Settings),
        (&raw.hba, ConfFile::Access),
        (&raw.auto, ConfFile::System),
    ];
    for (lines, file) in files {
        found.extend(lines.clone().map(|lines| Step::Append {
            server: raw.on.clone(),
            file,
            lines,
        }));
    }
    found.extend(raw.reload.clone().map(Step::Reload));
    found.extend(raw.restart.clone().map(Step::Restart));
    found.extend(raw.stop.clone().map(|s| Step::Stop(s, How::Fast)));
    found.extend(raw.kill.clone().map(|s| Step::Stop(s, How::Kill)));
    found.extend(raw.fail_start.clone().map(Step::FailStart));
    found.extend(raw.lock_file.clone().map(Step::LockFile));
    found.extend(raw.freeze.clone().map(Step::Freeze));
    found.extend(raw.crash.clone().map(|name| Step::Crash(place(), name)));
    found.extend(raw.guess.clone().map(|user| Step::Guess {
        server: raw.on.clone(),
        user,
        times: raw.times,
        every: raw.every.unwrap_or(Span::from_millis(50)),
    }));
    found.extend(raw.damage.clone().map(|table| Step::Damage {
        place: place(),
        table,
    }));
    found.extend(raw.cache_clients.map(Step::CacheClients));
    found.extend(raw.wait.map(Step::Wait));
    let count = found.len();
    match found.pop() {
        Some(step) if count == 1 => Ok(step),
        _ => Err(format!("a step must do one thing, not {count}: {raw:?}")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    cases: Vec<Case>,
}

/// Reads all cases of a folder, in the order of files and of cases in them.
///
/// # Errors
/// What is wrong, with the file.
pub fn read(dir: &Path) -> Result<Vec<Case>, String> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .map_err(|e| format!("{}: {e}", dir.display()))?
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|x| x == "yaml"))
        .collect();
    files.sort();
    let mut out: Vec<Case> = Vec::new();
    for path in files {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
        let tree = parse(&name, &text).map_err(|p| p.to_string())?;
        let file: File = serde_json::from_value(tree.json()).map_err(|e| format!("{name}: {e}"))?;
        if file.schema != "muster.corpus/1" {
            return Err(format!(
                "{name}: its schema is `{}`, not muster.corpus/1",
                file.schema
            ));
        }
        for case in file.cases {
            let wrong = |why: String| format!("{name}: case {}: {why}", case.id);
            case.script().map_err(wrong)?;
            case.prepare().map_err(wrong)?;
            if let Err(wrong) = muster_rules::check_overrides(&case.thresholds) {
                return Err(format!("{name}: case {}: {}", case.id, wrong.join("; ")));
            }
            let kinds: Vec<&str> = muster_rules::catalogue().iter().map(|r| r.kind).collect();
            let all = case
                .causes
                .iter()
                .chain(&case.symptoms)
                .chain(&case.allow)
                .chain(&case.never);
            if let Some(none) = all.clone().find(|k| !kinds.contains(&k.as_str())) {
                return Err(wrong(format!("there is no kind `{none}`")));
            }
            let opens = matches!(case.sort, Sort::Fault | Sort::Composite);
            if opens && case.causes.is_empty() {
                return Err(wrong("a fault has a cause".to_owned()));
            }
            if case.sort == Sort::Healthy && !case.causes.is_empty() {
                return Err(wrong("what is healthy has no cause".to_owned()));
            }
            if out.iter().any(|c| c.id == case.id) {
                return Err(wrong("its id is taken".to_owned()));
            }
            out.push(case);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_reads_and_names_kinds_that_there_are() {
        let cases = read(Path::new("../../corpus")).expect("the corpus reads");
        let of = |sorts: &[Sort]| cases.iter().filter(|c| sorts.contains(&c.sort)).count();
        assert!(of(&[Sort::Fault]) >= 60 && of(&[Sort::Composite]) >= 5);
        assert!(of(&[Sort::Lookalike, Sort::Healthy]) >= 20);
        let kinds: BTreeSet<&String> = cases.iter().flat_map(|c| &c.causes).collect();
        assert!(kinds.len() >= 45, "{} kinds have a fault", kinds.len());
    }

    #[test]
    fn a_step_does_one_thing() {
        let raw: RawStep =
            serde_json::from_value(serde_json::json!({"sql": "SELECT 1", "reload": "a"})).expect("reads");
        assert!(step(&raw).is_err());
    }
}
