//! Everything put together over one config and one state: estate, catalogue, runbooks, engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use muster_act::{Protected, SharedKit, Surveys};
use muster_engine::clock::{Clock, SystemClock};
use muster_engine::lease::Held;
use muster_engine::state::{StateDir, StateError};
use muster_engine::{Catalogue, ClusterRules, Engine, EngineError, Event, Known, Leases, Place};
use muster_model::{Finding, Protect, Record, Remedy, Signature, digest_of};
use muster_reach::{Estate, Limits};
use muster_runbooks::{Library, Problem, Runbook, Shelved};

use crate::config::Resolved;

/// The built-in runbooks: file name and text.
pub const BUILT_IN: [(&str, &str); 6] = [
    (
        "pool-exhausted.yaml",
        include_str!("../../../runbooks/pool-exhausted.yaml"),
    ),
    (
        "pool-status.yaml",
        include_str!("../../../runbooks/pool-status.yaml"),
    ),
    (
        "connections-saturated.yaml",
        include_str!("../../../runbooks/connections-saturated.yaml"),
    ),
    (
        "blocking-chain.yaml",
        include_str!("../../../runbooks/blocking-chain.yaml"),
    ),
    (
        "replica-health.yaml",
        include_str!("../../../runbooks/replica-health.yaml"),
    ),
    ("evidence.yaml", include_str!("../../../runbooks/evidence.yaml")),
];

/// Why the program could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A runbook is wrong.
    #[error("{}", first(&.0.iter().map(ToString::to_string).collect::<Vec<_>>()))]
    Runbooks(Vec<Problem>),
    /// The config names runbooks that there are not.
    #[error("{}", first(&.0.iter().map(ToString::to_string).collect::<Vec<_>>()))]
    Config(Vec<Problem>),
    /// Runbooks do not fit together.
    #[error("{}", first(.0))]
    Library(Vec<String>),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its journal.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Everything over one config and one state.
pub struct App {
    /// The config, as last accepted.
    pub config: RwLock<Arc<Resolved>>,
    /// What is reached.
    pub estate: Arc<Estate>,
    /// Runbooks.
    pub library: RwLock<Arc<Library>>,
    /// The engine.
    pub engine: Engine,
    /// The owned state folder.
    pub state: StateDir,
    /// Who may not be touched; the actions look at it again before each effect.
    pub protect: Protected,
    /// What a bundle of evidence takes.
    pub kit: SharedKit,
}

impl App {
    /// Takes the state and puts everything together.
    ///
    /// # Errors
    /// When the state is in use or a runbook is wrong.
    pub async fn open(config: Resolved) -> Result<Arc<Self>, AppError> {
        Self::open_around(config, |code| code, Arc::new(SystemClock)).await
    }

