//! The one word for everything.
//!
//! Knows that a word is a promise: `Healthy` is said only when everything was read and nothing is wrong. What was not
//! read, what no rule could decide and what has no health at all count as unknown.

use muster_model::{Health, IncidentState, Severity, Span};

use super::words::count;
use crate::view::{ClusterPicture, Story, View};

/// A pass older than this is a memory, not knowledge. The script applies the same bound while the page stands open.
const STALE_AFTER: Span = Span::from_secs(60);

/// The word and its reason.
pub(super) struct Overall {
    /// The worst of everything.
    pub(super) health: Health,
    /// One word.
    pub(super) word: &'static str,
    /// One clause.
    pub(super) why: String,
}

/// Whether an incident is not over.
pub(super) fn is_open(story: &Story) -> bool {
    story.incident.state != IncidentState::Resolved
}

/// State of one component; one without an entry is unknown, and so is one that nobody tried to reach.
pub(super) fn of_component(cluster: &ClusterPicture, address: &str, tried: bool) -> Health {
    let said = cluster
        .health
        .iter()
        .filter(|(a, _)| a == address)
        .map(|(_, h)| *h)
        .max();
    let said = said.unwrap_or(Health::Unknown);
    if tried { said } else { said.max(Health::Unknown) }
}

fn blind_spots(view: &View) -> usize {
    let spots = |c: &ClusterPicture| {
        let s = &c.snapshot;
        let unknown = s
            .components()
            .filter(|(a, r)| {
                of_component(c, a, !matches!(r, muster_model::snapshot::Reach::Unknown)) == Health::Unknown
            })
            .count();
        let stale = usize::from(view.at.since(s.taken_at) > STALE_AFTER);
        unknown + stale + s.gaps.len() + c.unknown.len()
    };
    view.clusters.iter().map(spots).sum()
}

/// The worst of health, findings, open incidents and blind spots.
pub(super) fn judge(view: &View) -> Overall {
    let open = view.stories.iter().filter(|s| is_open(s)).count();
    let blind = blind_spots(view);
    let mut health = Health::Ok;
    let by_severity = |s: Severity| match s {
        Severity::Info => Health::Ok,
        Severity::Warning => Health::Warning,
        Severity::Critical => Health::Critical,
    };
    for cluster in &view.clusters {
        for (_, h) in &cluster.health {
            health = health.max(*h);
        }
        for f in &cluster.findings {
            health = health.max(by_severity(f.severity));
        }
    }
    for story in view.stories.iter().filter(|s| is_open(s)) {
        health = health
            .max(by_severity(story.incident.finding.severity))
            .max(Health::Warning);
    }
    if blind > 0 || view.clusters.is_empty() {
        health = health.max(Health::Unknown);
    }
    let mut why = Vec::new();
    if view.clusters.is_empty() {
        why.push("no cluster is watched".to_owned());
    }
    if open > 0 {
        why.push(count(open, "open incident", "open incidents"));
    }
    let critical = view
        .clusters
        .iter()
        .flat_map(|c| &c.health)
        .filter(|(_, h)| *h == Health::Critical);
    let critical: Vec<&str> = critical.map(|(address, _)| address.as_str()).collect();
    if open == 0 && !critical.is_empty() {
        why.push(format!("{} critical", critical.join(" and ")));
    }
    if blind > 0 {
        why.push(format!("{} unseen", count(blind, "thing", "things")));
    }
    let word = match health {
        Health::Ok => "Healthy",
        Health::Warning => "Warning",
        Health::Unknown => "Unknown",
        Health::Critical => "Critical",
    };
    Overall {
        health,
        word,
        why: why.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn healthy_is_said_only_when_nothing_is_unknown() {
        let calm = sample::calm();
        assert_eq!(judge(&calm).word, "Healthy");

        let mut v = calm.clone();
        v.clusters[0].health.pop();
        assert_eq!(judge(&v).word, "Unknown", "a component without health");

        let mut v = calm.clone();
        v.clusters[0]
            .unknown
            .push(("locks.ddl_queue".into(), "shop/a".into(), "not read".into()));
        assert_eq!(judge(&v).word, "Unknown", "a rule that could not decide");

        let mut v = calm.clone();
        v.clusters[0].snapshot.servers[0].reach = muster_model::snapshot::Reach::Unknown;
        assert_eq!(judge(&v).word, "Unknown", "a server that nobody tried");

        let mut v = calm.clone();
        v.at = v.at.plus(Span::from_secs(61));
        assert_eq!(judge(&v).word, "Unknown", "an old pass");

        let mut v = calm.clone();
        v.clusters.clear();
        assert_eq!(judge(&v).word, "Unknown", "nothing watched");

        let mut v = calm;
        v.clusters[0].snapshot.gaps.push(sample::gap());
        assert_eq!(judge(&v).word, "Unknown", "a gap");
    }

    #[test]
    fn an_open_incident_is_never_calm() {
        let o = judge(&sample::leak());
        assert_eq!(o.word, "Critical");
        assert!(o.why.contains("1 open incident"), "{}", o.why);
    }
}
