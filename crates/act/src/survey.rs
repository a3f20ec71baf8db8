//! What is known about a cluster just now, for the engine's guards.

use std::sync::Arc;

use async_trait::async_trait;
use muster_engine::{Survey, Surveyor};
use muster_reach::{Estate, PgSession};

/// Surveys clusters of an estate.
pub struct Surveys {
    estate: Arc<Estate>,
    practice: Vec<String>,
}

impl Surveys {
    /// Over an estate; `practice` names the clusters that are for drills.
    #[must_use]
    pub fn new(estate: Arc<Estate>, practice: Vec<String>) -> Self {
        Self { estate, practice }
    }
}

#[async_trait]
impl Surveyor for Surveys {
    async fn survey(&self, cluster: &str, target: &str) -> Survey {
        let Some(found) = self.estate.cluster(cluster) else {
            return Survey::default();
        };
        let known = target == cluster
            || found.servers.iter().any(|s| s.address == target)
            || found.poolers.iter().any(|p| p.address == target)
            || found.caches.iter().any(|c| c.address == target);
        let mut survey = Survey {
            enrolled: known,
            can_act: found.servers.iter().any(|s| s.can_act()),
            practice: self.practice.iter().any(|p| p == cluster),
            ..Survey::default()
        };
        // Any server of the cluster names it; two that disagree are no cluster, and nothing is planned.
        let mut identities: Vec<String> = Vec::new();
        for server in &found.servers {
            let Ok(session) = server.observing().await else {
                continue;
            };
            let capability = PgSession::capability(&session);
            survey.major = survey.major.or(Some(capability.version_num / 10_000));
            identities.extend(capability.system_identifier.clone());
        }
        identities.sort();
        identities.dedup();
        if let [one] = &identities[..] {
            survey.identity.clone_from(one);
        }
        survey
    }
}
