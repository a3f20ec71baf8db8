//! The acting sessions of a cluster, kept while there is room: with all slots full nobody can log in again.
//!
//! A login that is refused is tried ever more rarely, at the longest once a minute: each try is a line in the server's log, and
//! may lock the role. It is said on every page, because nobody notices it before the night on which it is needed.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::Snapshot;
use muster_model::snapshot::ServerView;
use muster_reach::Cluster;
use muster_reach::error::Trouble;
use tokio::time::Instant;

/// The longest pause between two tries of a login that is refused.
const LONGEST: Duration = Duration::from_secs(60);

/// Which logins were refused, until when they are left alone, and what was said.
#[derive(Debug, Default)]
pub(super) struct Acting(BTreeMap<String, Left>);

#[derive(Debug)]
struct Left {
    until: Instant,
    pause: Duration,
    said: String,
}

impl Acting {
    /// Logs in where there is no session and the server answers; what stands in the way of acting, as sentences.
    pub(super) async fn keep(&mut self, cluster: &Cluster, snapshot: &Snapshot) -> Vec<String> {
        for server in cluster.servers.iter().filter(|s| s.can_act()) {
            let answers = snapshot.server(&server.address).is_some_and(ServerView::answers);
            if !answers || !self.due(&server.address, Instant::now()) {
                continue;
            }
            match server.acting().await {
                Err(e) if matches!(e.trouble, Trouble::Auth | Trouble::Login) => {
                    let user = server.acting_user().unwrap_or("the user of `act`");
                    let said = format!(
                        "Muster cannot log in as {user} at {}, so it can change nothing there: {}; {}.",
                        server.address,
                        e.reason,
                        e.remedy()
                    );
                    self.refused(&server.address, said, Instant::now());
                }
                // What else stands in its way (no slot, a restart) is over soon, and other rules see it.
                _ => {
                    self.0.remove(&server.address);
                }
            }
        }
        self.0.values().map(|left| left.said.clone()).collect()
    }

    fn due(&self, address: &str, now: Instant) -> bool {
        self.0.get(address).is_none_or(|left| now >= left.until)
    }

    fn refused(&mut self, address: &str, said: String, now: Instant) {
        let before = self.0.get(address).map(|left| left.pause);
        let pause = before.map_or(Duration::from_secs(1), |p| (p * 2).min(LONGEST));
        let until = now + pause;
        self.0.insert(address.to_owned(), Left { until, pause, said });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_is_refused_is_tried_ever_more_rarely_and_at_least_once_a_minute() {
        let mut acting = Acting::default();
        let began = Instant::now();
        let (mut now, mut tries) = (began, 0);
        while now - began < Duration::from_mins(10) {
            if acting.due("shop/a", now) {
                tries += 1;
                acting.refused("shop/a", "no".to_owned(), now);
            }
            now += Duration::from_secs(1);
        }
        // After 1, 3, 7, 15, 31 and 63 seconds, then each minute.
        assert_eq!(tries, 15);
        assert!(acting.due("shop/b", began), "another server is another login");
    }
}
