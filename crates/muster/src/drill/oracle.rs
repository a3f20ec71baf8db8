//! The oracle for harm: what must be as it was, whatever the runbook did.

use std::collections::BTreeSet;

use muster_engine::{Entry, Event};
use muster_lab::fleet::{Fleet, User, connect};
use muster_lab::ledger;
use muster_model::Outcome;
use tokio_postgres::Client;

use super::truth::Truth;

/// What was so before.
pub struct Oracle {
    witnesses: Vec<(String, Client, i32)>,
    settings: BTreeSet<String>,
    senders: BTreeSet<i32>,
}

const SETTINGS: &str = "SELECT name || '=' || COALESCE(setting, '') FROM pg_settings WHERE source NOT IN ('client', 'session') \
                        UNION ALL SELECT setdatabase::text || '/' || setrole::text || '/' || setconfig::text FROM pg_db_role_setting";

impl Oracle {
    /// Notes what is so, and opens sessions that nobody may touch.
    ///
    /// # Errors
    /// When it cannot be noted: a drill without an oracle proves nothing.
    pub async fn before(fleet: &Fleet, truth: &Truth) -> Result<Self, String> {
        let mut witnesses = Vec::new();
        for (name, statement) in [
            ("lab-witness-idle", "SELECT 1"),
            ("lab-witness-open", "BEGIN; SELECT body FROM notes WHERE id = 900"),
        ] {
            let mut config = fleet.config("a", User::App, "app").map_err(|e| e.to_string())?;
            config.application_name(name);
            let client = connect(&config).await.map_err(|e| format!("witness: {e}"))?;
            client
                .simple_query(statement)
                .await
                .map_err(|e| format!("witness: {e}"))?;
            let pid = pid(&client).await.ok_or("witness: no answer")?;
            witnesses.push((name.to_owned(), client, pid));
        }
        Ok(Self {
            witnesses,
            settings: settings(truth).await?,
            senders: senders(truth).await?,
        })
    }

    /// What is not as it was. `standbys`: whether the fault itself takes standbys away.
    pub async fn harm(
        &self,
        fleet: &Fleet,
        truth: &Truth,
        entries: &[Entry],
        standbys: bool,
    ) -> (Vec<String>, ledger::Audit) {
        let mut harm = Vec::new();
        for (name, client, before) in &self.witnesses {
            if pid(client).await != Some(*before) {
                harm.push(format!(
                    "session {before} ({name}) was ended, and it is in no plan"
                ));
            }
        }
        match settings(truth).await {
            Ok(now) if now == self.settings => {}
            Ok(now) => harm.extend(
                now.symmetric_difference(&self.settings)
                    .map(|s| format!("setting changed: {s}")),
            ),
            Err(e) => harm.push(format!("settings cannot be compared: {e}")),
        }
        match senders(truth).await {
            Ok(now) if standbys || self.senders.is_subset(&now) => {}
            Ok(_) => harm.push("a walsender is gone".to_owned()),
            Err(e) => harm.push(format!("walsenders cannot be compared: {e}")),
        }
        harm.extend(outside_the_plan(entries));
        let audit = match ledger::audit(fleet).await {
            Ok(audit) => audit,
            Err(e) => {
                harm.push(format!("the ledger cannot be audited: {e}"));
                ledger::Audit::default()
            }
        };
        if audit.lost > 0 {
            harm.push(format!("{} acknowledged writes are lost", audit.lost));
        }
        (harm, audit)
    }
}

/// Effects at targets that no plan of this journal holds.
fn outside_the_plan(entries: &[Entry]) -> Vec<String> {
    let planned: BTreeSet<(String, String)> = entries
        .iter()
        .filter_map(|e| match &e.event {
            Event::Planned { plan } => Some(plan),
            _ => None,
        })
        .flat_map(|p| {
            p.facts
                .targets
                .iter()
                .map(|t| (p.id.clone(), t.fingerprint.clone()))
        })
        .collect();
    entries
        .iter()
        .filter(|e| {
            matches!(
                &e.event,
                Event::Tried {
                    outcome: Outcome::Done { .. },
                    undo: false
                }
            )
        })
        .filter(|e| !planned.contains(&(e.place.run.clone(), e.place.target.clone())))
        .map(|e| {
            format!(
                "run {} touched {}, which is in no plan",
                e.place.run, e.place.target
            )
        })
        .collect()
}

async fn pid(client: &Client) -> Option<i32> {
    // In the simple protocol, so that an open transaction of the witness stays as it is.
    let rows = client.simple_query("SELECT pg_backend_pid()").await.ok()?;
    rows.iter().find_map(|m| match m {
        tokio_postgres::SimpleQueryMessage::Row(r) => r.get(0).and_then(|v| v.parse().ok()),
        _ => None,
    })
}

async fn settings(truth: &Truth) -> Result<BTreeSet<String>, String> {
    let rows = truth
        .primary()
        .query(SETTINGS, &[])
        .await
        .map_err(|e| e.to_string())?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

async fn senders(truth: &Truth) -> Result<BTreeSet<i32>, String> {
    let rows = truth
        .primary()
        .query("SELECT pid FROM pg_stat_replication", &[])
        .await
        .map_err(|e| e.to_string())?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}
