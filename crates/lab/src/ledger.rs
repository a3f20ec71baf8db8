//! The ledger: a light traffic whose acknowledged writes are noted outside the database, and the audit that finds a lost one.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use crate::error::{LabError, at, sql};
use crate::fleet::{Fleet, User, connect};

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Writes that the database acknowledged.
    pub acknowledged: u64,
    /// Of these, not there any more.
    pub lost: u64,
    /// Writes whose connection was lost at commit: there or not, both are right.
    pub in_doubt: u64,
}

/// Makes traffic until it is stopped: a read and a counted write a few times a second.
///
/// # Errors
/// When the ledger's file cannot be written; trouble with the database is waited out.
pub async fn traffic(fleet: &Fleet, client_id: i32, stop: impl Future<Output = ()>) -> Result<(), LabError> {
    let path = fleet.dir.join("ledger").join(format!("acked-{client_id}.log"));
    let mut acked = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(at(&path))?;
    let doubt_path = fleet.dir.join("ledger").join(format!("maybe-{client_id}.log"));
    let mut doubt = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&doubt_path)
        .map_err(at(&doubt_path))?;
    let mut seq: i64 = i64::from(std::process::id()) << 32;
    tokio::pin!(stop);
    let mut client: Option<tokio_postgres::Client> = None;
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        if client.as_ref().is_none_or(tokio_postgres::Client::is_closed) {
            let mut config = fleet.app()?;
            config.application_name("lab-traffic");
            client = connect(&config).await.ok();
        }
        let Some(session) = &client else { continue };
        seq += 1;
        // One statement is one transaction, sent without a prepared statement: this is what a transaction pool allows.
        let write = format!("INSERT INTO ledger (client, seq) VALUES ({client_id}, {seq})");
        match tokio::time::timeout(Duration::from_secs(120), session.simple_query(&write)).await {
            Ok(Ok(_)) => {
                writeln!(acked, "{seq}")
                    .and_then(|()| acked.sync_data())
                    .map_err(at(&path))?;
                let _ = session.simple_query("SELECT body FROM notes WHERE id = 7").await;
            }
            Ok(Err(e)) if e.as_db_error().is_some_and(|d| d.code().code() != "57P01") => {}
            _ => {
                writeln!(doubt, "{seq}")
                    .and_then(|()| doubt.sync_data())
                    .map_err(at(&doubt_path))?;
                client = None;
            }
        }
    }
}

/// Compares the noted writes with what the primary holds.
///
/// # Errors
/// When the primary cannot be read: an audit that did not happen is not a clean one.
pub async fn audit(fleet: &Fleet) -> Result<Audit, LabError> {
    // First what was acknowledged, then what is there: a write of the moment in between would look lost the other way round.
    let noted = noted(fleet)?;
    let client = connect(&fleet.config("a", User::Postgres, "app")?)
        .await
        .map_err(sql("login for the audit"))?;
    let rows = client
        .query("SELECT client, seq FROM public.ledger", &[])
        .await
        .map_err(sql("audit"))?;
    let there: BTreeSet<(i32, i64)> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
    let lost = noted.acked.iter().filter(|write| !there.contains(write)).count();
    Ok(Audit {
        acknowledged: noted.acked.len() as u64,
        lost: lost as u64,
        in_doubt: noted.in_doubt,
    })
}

/// What the clients wrote down.
struct Noted {
    acked: Vec<(i32, i64)>,
    in_doubt: u64,
}

fn noted(fleet: &Fleet) -> Result<Noted, LabError> {
    let mut noted = Noted {
        acked: Vec::new(),
        in_doubt: 0,
    };
    let dir = fleet.dir.join("ledger");
    for entry in std::fs::read_dir(&dir).map_err(at(&dir))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((kind, id)) = name.trim_end_matches(".log").split_once('-') else {
            continue;
        };
        let id: i32 = id.parse().unwrap_or(0);
        let text = std::fs::read_to_string(entry.path()).map_err(at(&entry.path()))?;
        // A line without its end is one that is being written now.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let seqs = whole.lines().filter_map(|l| l.parse::<i64>().ok());
        if kind == "acked" {
            noted.acked.extend(seqs.map(|seq| (id, seq)));
        } else {
            noted.in_doubt += seqs.count() as u64;
        }
    }
    Ok(noted)
}
