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
            // One server is asked for itself; for a pooler or the whole cluster, which of them it will be shows in the plan.
            can_act: match found.servers.iter().find(|s| s.address == target) {
                Some(server) => server.can_act(),
                None => found.servers.iter().any(|s| s.can_act()),
            },
            unarmed: found
                .servers
                .iter()
                .filter(|s| !s.can_act())
                .map(|s| s.address.clone())
                .collect(),
            practice: self.practice.iter().any(|p| p == cluster),
            ..Survey::default()
        };
        // Any server of the cluster names it; two that disagree are no cluster, and nothing is planned.
        let mut identities: Vec<String> = Vec::new();
        let mut primaries = Vec::new();
        let mut all_seen = true;
        // All at once: one that hangs must not keep the others from being asked in time.
        let looks = found.servers.iter().map(async |server| {
            let session = server.observing().await.ok()?;
            let role = role(&session).await;
            let capability = PgSession::capability(&session).clone();
            Some((role, capability))
        });
        let looks = futures::future::join_all(looks).await;
        for (server, look) in found.servers.iter().zip(looks) {
            let Some((role, capability)) = look else {
                all_seen = false;
                continue;
            };
            match role {
                Some(Some(timeline)) => {
                    primaries.push(server.address.clone());
                    survey.timeline = Some(timeline);
                }
                Some(None) => {}
                None => all_seen = false,
            }
            survey.major = survey.major.or(Some(capability.version_num / 10_000));
            identities.extend(capability.system_identifier);
        }
        identities.sort();
        identities.dedup();
        if let [one] = &identities[..] {
            survey.identity.clone_from(one);
        }
        // A server that cannot be asked may be a primary too; where one is seen, that is enough to know it is still there.
        if all_seen || !primaries.is_empty() {
            survey.primaries = Some(primaries);
        }
        survey
    }
}

const ROLE: &str = include_str!("sql/role.sql");

/// The timeline of a server that takes writes; `Some(None)` of a standby, `None` when it does not answer.
async fn role(session: &PgSession) -> Option<Option<u32>> {
    let rows = session.query(ROLE, &[]).await.ok()?;
    let row = rows.first()?;
    Some(
        row.get::<_, Option<i32>>("timeline")
            .and_then(|t| u32::try_from(t).ok()),
    )
}
