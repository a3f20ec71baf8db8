//! `muster.yaml`: raw text to resolved settings, every value with where it came from.
//!
//! Knows keys, files and the environment that it is handed. Connects to nothing; [`check`] does that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_engine::schedule::Schedule;
use muster_model::{Autopilot, Policy, Protect, Span, Thresholds, Window};
use muster_observe::Cadence;
use muster_reach::ClusterConfig;
use muster_runbooks::tree::At;

use crate::notify::Notify;

pub mod check;
mod read;
pub mod schema;

pub use muster_runbooks::Problem;
pub use read::load;

/// One cluster.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// How it is reached.
    pub reach: ClusterConfig,
    /// Who starts runs.
    pub autopilot: Autopilot,
    /// What is never touched.
    pub protect: Protect,
    /// Whether it is a practice fleet.
    pub practice: bool,
    /// When it may be changed; none means always.
    pub windows: Vec<Window>,
    /// Thresholds, defaults and overrides.
    pub thresholds: Thresholds,
}

/// What an alert from outside leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Runbook.
    pub runbook: String,
    /// Label of the alert that names the target; without it there must be one cluster only.
    pub label: Option<String>,
}

/// A place outside the state for heads of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// A file that is only appended to, best on another machine.
    File(PathBuf),
    /// The system's log.
    Syslog,
    /// A channel of `notify` of the kind webhook.
    Channel(String),
}

/// What goes into a bundle of evidence beside what is read of the targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceSettings {
    /// The folder in which each bundle gets a folder.
    pub out: PathBuf,
    /// Variables of the environment whose values are shown; `*` at the end stands for any rest.
    pub environment: Vec<String>,
    /// Commands whose output is kept.
    pub commands: Vec<muster_observe::bundle::Command>,
}

/// Where a value came from, for `config show`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    /// Key, such as `clusters.shop.servers.a.url`.
    pub key: String,
    /// Value, secrets left out.
    pub value: String,
    /// `default`, `muster.yaml:7` or `MUSTER_LISTEN`.
    pub origin: String,
}

/// A runbook that the config names: whether there is one of that name is known when the shelf is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The key that names it, such as `triggers.PoolFull`.
    pub key: String,
    /// Its id.
    pub id: String,
    /// Where.
    pub at: At,
}

/// Everything, resolved.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The file.
    pub file: PathBuf,
    /// State folder.
    pub state_dir: PathBuf,
    /// Address of the page and API; always loopback.
    pub listen: std::net::SocketAddr,
    /// Whether `/health/detailed` answers whoever reaches the page, without a token.
    pub open_detailed: bool,
    /// Clusters.
    pub clusters: Vec<ClusterSettings>,
    /// Policy.
    pub policy: Policy,
    /// Folders of runbooks of one's own.
    pub runbooks: Vec<PathBuf>,
    /// How often collectors run.
    pub cadence: Cadence,
    /// What is planned by the clock.
    pub schedules: Vec<Schedule>,
    /// What is planned when an alert comes in, by the alert's name.
    pub triggers: BTreeMap<String, Trigger>,
    /// Where the head of the journal is written down at the end of a run.
    pub export_head: Vec<Keep>,
    /// Who is told what, and how.
    pub notify: Notify,
    /// Bundles of evidence.
    pub evidence: EvidenceSettings,
    /// How long a plan is valid.
    pub plan_valid: Span,
    /// After how long without a sign of life a standby takes over.
    pub lease_ttl: Span,
    /// Every value with its origin.
    pub shown: Vec<Shown>,
    /// Worth knowing, not worth failing.
    pub warnings: Vec<String>,
    /// The runbooks that it names.
    pub named: Vec<Named>,
}

impl Resolved {
    /// A cluster by its name.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<&ClusterSettings> {
        self.clusters.iter().find(|c| c.reach.name == name)
    }

    /// The cluster and the full address that a `--target` means; without one, the only cluster.
    ///
    /// # Errors
    /// A sentence that says what there is.
    pub fn target(&self, asked: Option<&str>) -> Result<(&ClusterSettings, String), String> {
        let names: Vec<&str> = self.clusters.iter().map(|c| c.reach.name.as_str()).collect();
        let Some(asked) = asked else {
            return match &self.clusters[..] {
                [one] => Ok((one, one.reach.name.clone())),
                _ => Err(format!(
                    "name a cluster with --target; there are: {}",
                    names.join(", ")
                )),
            };
        };
        for c in &self.clusters {
            let addresses = c
                .reach
                .servers
                .iter()
                .map(|s| &s.address)
                .chain(c.reach.poolers.iter().map(|p| &p.address))
                .chain(c.reach.caches.iter().map(|x| &x.address));
            for address in addresses {
                let short = address.split('/').nth(1).unwrap_or_default();
                if address == asked || (short == asked && self.clusters.len() == 1) {
                    return Ok((c, address.clone()));
                }
            }
            if c.reach.name == asked {
                return Ok((c, asked.to_owned()));
            }
        }
        Err(format!(
            "`{asked}` is not in the config; clusters: {}",
            names.join(", ")
        ))
    }
}

/// The config file that a command means.
#[must_use]
pub fn file(given: Option<&Path>, env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    given
        .map(Path::to_owned)
        .or_else(|| env("MUSTER_CONFIG").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("muster.yaml"))
}