    /// As [`App::open`], with something put around probes and actions, and another clock.
    ///
    /// # Errors
    /// As [`App::open`].
    pub async fn open_around(
        config: Resolved,
        around: impl FnOnce(Catalogue) -> Catalogue,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, AppError> {
        let owned = StateDir::own(&config.state_dir, config.lease_ttl).await?;
        Self::kept(config, owned, around, clock).await
    }

    /// As [`App::open`], and also in the place of a process that is stopped or hangs.
    ///
    /// # Errors
    /// While the state is in use, or when a runbook is wrong.
    pub async fn stand_in(config: Resolved) -> Result<Arc<Self>, AppError> {
        let owned = StateDir::stand_in(&config.state_dir, config.lease_ttl).await?;
        Self::kept(config, owned, |code| code, Arc::new(SystemClock)).await
    }

    /// As [`App::over`]; what cannot be used is given back, so that the next try does not wait for its end.
    async fn kept(
        config: Resolved,
        owned: (StateDir, Leases, Arc<Held>),
        around: impl FnOnce(Catalogue) -> Catalogue,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, AppError> {
        let held = owned.2.clone();
        match Self::over(config, owned, around, clock) {
            Ok(app) => Ok(app),
            Err(e) => {
                held.end().await;
                Err(e)
            }
        }
    }

    fn over(
        config: Resolved,
        owned: (StateDir, Leases, Arc<Held>),
        around: impl FnOnce(Catalogue) -> Catalogue,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, AppError> {
        let (state, leases, held) = owned;
        let library = library(&config)?;
        let journal = state.journal()?;
        let estate = Estate::new(
            config.clusters.iter().map(|c| c.reach.clone()).collect(),
            &Limits::default(),
        );
        let protect = Protected::default();
        *lock(&protect) = protected(&config);
        let kit = SharedKit::new(RwLock::new(Arc::new(crate::evidence::kit(&config))));
        let catalogue = around(muster_act::catalogue(&estate, protect.clone(), kit.clone()));
        let practice = config
            .clusters
            .iter()
            .filter(|c| c.practice)
            .map(|c| c.reach.name.clone())
            .collect();
        let surveys = Arc::new(Surveys::new(estate.clone(), practice));
        let engine = Engine::new(
            journal,
            catalogue,
            clock,
            surveys,
            rules(&config, &library),
            leases,
            Some(held.clone()),
        );
        if let Some(from) = state.taken_from.clone() {
            // The first word: it raises the fence, so that who had it before cannot write any more.
            let lease = held.lease();
            let event = Event::LeaseTaken {
                lease: lease.key,
                epoch: lease.epoch,
                from,
            };
            engine.append(muster_engine::journal::DAEMON, &Place::default(), event)?;
        }
        Ok(Arc::new(Self {
            config: RwLock::new(Arc::new(config)),
            estate,
            library: RwLock::new(Arc::new(library)),
            engine,
            state,
            protect,
            kit,
        }))
    }

    /// The config, as last accepted.
    #[must_use]
    pub fn config(&self) -> Arc<Resolved> {
        self.config
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// The runbooks, as last accepted.
    #[must_use]
    pub fn library(&self) -> Arc<Library> {
        self.library
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Takes over a new config. Policy, `protect`, thresholds, windows and runbooks change at once; the rest needs a restart:
    /// until then the clusters are those that are really watched, where they are.
    ///
    /// # Errors
    /// When its runbooks are wrong; then nothing changes.
    pub fn reload(&self, mut config: Resolved) -> Result<Vec<String>, AppError> {
        let library = library(&config)?;
        let mut notes = Vec::new();
        let fixed = |c: &Resolved| {
            let clusters: Vec<String> = c
                .clusters
                .iter()
                .map(|c| format!("{:?} {}", c.reach, c.practice))
                .collect();
            (
                clusters,
                c.listen,
                c.state_dir.clone(),
                format!("{:?}", c.cadence),
            )
        };
        if fixed(&config) != fixed(&self.config()) {
            notes.push(
                "changes of clusters, logins, `listen`, `state_dir`, `drill` and `collect` need a restart"
                    .to_owned(),
            );
        }
        let watched = self.config();
        let of = |old: &crate::config::ClusterSettings| match config.cluster(&old.reach.name) {
            Some(new) => crate::config::ClusterSettings {
                reach: old.reach.clone(),
                practice: old.practice,
                ..new.clone()
            },
            // It is looked at until the restart, and nothing is proposed or done there any more.
            None => crate::config::ClusterSettings {
                autopilot: muster_model::Autopilot::Observe,
                ..old.clone()
            },
        };
        config.clusters = watched.clusters.iter().map(of).collect();
        *lock(&self.protect) = protected(&config);
        *self
            .kit
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(crate::evidence::kit(&config));
        self.engine.reload(rules(&config, &library));
        *self
            .library
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(library);
        *self
            .config
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(config);
        Ok(notes)
    }

    /// Fills in which runbook answers each finding.
    pub fn remedies(&self, findings: &mut [Finding]) {
        let library = self.library();
        for f in findings {
            f.remedy = library.answers(&f.kind).map(|r| Remedy {
                runbook: r.id.clone(),
            });
        }
    }

    /// Signatures of all code.
    #[must_use]
    pub fn signatures(&self) -> Vec<Signature> {
        self.engine.catalogue().signatures()
    }

    /// Path of a file in the state folder.
    #[must_use]
    pub fn state_file(&self, name: &str) -> PathBuf {
        self.state.path.join(name)
    }
}

/// Built-in runbooks, then the user's folders.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn library(config: &Resolved) -> Result<Library, AppError> {
    let signatures = muster_act::signatures();
    let mut library = Library::default();
    let mut problems = Vec::new();
    let mut add = |file: &str, text: &str| match muster_runbooks::check(file, text, &signatures) {
        Ok(runbook) => library.add(runbook, file, text),
        Err(found) => problems.extend(found),
    };
    for (file, text) in BUILT_IN {
        add(&format!("runbooks/{file}"), text);
    }
    for folder in &config.runbooks {
        for path in yaml_files(folder) {
            match std::fs::read_to_string(&path) {
                Ok(text) => add(&path.display().to_string(), &text),
                Err(e) => tracing::warn!("{}: {e}", path.display()),
            }
        }
    }
    if !problems.is_empty() {
        return Err(AppError::Runbooks(problems));
    }
    library.check().map_err(AppError::Library)?;
    let unknown = unknown(config, &library);
    if !unknown.is_empty() {
        return Err(AppError::Config(unknown));
    }
    Ok(library)
}

/// What the config names and no shelf has: a rule for a runbook that is called otherwise would guard nothing.
fn unknown(config: &Resolved, library: &Library) -> Vec<Problem> {
    let known: Vec<&str> = library.iter().map(|s| s.runbook.id.as_str()).collect();
    let missing = config.named.iter().filter(|n| !known.contains(&n.id.as_str()));
    missing
        .map(|n| Problem {
            rule: "unknown-runbook",
            level: muster_runbooks::Level::Error,
            file: config.file.display().to_string(),
            line: n.at.line,
            column: n.at.column,
            message: format!("`{}` names the runbook `{}`, which there is not", n.key, n.id),
            help: muster_runbooks::problem::did_you_mean(&n.id, known.iter().copied())
                .or_else(|| Some(format!("there are: {}", known.join(", ")))),
        })
        .collect()
}

fn lock(protect: &Protected) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Protect>> {
    protect.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn protected(config: &Resolved) -> BTreeMap<String, Protect> {
    let of = |c: &crate::config::ClusterSettings| (c.reach.name.clone(), c.protect.clone());
    config.clusters.iter().map(of).collect()
}

/// The first of many, as one line.
fn first(all: &[String]) -> String {
    let more = if all.len() > 1 {
        format!(" (and {} more)", all.len() - 1)
    } else {
        String::new()
    };
    format!("{}{more}", all.first().map_or("", String::as_str))
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(dir) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = dir
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|x| x == "yaml" || x == "yml"))
        .collect();
    files.sort();
    files
}

fn rules(config: &Resolved, library: &Library) -> BTreeMap<String, ClusterRules> {
    let runbooks: BTreeMap<String, Known> = library.iter().map(known).collect();
    let rule = |c: &crate::config::ClusterSettings| ClusterRules {
        policy: config.policy.clone(),
        autopilot: c.autopilot,
        settings_digest: digest_of(&c.thresholds),
        runbooks: runbooks.clone(),
        windows: c.windows.clone(),
    };
    config
        .clusters
        .iter()
        .map(|c| (c.reach.name.clone(), rule(c)))
        .collect()
}

/// A runbook as it is now, and who wrote its file: the file's owner, where it is not one of ours and not root's.
fn known(shelved: &Shelved) -> (String, Known) {
    use std::os::unix::fs::MetadataExt;
    let built_in = shelved.file.starts_with("runbooks/");
    let owner = std::fs::metadata(&shelved.file)
        .ok()
        .map(|m| m.uid())
        .filter(|uid| !built_in && *uid != 0);
    let known = Known {
        digest: shelved.runbook.digest.clone(),
        // Also who has no name here (a directory may know it): the door calls them by the same word.
        editor: owner.map(crate::daemon::serve::user_or_id),
    };
    (shelved.runbook.id.clone(), known)
}

/// Parameters of a runbook, by default.
///
/// # Errors
/// When one has no default.
pub fn default_params(runbook: &Runbook) -> Result<Record, String> {
    muster_runbooks::params(runbook, &BTreeMap::new()).map_err(|p| p.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory may know them, or the number was given to nobody: they may not approve what they wrote, whatever they are called.
    #[test]
    fn who_wrote_a_runbook_is_known_also_without_a_name() {
        use std::os::unix::fs::{MetadataExt, chown};
        let dir = tempfile::tempdir().expect("dir");
        let (name, text) = BUILT_IN[0];
        let file = dir.path().join(name);
        std::fs::write(&file, text).expect("writes");
        let mut uid = std::fs::metadata(&file).expect("is there").uid();
        if uid == 0 {
            uid = 4_000_000;
            chown(&file, Some(uid), None).expect("root may");
        }
        let path = file.display().to_string();
        let mut library = Library::default();
        let book = muster_runbooks::check(&path, text, &muster_act::signatures()).expect("a good one");
        library.add(book, &path, text);
        let editor = library.iter().map(known).find_map(|(_, k)| k.editor);
        assert_eq!(editor, Some(crate::daemon::serve::user_or_id(uid)));
        assert_eq!(crate::daemon::serve::user_or_id(4_000_000), "4000000");
    }
}
